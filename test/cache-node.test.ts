import { afterEach, describe, expect, test } from 'bun:test'
import { type CacheNode, startCache } from './support/cache-node.ts'
import { until } from './support/engine.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { type Link, startLink } from './support/link.ts'
import { expectProblem, jsonOf, put } from './support/responses.ts'

/** A cache node in front of a server, over the wire, both in the process of the test. */

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function startOrigin(env: Readonly<Record<string, string>> = {}): Promise<ServerInProcess> {
  const origin = await serveInProcess({ env })
  stops.push(origin.stop)
  return origin
}

async function linkTo(url: string): Promise<Link> {
  const link = await startLink(url)
  stops.push(link.stop)
  return link
}

async function cacheOf(urls: readonly string[], flags: readonly string[] = []): Promise<CacheNode> {
  const cache = await startCache(urls, flags)
  stops.push(cache.stop)
  return cache
}

/** A server, a link that can be cut, and a cache that follows it. */
async function start(flags: readonly string[] = []) {
  const origin = await startOrigin()
  const link = await linkTo(origin.url)
  const cache = await cacheOf([link.url], flags)
  await cache.reaches('followed')
  return { origin, link, cache }
}

/** What the cache did, without the name of the node. */
function didOf(response: Response): string {
  return response.headers.get('cache-status')?.replace('kvist; ', '') ?? ''
}

async function read(url: string, headers: Record<string, string> = {}): Promise<[text: string, did: string]> {
  const response = await fetch(url, { headers })
  return [await response.text(), didOf(response)]
}

/** Reads until the response is from memory: on a busy machine the token may have to be checked again first. */
async function hit(url: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const response = await fetch(url, init)
    if (didOf(response) === 'hit') return response
    await response.arrayBuffer()
  }
}

