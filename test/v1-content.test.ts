import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { manualTimers } from './support/manual-timers.ts'
import { put } from './support/responses.ts'

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

  test('do not keep a stream', async () => {
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

describe('lists', () => {
  const tagOf = async (path: string, headers = {}) =>
    (await fetch(v1 + path, { headers })).headers.get('etag')!
  const statusOf = async (path: string, tag: string, headers = {}) =>
    (await fetch(v1 + path, { headers: { 'if-none-match': tag, ...headers } })).status

  test('have a tag that every change of the collection makes another one, whatever of it they show', async () => {
    const paths = ['/tags', '/tags?limit=1&include=keys', '/tags?prefix=z', '/tags?delimiter=/']
    const ndjsonAccept = { accept: 'application/x-ndjson' }
    const all = async () => [
      ...(await Promise.all(paths.map((path) => tagOf(path)))),
      await tagOf('/tags', ndjsonAccept),
    ]
    const changes: [string, () => Promise<unknown>][] = [
      ['put', () => put(`${v1}/tags/a`, '1')],
      ['replaced by itself', () => put(`${v1}/tags/a`, '1')],
      [
        'patched',
        () =>
          fetch(`${v1}/tags/a`, {
            method: 'PATCH',
            body: '{}',
            headers: { 'content-type': 'application/json' },
          }),
      ],
      [
        'batched',
        () =>
          fetch(`${v1}/_batch`, {
            method: 'POST',
            body: '{"operations":[{"op":"increment","collection":"tags","key":"n"}]}',
          }),
      ],
      [
        'imported',
        () =>
          fetch(`${v1}/tags`, {
            method: 'POST',
            body: '{"key":"b","value":1}',
            headers: { 'content-type': 'application/jsonl' },
          }),
      ],
      ['deleted', () => fetch(`${v1}/tags/a`, { method: 'DELETE' })],
      ['dropped', () => fetch(`${v1}/tags?prefix=b`, { method: 'DELETE' })],
    ]
    let before = await all()
    const seen = new Set(before)
    for (const [what, change] of changes) {
      for (const [i, path] of paths.entries())
        expect([what, path, await statusOf(path, before[i]!)]).toEqual([what, path, 304])
      expect(await all()).toEqual(before)
      await change()
      const after = await all()
      for (const [i, path] of paths.entries())
        expect([what, path, await statusOf(path, before[i]!)]).toEqual([what, path, 200])
      for (const tag of after) expect(seen).not.toContain(tag)
      for (const tag of after) seen.add(tag)
      before = after
    }
  })

  test('are not those of another form or another collection', async () => {
    await put(`${v1}/forms/a`, '1')
    const page = await tagOf('/forms')
    const lines = await tagOf('/forms', { accept: 'application/x-ndjson' })
    expect(await statusOf('/forms', page, { accept: 'application/x-ndjson' })).toBe(200)
    expect(await statusOf('/forms', lines)).toBe(200)
    expect(await statusOf('/forms', `"x", ${page}`)).toBe(304)
    expect(await statusOf('/forms', page.replace('W/', ''))).toBe(304)
    expect(await statusOf('/forms', lines, { accept: 'application/x-ndjson' })).toBe(304)
    await put(`${v1}/others/a`, '1')
    expect(await tagOf('/forms')).toBe(page)
    expect(await statusOf('/forms?limit=x', page)).toBe(400)
    expect(await statusOf('/forms', 'nonsense')).toBe(400)
    const { headers, status } = await fetch(`${v1}/forms`, {
      method: 'HEAD',
      headers: { 'if-none-match': page },
    })
    expect([status, headers.get('etag'), headers.get('vary')]).toEqual([304, page, 'Accept, Accept-Encoding'])
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

test('a list whose members have expired is not what it was, swept or not', async () => {
  let nowMs = Date.now()
  const timers = manualTimers()
  const own = await startInProcess(() => nowMs, null, timers)
  try {
    await put(`${own.url}/v1/c/lasting`, '1')
    await put(`${own.url}/v1/c/brief?expire_in=1h`, '1')
    const list = (tag = '"none"') =>
      fetch(`${own.url}/v1/c?include=keys`, { headers: { 'if-none-match': tag } })
    const tag = (await list()).headers.get('etag')!
    expect((await list(tag)).status).toBe(304)
    nowMs += 3_600_000
    let response = await list(tag)
    expect([response.status, response.headers.get('etag')]).toEqual([200, null])
    expect(await response.json()).toMatchObject({ members: [{ key: 'lasting' }] })
    timers.pass(1000)
    await until(() => own.db.stats().swept === 1, 'it is swept')
    response = await list(tag)
    expect(await response.json()).toMatchObject({ members: [{ key: 'lasting' }] })
    expect(response.status).toBe(200)
    expect(response.headers.get('etag')).not.toBe(tag)
  } finally {
    await own.stop()
  }
})

describe('/', () => {
  test('sends a browser to the console', async () => {
    const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
    const response = await fetch(`${server.url}/`, { headers: { accept }, redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([307, '/console/'])
    expect((await fetch(`${server.url}/`, { headers: { accept } })).headers.get('content-type')).toContain(
      'text/html',
    )
  })

  test('shows others where the API is', async () => {
    for (const accept of ['*/*', 'application/json', 'text/html;q=0']) {
      const response = await fetch(`${server.url}/`, { headers: { accept } })
      expect(await response.json()).toEqual({
        name: 'kvist',
        version: '0',
        api: '/v1',
        console: '/console/',
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
