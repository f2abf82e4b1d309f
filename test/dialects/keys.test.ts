import { expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { until } from '../support/engine.ts'
import { serveInProcess } from '../support/in-process-server.ts'
import { manualTimers } from '../support/manual-timers.ts'
import { countsOf } from '../support/responses.ts'
import { newFolder, startServer } from '../support/server.ts'
import { runExchanges, send } from './exchanges.ts'

const stored = '{"response":"all key value pair are persisted"}'
const badRequest = '{"error":"Bad request"}'
const notFound = '{"error":"Not found"}'

runExchanges('keys', [
  { ask: 'GET /keys', status: 200, reply: '{"response":[]}' },
  { ask: 'GET /keys/my_key', status: 404, reply: notFound },
  { ask: 'HEAD /keys/my_key', status: 404 },
  // Any JSON, several at once, kept as it was sent.
  { ask: 'PUT /keys', body: '{"my_key":"my_value"}', status: 200, reply: stored },
  {
    ask: 'PUT /keys',
    body: '{"word":1.0,"wod":[1, 2],"world":{"a" : null},"wo$d":null,"a/b":true}',
    status: 200,
    reply: stored,
  },
  {
    ask: 'GET /keys/my_key',
    status: 200,
    reply: '{"response":"my_value"}',
    headers: { 'content-type': 'application/json' },
  },
  { ask: 'HEAD /keys/my_key', status: 200 },
  { ask: 'GET /keys/word', status: 200, reply: '{"response":1.0}' },
  { ask: 'GET /keys/wo$d', status: 200, reply: '{"response":null}' },
  { ask: 'GET /keys/a%2Fb', status: 200, reply: '{"response":true}' },
  { ask: 'PUT /keys', body: '{"my_key":"newer"}', status: 200, reply: stored },
  { ask: 'GET /keys', status: 200, reply: '{"response":[true,"newer",null,[1, 2],1.0,{"a" : null}]}' },
  // A filter is on the key; $ is any run of characters, * is none.
  { ask: 'GET /keys?filter=wo$d', status: 200, reply: '{"response":[null,[1, 2],1.0,{"a" : null}]}' },
  { ask: 'GET /keys?filter=wo*d', status: 200, reply: '{"response":[]}' },
  { ask: 'GET /keys?filter=word', status: 200, reply: '{"response":[1.0]}' },
  {
    ask: 'GET /keys?filter=',
    status: 200,
    reply: '{"response":[true,"newer",null,[1, 2],1.0,{"a" : null}]}',
  },
  // By pages.
  {
    ask: 'GET /keys?limit=2',
    status: 200,
    reply: '{"response":[true,"newer"]}',
    headers: { link: '<<mount>/keys?limit=2&cursor=lXa66VssWXt3byRk>; rel="next"' },
  },
  { ask: 'GET /keys?limit=2&cursor=lXa66VssWXt3byRk', status: 200, reply: '{"response":[null,[1, 2]]}' },
  {
    ask: 'GET /keys?filter=wo$d&limit=3',
    status: 200,
    reply: '{"response":[null,[1, 2],1.0]}',
    headers: { link: '<<mount>/keys?filter=wo%24d&limit=3&cursor=<text>>; rel="next"' },
  },
  { ask: 'GET /keys?limit=10', status: 200, headers: { link: 'undefined' } },
  { ask: 'GET /keys?limit=0', status: 400, reply: badRequest },
  { ask: 'GET /keys?limit=10001', status: 400, reply: badRequest },
  { ask: 'GET /keys?limit=x', status: 400, reply: badRequest },
  { ask: 'GET /keys?cursor=x', status: 400, reply: badRequest },
  { ask: 'GET /keys?filter=wo%5C$d', status: 200, reply: '{"response":[null]}' },
  { ask: 'GET /keys?filter=wo$d&cursor=lXa66VssWXt3byRk', status: 400, reply: badRequest },
  { ask: 'DELETE /keys?filter=wo$d', status: 400, reply: badRequest },
  // A merge keeps what it does not name.
  { ask: 'PUT /keys', body: '{"doc":{"n":12345678901234567890,"gone":1,"in":{"x":1}}}', status: 200 },
  {
    ask: 'PATCH /keys/doc',
    body: '{"gone":null,"in":{"y":2},"__proto__":{"polluted":true}}',
    status: 200,
    reply: '{"response":{"n":12345678901234567890,"in":{"x":1,"y":2},"__proto__":{"polluted":true}}}',
  },
  {
    ask: 'PATCH /key/doc',
    body: '{"__proto__":null,"in":null}',
    status: 200,
    reply: '{"response":{"n":12345678901234567890}}',
  },
  {
    ask: 'PATCH /keys/my_key',
    body: '{"now":"object"}',
    status: 200,
    reply: '{"response":{"now":"object"}}',
  },
  { ask: 'PATCH /keys/nope', body: '{}', status: 404, reply: notFound },
  { ask: 'PATCH /keys/doc', body: '[1]', status: 400, reply: badRequest },
  { ask: 'PATCH /keys/doc', body: 'x', status: 400, reply: badRequest },
  {
    ask: 'PATCH /keys/doc',
    body: `${'{"a":'.repeat(101)}1${'}'.repeat(101)}`,
    status: 422,
    reply: '{"error":"a patch may be nested 100 levels at most"}',
  },
  // Bad requests, of which nothing is stored.
  { ask: 'DELETE /keys', status: 200, reply: '{"response":"all keys have been deleted"}' },
  { ask: 'PUT /keys', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '{}', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '["a"]', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: 'null', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '{"a":1,"b"', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '{"a":1,"":2}', status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: `{"a":1,"${'k'.repeat(513)}":2}`, status: 400, reply: badRequest },
  { ask: 'PUT /keys', body: '{"a":1,"\\ud800":2}', status: 400, reply: badRequest },
  { ask: 'PUT /keys?expire_in=x', body: '{"a":1}', status: 400, reply: badRequest },
  { ask: 'PUT /keys?expire_in=0', body: '{"a":1}', status: 400, reply: badRequest },
  { ask: 'PUT /keys?expire_in=-5', body: '{"a":1}', status: 400, reply: badRequest },
  { ask: 'PUT /keys?expire_in=1e400', body: '{"a":1}', status: 400, reply: badRequest },
  {
    ask: 'PUT /keys',
    body: JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, i]))),
    status: 413,
    reply: '{"error":"at most 10000 keys can be stored at once"}',
  },
  { ask: 'GET /keys/%zz', status: 400, reply: badRequest },
  { ask: 'GET /keys', status: 200, reply: '{"response":[]}' },
  {
    ask: 'POST /keys',
    body: '{"a":1}',
    status: 405,
    reply: '{"error":"Method not allowed"}',
    headers: { allow: 'PUT, GET, DELETE, HEAD' },
  },
  { ask: 'GET /key/a', status: 405, reply: '{"error":"Method not allowed"}', headers: { allow: 'PATCH' } },
  { ask: 'GET /nothing', status: 404, reply: notFound },
  // Deleting, and expiry.
  { ask: 'PUT /keys', body: '{"a":1,"b":2}', status: 200 },
  { ask: 'DELETE /keys/a', status: 200, reply: '{"response":"a has been deleted"}' },
  { ask: 'DELETE /keys/a', status: 404, reply: notFound },
  { ask: 'GET /keys/a', status: 404, reply: notFound },
  { ask: 'PUT /keys?expire_in=0.001', body: '{"soon":1}', status: 200, reply: stored },
])