describe('a member', () => {
  test('is asked for once and then served from memory, as the origin sent it', async () => {
    const { origin, cache } = await start()
    await put(`${origin.url}/v1/c/k%2Fé`, '{"n": 1.0}')
    const direct = await fetch(`${origin.url}/v1/c/k/é`)
    expect(await read(`${cache.url}/v1/c/k/é`)).toEqual(['{"n": 1.0}', 'fwd=uri-miss; fwd-status=200'])
    const served = await hit(`${cache.url}/v1/c/k%2Fé`)
    expect(await served.text()).toBe('{"n": 1.0}')
    expect(served.headers.get('age')).toMatch(/^[012]$/)
    expect(served.headers.get('via')).toMatch(/^1\.1 kvist-/)
    for (const [name, value] of direct.headers) {
      if (name !== 'date' && name !== 'last-modified')
        expect(`${name}: ${served.headers.get(name)}`).toBe(`${name}: ${value}`)
    }
  })

  test('that is changed at the origin is new at the cache a moment later', async () => {
    const { origin, cache } = await start()
    for (let n = 0; n < 20; n++) {
      await put(`${origin.url}/v1/c/k`, `${n}`)
      await until(async () => (await read(`${cache.url}/v1/c/k`))[0] === `${n}`, 'the cache has it')
    }
    await fetch(`${origin.url}/v1/c/k`, { method: 'DELETE' })
    await until(async () => (await fetch(`${cache.url}/v1/c/k`)).status === 404, 'it is gone')
  })

  test('that is written through the cache is new at once', async () => {
    const { cache } = await start()
    const url = `${cache.url}/v1/c/k`
    for (let n = 0; n < 20; n++) {
      expect((await put(url, `${n}`)).status).toBe(n === 0 ? 201 : 200)
      expect((await read(url))[0]).toBe(`${n}`)
      expect(await (await hit(url)).text()).toBe(`${n}`)
    }
    const patched = await fetch(url, {
      method: 'PATCH',
      headers: { 'content-type': 'application/vnd.kvist.increment+json' },
      body: '{"path":"","by":5}',
    })
    expect(patched.status).toBe(200)
    expect((await read(url))[0]).toBe('24')
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(204)
    expect((await fetch(url)).status).toBe(404)
  })

  test('whose expiry alone is changed through the cache shows it at once', async () => {
    const { cache } = await start()
    const url = `${cache.url}/v1/c/k`
    await put(url, '1')
    await hit(url)
    expect((await fetch(`${url}?expire_in=1h`, { method: 'PATCH' })).status).toBe(200)
    expect((await fetch(url)).headers.get('kvist-expires-at')).not.toBeNull()
  })

  test.each([
    [
      'a batch',
      '/v1/_batch',
      '{"operations":[{"op":"put","collection":"c","key":"k","value":2}]}',
      'application/json',
    ],
    ['an import', '/v1/c', '{"key":"k","value":2}\n', 'application/x-ndjson'],
  ])('that %s through the cache changes is new at once', async (_, path, body, type) => {
    const { cache } = await start()
    await put(`${cache.url}/v1/c/k`, '1')
    await put(`${cache.url}/v1/c/other`, '1')
    for (const key of ['k', 'other']) await read(`${cache.url}/v1/c/${key}`)
    const headers = { 'content-type': type }
    expect((await fetch(cache.url + path, { method: 'POST', headers, body })).status).toBe(200)
    expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('2')
    // What is held of others is used again when the feed has been read.
    await hit(`${cache.url}/v1/c/other`)
  })

  test('that a drop or a dialect removes or changes is new at once', async () => {
    const { cache } = await start()
    await put(`${cache.url}/v1/c/k`, '1')
    await read(`${cache.url}/v1/c/k`)
    expect((await fetch(`${cache.url}/v1/c`, { method: 'DELETE' })).status).toBe(200)
    expect((await fetch(`${cache.url}/v1/c/k`)).status).toBe(404)
    const stored = await fetch(`${cache.url}/dialects/tenantbase/set-value`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"key":"code","value":"test"}',
    })
    expect(stored.status).toBe(200)
    expect((await read(`${cache.url}/v1/cache/code`))[0]).toContain('test')
  })

  test('that is missing is remembered as missing until it is written', async () => {
    const { origin, cache } = await start()
    const url = `${cache.url}/v1/c/k`
    await expectProblem(await fetch(url), 404, 'not_found')
    expect((await hit(url)).status).toBe(404)
    expect((await fetch(url, { headers: { 'if-none-match': '"0"' } })).status).toBe(304)
    expect((await fetch(url, { headers: { 'if-none-match': '*' } })).status).toBe(404)
    await put(`${origin.url}/v1/c/k`, '1')
    await until(async () => (await fetch(url)).status === 200, 'it is there')
  })

  test('is served by its tag, to HEAD, and with conditions of both kinds', async () => {
    const { cache } = await start()
    const url = `${cache.url}/v1/c/k`
    const etag = (await put(url, '[1,2,3]')).headers.get('etag') ?? ''
    await read(url)
    const known = await hit(url, { headers: { 'if-none-match': `"7", W/${etag}` } })
    expect([known.status, known.headers.get('etag')]).toEqual([304, etag])
    expect((await fetch(url, { headers: { 'if-none-match': '"7"' } })).status).toBe(200)
    expect((await fetch(url, { headers: { 'if-none-match': '*' } })).status).toBe(304)
    await expectProblem(await fetch(url, { headers: { 'if-none-match': 'x' } }), 400, 'invalid_request')
    await read(url)
    const head = await fetch(url, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '7'])
    for (const headers of [
      { 'if-match': etag },
      { 'if-modified-since': new Date(0).toUTCString() },
      { 'cache-control': 'no-cache' },
    ]) {
      expect(await read(url, headers as Record<string, string>)).toEqual(['[1,2,3]', 'fwd=bypass'])
    }
    await expectProblem(await fetch(url, { headers: { 'if-match': '"7"' } }), 412, 'precondition_failed')
    const part = await fetch(url, { headers: { range: 'bytes=1-3' } })
    expect([part.status, await part.text()]).toEqual([206, '1,2'])
    const other = await put(url, '5', { 'if-match': '"7"' })
    await expectProblem(other, 412, 'precondition_failed')
    expect((await read(url))[0]).toBe('[1,2,3]')
  })

  test('with an expiry is asked for each time, so that its expiry slides and touches count', async () => {
    const { origin, cache } = await start()
    const url = `${cache.url}/v1/c/k`
    await put(`${url}?expire_in=1h`, '"v"')
    const first = await fetch(url)
    const touched = await fetch(`${origin.url}/v1/c/k?expire_in=2h`, { method: 'PATCH' })
    expect(touched.status).toBe(200)
    const second = await fetch(url)
    expect([await second.text(), didOf(second)]).toEqual(['"v"', 'fwd=stale; fwd-status=304'])
    const expiryOf = (response: Response) => Date.parse(response.headers.get('kvist-expires-at') ?? '')
    expect(expiryOf(second) - expiryOf(first)).toBeGreaterThan(3_000_000)
  })

  test('of any size and type is the same by way of the cache', async () => {
    const { cache } = await start(['--cache-bytes', '1MiB'])
    for (const bytes of [0, 1, 70_000, 120_000, 1_000_000]) {
      const value = new Uint8Array(bytes).map((_, i) => i * 7)
      const url = `${cache.url}/v1/c/b${bytes}`
      expect((await put(url, value, { 'content-type': 'image/png' })).status).toBe(201)
      for (let i = 0; i < 2; i++) {
        const response = await fetch(url)
        expect(response.headers.get('content-type')).toBe('image/png')
        expect(Buffer.from(await response.arrayBuffer()).equals(Buffer.from(value))).toBe(true)
      }
    }
    const { cache: numbers } = await cache.status()
    expect(numbers.bytes).toBeLessThanOrEqual(1024 * 1024)
  })
})

