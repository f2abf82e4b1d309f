import { expect, test } from 'bun:test'
import { startServer } from '../support/server.ts'
import { runExchanges, send } from './exchanges.ts'

const anyOrigin = { 'access-control-allow-origin': '*' }
const plain = { ...anyOrigin, 'content-type': 'text/plain; charset=utf-8' }
const noKeyAndValue = '400: You have not specified key and value'
const noKey = '400: You have not specified key'

runExchanges('tenantbase', [
  { ask: 'GET /health-check', status: 200, reply: 'service is up and running', headers: anyOrigin },
  { ask: 'GET /get-values', status: 200, reply: '{"value":[]}', headers: anyOrigin },
  {
    ask: 'POST /set-value',
    body: '{"key":"code","value":"test"}',
    status: 200,
    reply: '200: OK',
    headers: anyOrigin,
  },
  // The key as a JSON body of a GET, as the document says, or as the program read it.
  {
    ask: 'GET /get-value',
    body: '{"key":"code"}',
    status: 200,
    reply: '{"value":"test"}',
    headers: anyOrigin,
  },
  { ask: 'GET /get-value', body: '{"value":"code"}', status: 200, reply: '{"value":"test"}' },
  { ask: 'GET /get-value?key=code', status: 200, reply: '{"value":"test"}' },
  { ask: 'GET /get-value?key=code', body: '{"key":"other"}', status: 200, reply: '{"value":"test"}' },
  { ask: 'POST /get-value', body: '{"key":"code"}', status: 200, reply: '{"value":"test"}' },
  {
    ask: 'GET /get-value',
    body: '{"key":"nope"}',
    status: 404,
    reply: '{"value":null}',
    headers: anyOrigin,
  },
  { ask: 'GET /get-value?key=nope', status: 404, reply: '{"value":null}' },
  // Any JSON, kept as it was sent.
  { ask: 'POST /set-value', body: '{"value":{"n": 12345678901234567890},"key":"doc"}', status: 200 },
  { ask: 'GET /get-value?key=doc', status: 200, reply: '{"value":{"n": 12345678901234567890}}' },
  { ask: 'POST /set-value', body: '{"key":7,"value":null}', status: 200 },
  { ask: 'GET /get-value', body: '{"key":7}', status: 200, reply: '{"value":null}' },
  {
    ask: 'GET /get-values',
    status: 200,
    reply:
      '{"value":[{"id":"<uuid>","key":"7","value":null},{"id":"<uuid>","key":"code","value":"test"},{"id":"<uuid>","key":"doc","value":{"n": 12345678901234567890}}]}',
  },
  // Deleting, once and again.
  { ask: 'DELETE /delete-value', body: '{"key":"code"}', status: 204, reply: '', headers: anyOrigin },
  { ask: 'DELETE /delete-value?key=code', status: 204, reply: '' },
  { ask: 'GET /get-value?key=code', status: 404, reply: '{"value":null}' },
  { ask: 'DELETE /delete-value', body: '{"value":"doc"}', status: 204 },
  { ask: 'DELETE /delete-value', body: '{"key":7}', status: 204 },
  // Bad requests, of which nothing is stored.
  { ask: 'POST /set-value', body: '{"key":"k"}', status: 400, reply: noKeyAndValue, headers: plain },
  { ask: 'POST /set-value', body: '{"value":"v"}', status: 400, reply: noKeyAndValue },
  { ask: 'POST /set-value', body: '{"key":null,"value":"v"}', status: 400, reply: noKeyAndValue },
  { ask: 'POST /set-value', body: '["key","value"]', status: 400, reply: noKeyAndValue },
  { ask: 'POST /set-value', body: '{"key":"k","value":', status: 400, headers: plain },
  { ask: 'POST /set-value', status: 400, headers: plain },
  { ask: 'POST /set-value', body: '{"key":"","value":1}', status: 400, reply: '400: the key is empty' },
  { ask: 'POST /set-value', body: `{"key":"${'k'.repeat(513)}","value":1}`, status: 400 },
  { ask: 'GET /get-value', status: 400, reply: noKey, headers: plain },
  { ask: 'GET /get-value', body: '{}', status: 400, reply: noKey },
  { ask: 'GET /get-value', body: 'code', status: 400, headers: plain },
  { ask: 'DELETE /delete-value', status: 400, reply: noKey },
  { ask: 'GET /get-values', status: 200, reply: '{"value":[]}' },
  {
    ask: 'PUT /set-value',
    body: '{}',
    status: 405,
    reply: '405: PUT is not done here; POST, OPTIONS are',
    headers: { ...plain, allow: 'POST, OPTIONS' },
  },
  { ask: 'GET /nothing', status: 404, reply: '404: there is nothing at <text>', headers: plain },
  // A page of another origin asks first.
  {
    ask: 'OPTIONS /set-value',
    with: {
      origin: 'https://example.org',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    },
    status: 204,
    reply: '',
    headers: {
      ...anyOrigin,
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': '*, authorization',
    },
  },
  { ask: 'OPTIONS /delete-value', status: 204, headers: anyOrigin },
])

