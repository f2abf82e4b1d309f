import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { put } from './support/answers.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

/** What responses say to caches, to clients that choose a type, and to people at a terminal. */

let server: InProcessServer
let v1: string
beforeAll(async () => {
  server = await startInProcess()
  v1 = `${server.url}/v1`
  await put(`${v1}/c/k`, '{"a":1}')
  await put(`${v1}/c/text`, 'text', { 'content-type': 'text/plain' })
})
afterAll(() => server.stop())

const ndjson = ['application/x-ndjson', 'application/ndjson', 'application/jsonl']

describe('caches', () => {
  test('ask before they show anything again', async () => {
    const reads = [
      '/c/k',
      '/c/text',
      '/c/missing',
      '/c',
      '/c?limit=1',
      '',
      '/_changes',
      '/_collections/c',
      '/c?limit=x',
      '/../dialects/ozza/c',
      '/../dialects/keys/keys/k',
      '/../dialects/tenantbase/get-values',
      '/../healthz',
      '/../metrics',
      '/../openapi.json',
      '/..',
    ]
    for (const path of reads) {
      for (const method of ['GET', 'HEAD']) {
        const { headers } = await fetch(v1 + path, { method })
        expect([method, path, headers.get('cache-control')]).toEqual([method, path, 'no-cache'])
      }
    }
  })

  test('are told that a stream is for nobody else', async () => {
    const stopped = new AbortController()
    const { headers } = await fetch(`${v1}/c`, {
      headers: { accept: 'text/event-stream' },
      signal: stopped.signal,
    })
    expect(headers.get('cache-control')).toBe('no-store')
    stopped.abort()
  })

  test('keep apart what Accept decides', async () => {
    for (const path of ['/c/k', '/c/missing', '/c', '/_changes', '/..']) {
      const { headers } = await fetch(v1 + path, { redirect: 'manual' })
      expect([path, headers.get('vary')]).toEqual([path, expect.stringContaining('Accept')])
    }
    const etag = (await fetch(`${v1}/c/k`)).headers.get('etag')!
    const { status, headers } = await fetch(`${v1}/c/k`, { headers: { 'if-none-match': etag } })
    expect([status, headers.get('vary'), headers.get('cache-control')]).toEqual([304, 'Accept', 'no-cache'])
  })
})

describe('NDJSON', () => {
  test.each(ndjson)('is sent under the name by which it was asked for: %s', async (type) => {
    for (const accept of [type, type.toUpperCase(), `text/html, ${type};q=0.9, */*;q=0.8`]) {
      const response = await fetch(`${v1}/c?include=keys`, { headers: { accept } })
      expect(response.headers.get('content-type')).toBe(type)
      expect(await response.text()).toBe('{"key":"k"}\n{"key":"text"}\n')
    }
    const { headers } = await fetch(`${v1}/c`, { headers: { accept: `${type};q=0, */*` } })
    expect(headers.get('content-type')).toBe('application/json')
  })

  test.each(ndjson)('is taken under each of its names: %s', async (type) => {
    const name = type.replace(/\W/g, '-')
    const response = await fetch(`${v1}/${name}`, {
      method: 'POST',
      body: '{"key":"a","value":1}\n{"key":"b","value":2}',
      headers: { 'content-type': `${type.toUpperCase()}; charset=utf-8` },
    })
    expect(await response.json()).toEqual({ stored: 2, failed: [] })
    expect(await (await fetch(`${v1}/${name}/b`)).text()).toBe('2')
  })
})

test('events are sent to who names them, however that is written', async () => {
  for (const path of ['/c/k', '/c', '/_changes']) {
    const typeFor = async (accept: string) => {
      const stopped = new AbortController()
      const { headers } = await fetch(v1 + path, { headers: { accept }, signal: stopped.signal })
      stopped.abort()
      return headers.get('content-type')
    }
    expect(await typeFor('TEXT/EVENT-STREAM; Q=0.5')).toBe('text/event-stream')
    expect(await typeFor('text/event-stream;q=0, */*')).toBe('application/json')
    expect(await typeFor('text/*')).toBe('application/json')
  }
})

test('what kvist says of a write ends with a line break, and what was stored does not change', async () => {
  const json = { 'content-type': 'application/json' }
  const said = async (method: string, path: string, body: string, headers: Record<string, string> = json) =>
    (await fetch(v1 + path, { method, body, headers })).text()
  const batch = '{"operations":[{"op":"put","collection":"w","key":"b","value":1}]}'
  const texts = {
    put: await said('PUT', '/w/ü', '1'),
    post: await said('POST', '/w', '1'),
    patch: await said('PATCH', '/w/p', '{}'),
    batch: await said('POST', '/_batch', batch),
    import: await said('POST', '/w', '{"key":"i","value":1}', { 'content-type': 'application/x-ndjson' }),
    settings: await said('PUT', '/_collections/w', '{}'),
    drop: await said('DELETE', '/w?prefix=i', ''),
    refused: await said('PUT', '/w/x', '{'),
    missing: await said('DELETE', '/w/missing', ''),
  }
  for (const [what, text] of Object.entries(texts)) {
    expect({ what, ends: /[^\n]\n$/.test(text) }).toEqual({ what, ends: true })
    expect(() => JSON.parse(text)).not.toThrow()
  }
  expect(await (await fetch(`${v1}/w/%C3%BC`)).text()).toBe('1')
})

describe('/', () => {
  test('sends a browser to the page of the API', async () => {
    const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
    const response = await fetch(`${server.url}/`, { headers: { accept }, redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([307, '/docs'])
    expect((await fetch(`${server.url}/`, { headers: { accept } })).headers.get('content-type')).toContain(
      'text/html',
    )
  })

  test('tells others where the API is', async () => {
    for (const accept of ['*/*', 'application/json', 'text/html;q=0']) {
      const response = await fetch(`${server.url}/`, { headers: { accept } })
      expect(await response.json()).toEqual({
        name: 'kvist',
        version: '0',
        api: '/v1',
        docs: '/docs',
        openapi: '/openapi.json',
      })
    }
  })

  test('has no other methods', async () => {
    const response = await fetch(`${server.url}/`, { method: 'POST', body: '1' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })
})