describe('what is not a member', () => {
  test('lists, reads of many, exports, settings, metadata and errors are passed on', async () => {
    const { origin, cache } = await start()
    for (const key of ['a', 'b']) await put(`${origin.url}/v1/c/${key}`, `"${key}"`)
    for (const path of [
      '/v1',
      '/v1/c',
      '/v1/c?include=keys',
      '/v1/_collections/c',
      '/openapi.json',
      '/v1/_bad/x',
      '/v1/c/a?x=1',
    ]) {
      const direct = await fetch(origin.url + path)
      const passed = await fetch(cache.url + path)
      expect(passed.status).toBe(direct.status)
      expect(await passed.text()).toBe(await direct.text())
      expect(didOf(passed)).toBe('fwd=bypass')
    }
    const body = '{"members":[{"collection":"c","key":"a"}]}'
    const headers = { 'content-type': 'application/json' }
    const found = await jsonOf<{ members: { value: string }[] }>(
      fetch(`${cache.url}/v1/_read`, { method: 'POST', headers, body }),
    )
    expect(found.members[0]?.value).toBe('a')
    const lines = await fetch(`${cache.url}/v1/c`, { headers: { accept: 'application/x-ndjson' } })
    expect((await lines.text()).trim().split('\n')).toHaveLength(2)
  })

  test('a query is passed on, and what is held stays', async () => {
    const { origin, cache } = await start()
    await put(`${origin.url}/v1/c/a`, '{"n":1}')
    await put(`${origin.url}/v1/c/b`, '{"n":2}')
    const isHeld = async () => didOf(await fetch(`${cache.url}/v1/c/a`)) === 'hit'
    await until(isHeld, 'the cache holds it')
    const where = '@.n > 1'
    const asked = { method: 'POST', headers: { 'content-type': 'application/json' } }
    const query = await fetch(`${cache.url}/v1/_query`, {
      ...asked,
      body: JSON.stringify({ collection: 'c', where }),
    })
    const list = await fetch(`${cache.url}/v1/c?${new URLSearchParams({ where })}`)
    for (const found of [query, list]) {
      expect(await jsonOf<object>(found)).toMatchObject({ members: [{ key: 'b' }], complete: true })
    }
    const body = '{"members":[{"collection":"c","key":"a"}]}'
    await fetch(`${cache.url}/v1/_read`, { ...asked, body })
    expect(await isHeld()).toBe(true)
  })

  test('compressed responses stay compressed, and are not for those who did not ask', async () => {
    const { origin, cache } = await start()
    for (let i = 0; i < 100; i++) await put(`${origin.url}/v1/c/${i}`, `"${'x'.repeat(50)}"`)
    const plain = await fetch(`${cache.url}/v1/c`, { headers: { 'accept-encoding': 'identity' } })
    expect(plain.headers.get('content-encoding')).toBeNull()
    const packed = await fetch(`${cache.url}/v1/c`, { headers: { 'accept-encoding': 'gzip' } })
    expect(packed.headers.get('content-encoding')).toBe('gzip')
    expect(await packed.text()).toBe(await plain.text())
  })

  test('watches and long polls are passed on as they happen', async () => {
    const { origin, cache } = await start()
    const stop = new AbortController()
    const watch = await fetch(`${cache.url}/v1/c/k`, {
      headers: { accept: 'text/event-stream' },
      signal: stop.signal,
    })
    expect(watch.headers.get('content-type')).toBe('text/event-stream')
    const reader = watch.body!.pipeThrough(new TextDecoderStream()).getReader()
    let seen = (await reader.read()).value ?? ''
    await put(`${origin.url}/v1/c/k`, '"first"')
    while (!seen.includes('"first"')) seen += (await reader.read()).value ?? ''
    const etag = (await fetch(`${cache.url}/v1/c/k`)).headers.get('etag') ?? ''
    const poll = fetch(`${cache.url}/v1/c/k?wait=60s`, { headers: { 'if-none-match': etag } })
    await put(`${origin.url}/v1/c/k`, '"second"')
    expect(await (await poll).text()).toBe('"second"')
    while (!seen.includes('"second"')) seen += (await reader.read()).value ?? ''
    stop.abort()
  })

  test('a watch ends at the origin when its client goes, and at the client when the cache stops', async () => {
    const { origin, cache } = await start(['--stop-timeout', '10s'])
    const open = async () => {
      const text = await (await fetch(`${origin.url}/metrics`)).text()
      return Number(/kvist_open_watches\{kind="store"\} (\d+)/.exec(text)?.[1])
    }
    const stop = new AbortController()
    const headers = { accept: 'text/event-stream' }
    await fetch(`${cache.url}/v1/_changes`, { headers, signal: stop.signal })
    await until(async () => (await open()) === 1, 'the watch is open')
    stop.abort()
    await until(async () => (await open()) === 0, 'the watch is closed')
    const left = await fetch(`${cache.url}/v1/_changes`, { headers })
    const rest = left.text().catch(() => '')
    await cache.stop()
    expect(await rest).toContain('watching')
  })

  test('keys that URL parsers would change arrive as they are', async () => {
    const { origin, cache } = await start()
    const { port } = new URL(cache.url)
    for (const key of ['a\\b', 'a/../b', '..', './x', 'a%2e/b'].map((one) => one)) {
      const status = await rawStatus(Number(port), `PUT /v1/steps/${key}`)
      expect(`${key} ${status}`).toBe(`${key} 201`)
    }
    const page = await jsonOf<{ members: { key: string }[] }>(fetch(`${origin.url}/v1/steps`))
    expect(page.members.map(({ key }) => key).toSorted()).toEqual(['..', './x', 'a./b', 'a/../b', 'a\\b'])
    expect(await rawStatus(Number(port), 'GET /docs/../v1')).toBe(400)
  })
})