test('a key is found in the body of a GET, of a POST, and in the query, wherever it is mounted', async () => {
  const server = await startServer()
  const mount = '/dialects/tenantbase'
  try {
    await send(server, mount, { ask: 'POST /set-value', body: '{"key":"a","value":1}' })
    for (const method of ['GET', 'POST']) {
      const asked = await send(server, mount, { ask: `${method} /get-value`, body: '{"key":"a"}' })
      expect([method, asked.body]).toEqual([method, '{"value":1}'])
    }
    expect((await send(server, mount, { ask: 'GET /get-value?key=a' })).body).toBe('{"value":1}')
  } finally {
    await server.remove()
  }
})

test('pages of another origin may use it where it was asked for, and nothing else of the server', async () => {
  const page = { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' }
  const asked = await startServer({ flags: ['--dialect', 'tenantbase'] })
  const unasked = await startServer({ flags: ['--dialect', 'keys'] })
  try {
    const statusOf = async (server: typeof asked, ask: string) => {
      const { status, headers } = await send(server, '', { ask, with: page })
      return [status, headers['access-control-allow-origin']]
    }
    expect(await statusOf(asked, 'GET /get-values')).toEqual([200, '*'])
    expect(await statusOf(asked, 'GET /dialects/tenantbase/get-values')).toEqual([200, '*'])
    expect(await statusOf(asked, 'GET /v1/cache')).toEqual([403, undefined])
    expect(await statusOf(asked, 'PUT /v1')).toEqual([403, undefined])
    expect(await statusOf(asked, 'GET /dialects/ozza/cache')).toEqual([403, undefined])
    expect(await statusOf(unasked, 'GET /dialects/tenantbase/get-values')).toEqual([403, undefined])
    expect(await statusOf(unasked, 'OPTIONS /dialects/tenantbase/set-value')).toEqual([403, undefined])
    const rebound = await send(asked, '', { ask: 'GET /get-values', with: { host: 'evil.example' } })
    expect(rebound.status).toBe(421)
  } finally {
    await Promise.all([asked.remove(), unasked.remove()])
  }
})

test('preflights and the health check need no token; the rest does, and says so to any origin', async () => {
  const server = await startServer({ env: { KVIST_TOKEN: 'secret' }, flags: ['--dialect', 'tenantbase'] })
  try {
    expect((await send(server, '', { ask: 'OPTIONS /get-value' })).status).toBe(204)
    expect((await send(server, '', { ask: 'GET /health-check' })).status).toBe(200)
    const refused = await send(server, '', { ask: 'GET /get-values' })
    expect(refused.status).toBe(401)
    expect(refused.headers).toMatchObject(anyOrigin)
    const authorization = { authorization: 'Bearer secret' }
    expect((await send(server, '', { ask: 'GET /get-values', with: authorization })).status).toBe(200)
    const bodied = { ask: 'GET /get-value', body: '{"key":"a"}' }
    expect((await send(server, '', bodied)).status).toBe(401)
    expect((await send(server, '', { ...bodied, with: authorization })).status).toBe(404)
  } finally {
    await server.remove()
  }
})