test('what has expired is gone, not missing, until it is written again: also when it was swept, and after a restart', async () => {
  const dataFolder = newFolder()
  let nowMs = Date.now()
  const timers = manualTimers()
  const start = () => serveInProcess({ flags: ['--dialect', 'keys'], now: () => nowMs, timers, dataFolder })
  const server = await start()
  const asked = async (at: { port: number }, ask: string, body?: string) => {
    const reply = await send(at, '', { ask, ...(body === undefined ? {} : { body }) })
    return `${reply.status} ${reply.body}`
  }
  try {
    expect(await asked(server, 'PUT /keys?expire_in=0.2', '{"a":1,"b":2}')).toStartWith('200 ')
    await fetch(`${server.url}/v1/keys/c?expire_in=0.2`, { method: 'PUT', body: '3' })
    expect(await asked(server, 'GET /keys/a')).toBe('200 {"response":1}')
    nowMs += 200
    const gone = '410 {"error":"Expired"}'
    expect(await asked(server, 'GET /keys/a')).toBe(gone)
    expect(await asked(server, 'GET /keys/c')).toBe(gone)
    expect(await asked(server, 'HEAD /keys/a')).toBe('410 ')
    expect(await asked(server, 'PATCH /keys/a', '{}')).toBe(gone)
    expect(await asked(server, 'DELETE /keys/a')).toBe('404 {"error":"Not found"}')
    // The sweeper leaves a tombstone.
    timers.pass(1000)
    await until(async () => (await countsOf(server.url, 'keys')) === null, 'they are swept')
    expect(await asked(server, 'GET /keys/a')).toBe(gone)
    expect(await asked(server, 'GET /keys')).toBe('200 {"response":[]}')
    expect(await asked(server, 'PUT /keys', '{"a":"again"}')).toStartWith('200 ')
    expect(await asked(server, 'GET /keys/a')).toBe('200 {"response":"again"}')
    expect(await asked(server, 'DELETE /keys/a')).toStartWith('200 ')
    expect(await asked(server, 'GET /keys/a')).toBe('404 {"error":"Not found"}')

    await server.stop()
    const again = await start()
    expect(await asked(again, 'GET /keys/b')).toBe(gone)
    expect(await asked(again, 'GET /keys/a')).toBe('404 {"error":"Not found"}')
    await again.stop()
  } finally {
    await server.stop()
    rmSync(dataFolder, { recursive: true, force: true })
  }
})

test('every key of a request goes through the processes of the collection', async () => {
  const server = await startServer({ flags: ['--dialect', 'keys'] })
  try {
    await fetch(`${server.url}/v1/_collections/keys`, { method: 'PUT', body: '{"processes":["mark"]}' })
    const reply = await send(server, '', { ask: 'PUT /keys', body: '{"a":"x","b":{"value":"y"},"c":3}' })
    expect(reply.status).toBe(200)
    expect((await send(server, '', { ask: 'GET /keys' })).body).toBe(
      '{"response":["x (Marked).",{"value":"y (Marked)."},3]}',
    )
  } finally {
    await server.remove()
  }
})

test('a value larger than /v1 takes is refused, and nothing beside it is stored', async () => {
  const server = await startServer({ flags: ['--dialect', 'keys'] })
  try {
    const body = `{"small":1,"large":"${'x'.repeat(16 * 1024 * 1024)}"}`
    const response = await fetch(`${server.url}/keys`, { method: 'PUT', body })
    expect(response.status).toBe(413)
    expect(await response.json()).toEqual({ error: expect.stringContaining('16777216 bytes') })
    const tooLarge = await fetch(`${server.url}/keys`, { method: 'PUT', body: 'x'.repeat(33 * 1024 * 1024) })
    expect(tooLarge.status).toBe(413)
    expect((await send(server, '', { ask: 'GET /keys' })).body).toBe('{"response":[]}')
  } finally {
    await server.remove()
  }
})