/** Sends a request that no URL parser has touched. */
async function rawStatus(port: number, line: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data(_, bytes) {
        resolve(Number(bytes.toString().split(' ')[1]))
      },
    },
  })
  const body = line.startsWith('PUT')
    ? 'Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1'
    : '\r\n'
  socket.write(`${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${body}`)
  const status = await promise
  socket.end()
  return status
}

describe('when the origin is away', () => {
  test('what is held is served as stale, the rest and all writes are refused; then all is new again', async () => {
    const { origin, link, cache } = await start()
    for (const key of ['held', 'changed', 'deleted', 'unread']) await put(`${origin.url}/v1/c/${key}`, '1')
    await put(`${origin.url}/v1/c/expiring?expire_in=1h`, '1')
    for (const key of ['held', 'changed', 'deleted', 'expiring']) await read(`${cache.url}/v1/c/${key}`)
    link.set('cut')
    await cache.reaches('down')
    for (const key of ['held', 'changed', 'deleted', 'expiring']) {
      const stale = await fetch(`${cache.url}/v1/c/${key}`)
      expect(await stale.text()).toBe('1')
      expect(didOf(stale)).toMatch(/^hit; ttl=-\d+; detail="no origin responds"$/)
      expect(Number(stale.headers.get('age'))).toBeGreaterThanOrEqual(0)
    }
    expect((await fetch(`${cache.url}/readyz`)).status).toBe(200)
    for (const [method, path] of [
      ['PUT', '/v1/c/held'],
      ['DELETE', '/v1/c/held'],
      ['POST', '/v1/_batch'],
      ['GET', '/v1/c/unread'],
      ['GET', '/v1/c'],
    ] as const) {
      const refused = await fetch(cache.url + path, { method, ...(method === 'PUT' ? { body: '2' } : {}) })
      expect(refused.headers.get('retry-after')).toBe('1')
      await expectProblem(refused, 503, 'unavailable')
    }
    await put(`${origin.url}/v1/c/changed`, '2')
    await fetch(`${origin.url}/v1/c/deleted`, { method: 'DELETE' })
    link.set('open')
    await cache.reaches('followed')
    expect((await read(`${cache.url}/v1/c/changed`))[0]).toBe('2')
    expect((await fetch(`${cache.url}/v1/c/deleted`)).status).toBe(404)
    expect((await read(`${cache.url}/v1/c/held`))[0]).toBe('1')
    expect((await put(`${cache.url}/v1/c/held`, '3')).status).toBe(200)
    expect((await read(`${cache.url}/v1/c/held`))[0]).toBe('3')
  })

  test('after --cache-stale nothing is served', async () => {
    const { origin, link, cache } = await start(['--cache-stale', '0s'])
    await put(`${origin.url}/v1/c/k`, '1')
    await read(`${cache.url}/v1/c/k`)
    link.set('cut')
    await until(async () => (await fetch(`${cache.url}/readyz`)).status === 503, 'the cache is not ready')
    await expectProblem(await fetch(`${cache.url}/v1/c/k`), 503, 'unavailable')
  })

  test('what has expired is not served', async () => {
    const { origin, link, cache } = await start()
    await put(`${origin.url}/v1/c/k?expire_in=2s`, '1')
    await read(`${cache.url}/v1/c/k`)
    link.set('cut')
    await cache.reaches('down')
    expect((await fetch(`${cache.url}/v1/c/k`)).status).toBe(200)
    await until(async () => (await fetch(`${cache.url}/v1/c/k`)).status === 503, 'it is not served any more')
  })

  test('a network that swallows everything is noticed: nothing old is served as current', async () => {
    const { origin, link, cache } = await start()
    const url = `${cache.url}/v1/c/k`
    await put(`${origin.url}/v1/c/k`, '1')
    await read(url)
    link.set('silent')
    const writing = put(`${cache.url}/v1/c/written`, '1')
    const listing = fetch(`${cache.url}/v1/c`)
    await put(`${origin.url}/v1/c/k`, '2')
    // For up to two seconds the cache cannot know; then it says so.
    let did = 'hit'
    while (did === 'hit') did = (await read(url))[1]
    expect(did).toMatch(/^hit; ttl=-\d/)
    await expectProblem(await writing, 504, 'outcome_unknown')
    await expectProblem(await listing, 503, 'unavailable')
    link.set('open')
    await cache.reaches('followed')
    expect((await read(url))[0]).toBe('2')
  })

  test('an origin that responds with errors is as one that is away', async () => {
    let status = 0
    const origin = await startOrigin()
    const front = Bun.serve({
      port: 0,
      fetch: (request) => {
        const { pathname, search } = new URL(request.url)
        if (status !== 0) return new Response('broken', { status })
        return fetch(origin.url + pathname + search, { headers: request.headers, method: request.method })
      },
    })
    stops.push(() => front.stop(true))
    const cache = await cacheOf([`http://127.0.0.1:${front.port}`])
    await cache.reaches('followed')
    await put(`${origin.url}/v1/c/k`, '1')
    await read(`${cache.url}/v1/c/k`)
    status = 500
    await cache.reaches('down')
    expect((await read(`${cache.url}/v1/c/k`))[1]).toMatch(/^hit; ttl/)
    status = 0
    await cache.reaches('followed')
  })
})

describe('several origins', () => {
  test('the next one is used, with nothing of the one before', async () => {
    const [first, second] = [await startOrigin(), await startOrigin()]
    const link = await linkTo(first.url)
    const cache = await cacheOf([link.url, second.url])
    await cache.reaches('followed')
    await put(`${first.url}/v1/c/k`, '"first"')
    await put(`${second.url}/v1/c/k`, '"second"')
    expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('"first"')
    link.set('cut')
    await until(async () => (await cache.status()).origins[1]?.state === 'followed', 'the second is followed')
    // Both have revision 1: a tag of the first must not confirm anything of the second.
    expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('"second"')
    expect((await cache.status()).origins.map(({ state }) => state)).toEqual(['down', 'followed'])
    link.set('open')
    expect((await put(`${cache.url}/v1/c/k`, '"new"')).status).toBe(200)
    expect(await (await fetch(`${second.url}/v1/c/k`)).text()).toBe('"new"')
  })

  test('another store at the address of an origin is noticed', async () => {
    const [first, second] = [await startOrigin(), await startOrigin()]
    const link = await linkTo(first.url)
    const cache = await cacheOf([link.url])
    await cache.reaches('followed')
    for (const key of ['a', 'b']) await put(`${first.url}/v1/c/${key}`, '"first"')
    for (const key of ['b', 'a']) await put(`${second.url}/v1/c/${key}`, '"second"')
    await read(`${cache.url}/v1/c/a`)
    link.lead(second.url)
    const { node } = await jsonOf<{ node: string }>(fetch(`${second.url}/v1/_nodes`))
    await until(async () => (await cache.status()).node === node, 'the other store is followed')
    expect((await read(`${cache.url}/v1/c/a`))[0]).toBe('"second"')
  })
})

describe('tokens', () => {
  const token = 'a-token-of-the-origin'
  const asRoot = { authorization: `Bearer ${token}` }

  async function startGuarded() {
    const origin = await startOrigin({ KVIST_TOKEN: token })
    const path = `${import.meta.dir}/../node_modules/.cache-token-${crypto.randomUUID()}`
    await Bun.write(path, token)
    stops.push(() => Bun.file(path).delete())
    const cache = await startCache([origin.url], ['--cache-token-file', path], asRoot)
    stops.push(cache.stop)
    await cache.reaches('followed')
    return { origin, cache }
  }

  async function create(
    origin: ServerInProcess,
    collections: string,
  ): Promise<{ token: string; id: string }> {
    const grants = [{ collections, can: ['read', 'write'] }]
    const body = JSON.stringify({ name: 'test', grants })
    const headers = { ...asRoot, 'content-type': 'application/json' }
    return jsonOf(fetch(`${origin.url}/v1/_tokens`, { method: 'POST', headers, body }))
  }

  test('what one client has read is not served to another that may not', async () => {
    const { origin, cache } = await startGuarded()
    const [mine, theirs] = [await create(origin, 'mine'), await create(origin, 'theirs')]
    const url = `${cache.url}/v1/mine/k`
    const as = (token: string) => ({ authorization: `Bearer ${token}` })
    await put(url, '"secret"', as(mine.token))
    expect((await read(url, as(mine.token)))[0]).toBe('"secret"')
    await hit(url, { headers: as(mine.token) })
    for (const headers of [
      {},
      as('wrong'),
      as(theirs.token),
      as(mine.token.slice(0, -1)),
      { authorization: 'Basic eDp5' },
    ]) {
      const response = await fetch(url, { headers: headers as Record<string, string> })
      const text = await response.text()
      expect([401, 403, 404]).toContain(response.status)
      expect(text).not.toContain('secret')
      const known = await fetch(url, {
        headers: { ...headers, 'if-none-match': '"1", "2", "3"' } as Record<string, string>,
      })
      expect([401, 403, 404]).toContain(known.status)
    }
    // A refusal of one does not take it from the other, and both share what they may see.
    expect((await read(url, as(mine.token)))[0]).toBe('"secret"')
    expect(await read(url, asRoot)).toEqual(['"secret"', expect.stringContaining('fwd-status=304')])
    await hit(url, { headers: asRoot })
  })

  test('that a member is missing is not shown to those who may not know', async () => {
    const { origin, cache } = await startGuarded()
    const theirs = await create(origin, 'theirs')
    expect((await fetch(`${cache.url}/v1/mine/none`, { headers: asRoot })).status).toBe(404)
    const response = await fetch(`${cache.url}/v1/mine/none`, {
      headers: { authorization: `Bearer ${theirs.token}` },
    })
    expect(response.status).toBe(403)
  })

  test('a token that is revoked gets nothing a moment later', async () => {
    const { origin, cache } = await startGuarded()
    const mine = await create(origin, 'mine')
    const headers = { authorization: `Bearer ${mine.token}` }
    const url = `${cache.url}/v1/mine/k`
    await put(url, '1', headers)
    await read(url, headers)
    expect(
      (await fetch(`${origin.url}/v1/_tokens/${mine.id}`, { method: 'DELETE', headers: asRoot })).status,
    ).toBe(204)
    const revokedAtMs = performance.now()
    let sinceMs = 0
    for (; sinceMs < 1500; sinceMs = performance.now() - revokedAtMs) {
      const { status } = await fetch(url, { headers })
      // The origin slows down whoever sends many wrong tokens.
      if (sinceMs > 1000) expect([401, 429]).toContain(status)
    }
  })

  test('pages of the cache itself are for those who may read all of the origin', async () => {
    const { origin, cache } = await startGuarded()
    const mine = await create(origin, 'mine')
    for (const path of ['/v1/_nodes', '/metrics']) {
      expect((await fetch(cache.url + path)).status).toBe(401)
      const scoped = { authorization: `Bearer ${mine.token}` }
      expect((await fetch(cache.url + path, { headers: scoped })).status).toBe(403)
      expect((await fetch(cache.url + path, { headers: asRoot })).status).toBe(200)
    }
    expect((await fetch(`${cache.url}/healthz`)).status).toBe(200)
    await origin.stop()
    await cache.reaches('down')
    const metrics = await fetch(`${cache.url}/metrics`, { headers: asRoot })
    expect(await metrics.text()).toContain(`kvist_origin_followed{origin="${origin.url}"} 0`)
    expect((await fetch(`${cache.url}/metrics`)).status).toBe(503)
  })

  test('without a token for the feed nothing is held, and the reason is shown', async () => {
    const origin = await startOrigin({ KVIST_TOKEN: token })
    const cache = await startCache([origin.url], [], asRoot)
    stops.push(cache.stop)
    await cache.reaches('passing')
    await put(`${cache.url}/v1/c/k`, '1', asRoot)
    for (let i = 0; i < 3; i++) {
      expect(await read(`${cache.url}/v1/c/k`, asRoot)).toEqual(['1', 'fwd=uri-miss; fwd-status=200'])
    }
    expect(JSON.stringify((await cache.status()).origins[0]?.last_error)).toContain('--cache-token-file')
  })

  test('tickets are passed on', async () => {
    const { cache } = await startGuarded()
    const headers = { ...asRoot, 'content-type': 'application/json' }
    const made = await fetch(`${cache.url}/v1/_tickets`, {
      method: 'POST',
      headers,
      body: '{"path":"/v1/c"}',
    })
    const { ticket } = await jsonOf<{ ticket: string }>(made)
    const watched = await fetch(`${cache.url}/v1/c?ticket=${ticket}`, {
      headers: { accept: 'text/event-stream' },
    })
    expect(watched.status).toBe(200)
    await watched.body?.cancel()
  })
})

test('a server that looks members up on others is passed on to, and nothing of it is held', async () => {
  const other = await startOrigin()
  const origin = await serveInProcess({ flags: ['--lookup', '--lookup-in', other.url] })
  stops.push(origin.stop)
  const cache = await cacheOf([origin.url])
  await cache.reaches('passing')
  await put(`${other.url}/v1/c/k`, '1')
  expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('1')
  await put(`${other.url}/v1/c/k`, '2')
  expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('2')
  await put(`${origin.url}/v1/c/k`, '3')
  expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('3')
})

describe('circles', () => {
  test('a cache of itself, and two of each other, say so', async () => {
    const link = await linkTo('http://127.0.0.1:1')
    const cache = await cacheOf([link.url])
    link.lead(cache.url)
    await expectProblem(await fetch(`${cache.url}/v1/c/k`), 508, 'loop_detected')
    await expectProblem(await put(`${cache.url}/v1/c/k`, '1'), 508, 'loop_detected')
    await until(() => cache.output().includes('it is this node itself'), 'the log says it')
    const other = await cacheOf([cache.url])
    link.lead(other.url)
    await expectProblem(await fetch(`${cache.url}/v1/c`), 508, 'loop_detected')
  })

  test('a cache of a cache is as current as the first', async () => {
    const { origin, cache } = await start()
    const second = await cacheOf([cache.url])
    await second.reaches('followed')
    for (let n = 0; n < 20; n++) {
      await put(`${origin.url}/v1/c/k`, `${n}`)
      await read(`${cache.url}/v1/c/k`)
      await until(async () => (await read(`${second.url}/v1/c/k`))[0] === `${n}`, 'the second has it')
    }
  })
})

describe('web pages', () => {
  test('of another origin, and of names that are not the own, are refused as by any server without a token', async () => {
    const { cache } = await start()
    const { port } = new URL(cache.url)
    const as = (headers: Record<string, string>) => fetch(`${cache.url}/v1/c/k`, { headers })
    await expectProblem(await as({ origin: 'https://evil.example' }), 403, 'forbidden_origin')
    await expectProblem(await as({ 'sec-fetch-site': 'cross-site' }), 403, 'forbidden_origin')
    await expectProblem(await as({ host: 'evil.example' }), 421, 'misdirected')
    // The own pages of the cache are no strangers to the origin.
    expect((await put(`${cache.url}/v1/c/k`, '1', { origin: `http://127.0.0.1:${port}` })).status).toBe(201)
    expect((await fetch(`${cache.url}/docs`)).status).toBe(200)
  })

  test('of --cors-origin may read, with the headers of the cache', async () => {
    const { cache } = await start(['--cors-origin', 'https://app.example'])
    await put(`${cache.url}/v1/c/k`, '1')
    const response = await fetch(`${cache.url}/v1/c/k`, { headers: { origin: 'https://app.example' } })
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(response.headers.get('vary')).toBe('Origin, Accept')
  })
})

test('a rate limit of the cache counts its clients by address', async () => {
  const origin = await startOrigin()
  const cache = await cacheOf([origin.url], ['--rate-limit', '3/m'])
  const statuses = []
  for (let i = 0; i < 4; i++) {
    statuses.push((await fetch(`${cache.url}/v1/c/k`, { headers: { authorization: `Bearer ${i}` } })).status)
  }
  expect(statuses.at(-1)).toBe(429)
})

test('an import of many lines passes through as a stream, and what is too large is refused as by the origin', async () => {
  const { origin, cache } = await start()
  const lines = Array.from({ length: 20_000 }, (_, i) => `{"key":"k${i}","value":"${'x'.repeat(100)}"}\n`)
  let at = 0
  const body = new ReadableStream({
    pull(controller) {
      if (at >= lines.length) return controller.close()
      controller.enqueue(new TextEncoder().encode(lines.slice(at, at + 500).join('')))
      at += 500
    },
  })
  const headers = { 'content-type': 'application/x-ndjson' }
  const imported = await fetch(`${cache.url}/v1/many`, {
    method: 'POST',
    headers,
    body,
    duplex: 'half',
  } as RequestInit)
  expect(await imported.json()).toEqual({ stored: 20_000, failed: [] })
  expect(
    (await jsonOf<{ collections: { members: number }[] }>(fetch(`${origin.url}/v1`))).collections[0]?.members,
  ).toBe(20_000)
  const large = new Uint8Array(17 * 1024 * 1024)
  await expectProblem(
    await put(`${cache.url}/v1/c/k`, large, { 'content-type': 'image/png' }),
    413,
    'too_large',
  )
})

test('many readers of one member are one request to the origin', async () => {
  const { origin, cache } = await start()
  await put(`${origin.url}/v1/c/k`, `"${'x'.repeat(1000)}"`)
  const before = (await cache.status()).cache
  const all = await Promise.all(Array.from({ length: 100 }, () => read(`${cache.url}/v1/c/k`)))
  expect(new Set(all.map(([text]) => text)).size).toBe(1)
  const { misses, hits, collapsed } = (await cache.status()).cache
  expect(misses! - before.misses!).toBe(1)
  expect(hits! - before.hits! + collapsed! - before.collapsed!).toBe(99)
})

test('a reader that goes away leaves the request to the others', async () => {
  const { origin, link, cache } = await start()
  await put(`${origin.url}/v1/c/k`, '1')
  link.set('silent')
  const stop = new AbortController()
  const first = fetch(`${cache.url}/v1/c/k`, { signal: stop.signal }).catch(() => null)
  const second = fetch(`${cache.url}/v1/c/k`)
  await Bun.sleep(20)
  stop.abort()
  await first
  link.set('open')
  // The connection was lost with what had been sent: the reader gets 503, and comes again.
  await (await second).text()
  await cache.reaches('followed')
  expect((await read(`${cache.url}/v1/c/k`))[0]).toBe('1')
})
