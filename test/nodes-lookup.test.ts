import { afterEach, expect, test } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { parseConfig } from '../src/config.ts'
import { noSettings } from '../src/core/settings.ts'
import { manualTimers } from './support/manual-timers.ts'
import { startNode, type TestNode, type TestNodeOptions } from './support/nodes.ts'

/** Reads and deletes of members that only other nodes hold, between servers in this process. */

const noonMs = Date.UTC(2026, 5, 1, 12)
const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function node(options: TestNodeOptions = {}): Promise<TestNode> {
  const started = await startNode({ timers: manualTimers(), ...options })
  running.push(started)
  return started
}

/** Starts two nodes that hold members, and one that asks them. */
async function three(options: TestNodeOptions = {}) {
  const [a, b, asking] = [await node(options), await node(options), await node({ ...options, looksUp: true })]
  const lookup = asking.lookUpIn([a.url, b.url])
  return { a, b, asking, lookup }
}

const json = (value: unknown, expiresAtMs: number | null = null) => ({
  value: JSON.stringify(value),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

const get = async (url: string, init?: RequestInit) => {
  const response = await fetch(url, init)
  return [response.status, await response.text()] as const
}

/** A server that accepts connections and never responds. */
function silentServer(): string {
  const server = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  running.push({ stop: () => server.stop(true) })
  return `http://127.0.0.1:${server.port}`
}

test('a member that another node holds is read, byte for byte, and nothing of it is stored', async () => {
  const { a, asking, lookup } = await three({ now: () => noonMs })
  await a.db.put('c', 'k', { ...json(1, noonMs + 90_000), value: '{ "a": 1.0 }' })
  const response = await fetch(`${asking.url}/v1/c/k`)
  expect([response.status, await response.text()]).toEqual([200, '{ "a": 1.0 }'])
  expect(response.headers.get('kvist-expires-at')).toBe('2026-06-01T12:01:30.000Z')
  const head = await fetch(`${asking.url}/v1/c/k`, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length'), head.headers.get('etag')]).toEqual([
    200,
    '12',
    response.headers.get('etag'),
  ])
  const bytes = new Uint8Array([0, 255, 10])
  await a.db.put('c', 'bytes', { value: bytes, contentType: 'image/png', flags: 7, expiresAtMs: null })
  const image = await fetch(`${asking.url}/v1/c/bytes`)
  expect(image.headers.get('content-type')).toBe('image/png')
  expect(new Uint8Array(await image.arrayBuffer())).toEqual(bytes)
  expect(await get(`${asking.url}/v1/c`)).toEqual([200, expect.stringContaining('"members":[]')])
  expect(lookup.counts()).toEqual({ found: 3, missing: 0, unknown: 0 })
})

test('the tag of a found member is that of its version, whichever node holds it, and of none of this node', async () => {
  const { a, asking } = await three()
  // Both nodes have revisions from 1 on: the tag must not be taken for one of them.
  await a.db.put('c', 'k', json('there'))
  const etag = (await fetch(`${asking.url}/v1/c/k`)).headers.get('etag')!
  expect((await fetch(`${asking.url}/v1/c/k`, { headers: { 'If-None-Match': etag } })).status).toBe(304)
  await asking.db.put('c', 'k', json('here'))
  const own = await fetch(`${asking.url}/v1/c/k`, { headers: { 'If-None-Match': etag } })
  expect([own.status, await own.text()]).toEqual([200, '"here"'])
})

test('of several versions the newest is read, and a newer tombstone wins over all', async () => {
  const clock = { nowMs: noonMs }
  const { a, b, asking } = await three({ now: () => clock.nowMs })
  await a.db.put('c', 'k', json('first'))
  clock.nowMs += 1
  await b.db.put('c', 'k', json('second'))
  expect(await get(`${asking.url}/v1/c/k`)).toEqual([200, '"second"'])
  clock.nowMs += 1
  await b.db.delete('c', 'k')
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(404)
  clock.nowMs += 1
  await a.db.put('c', 'k', json('third'))
  expect(await get(`${asking.url}/v1/c/k`)).toEqual([200, '"third"'])
})

test('a tombstone of this node wins over an older version elsewhere, and not over a newer one', async () => {
  const clock = { nowMs: noonMs }
  const { a, asking } = await three({ now: () => clock.nowMs })
  await a.db.put('c', 'k', json('old'))
  clock.nowMs += 1
  await asking.db.put('c', 'k', json('here'))
  await asking.db.delete('c', 'k')
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(404)
  clock.nowMs += 1
  await a.db.put('c', 'k', json('new'))
  expect(await get(`${asking.url}/v1/c/k`)).toEqual([200, '"new"'])
})

test('a member that has expired by the clock of this node is not found', async () => {
  const clock = { nowMs: noonMs }
  const a = await node({ now: () => noonMs })
  const asking = await node({ now: () => clock.nowMs, looksUp: true })
  asking.lookUpIn([a.url])
  await a.db.put('c', 'k', json(1, noonMs + 1000))
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(200)
  clock.nowMs += 1000
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(404)
})

test('a large value is read from the node that has the newest, whole and in parts', async () => {
  const clock = { nowMs: noonMs }
  const { a, b, asking } = await three({ now: () => clock.nowMs })
  const text = JSON.stringify('x'.repeat(300_000))
  await a.db.put('c', 'k', json('older'))
  clock.nowMs += 1
  await b.db.put('c', 'k', { ...json(1), value: text })
  expect(await get(`${asking.url}/v1/c/k`)).toEqual([200, text])
  const part = await fetch(`${asking.url}/v1/c/k`, { headers: { Range: 'bytes=0-3' } })
  expect([part.status, await part.text()]).toEqual([206, '"xxx'])
  const head = await fetch(`${asking.url}/v1/c/k`, { method: 'HEAD' })
  expect(head.headers.get('content-length')).toBe(`${text.length}`)
})

test('many members at once: what is here is from here, the rest from where it is', async () => {
  const { a, b, asking } = await three()
  await asking.db.put('c', 'here', json('here'))
  await a.db.put('c', 'a', json('on a'))
  await b.db.put('c', 'b', json('on b'))
  const kvist = new Kvist(asking.url)
  const found = await kvist.collection('c').getMany(['b', 'here', 'none', 'a', 'b'])
  expect(found.map((one) => one?.value ?? null)).toEqual(['on b', 'here', null, 'on a', 'on b'])
})

test('every dialect reads and deletes what is elsewhere', async () => {
  const { a, asking } = await three()
  const d = `${asking.url}/dialects`
  await a.db.put('text', 'a1', json({ uid: 'a1', value: 'v', check_sum: 1 }))
  expect((await get(`${d}/minstore/text/a1`))[0]).toBe(200)
  expect((await get(`${d}/minstore/text/a1`, { method: 'DELETE' }))[0]).toBe(200)
  expect((await get(`${d}/minstore/text/a1`))[0]).toBe(404)
  expect((await get(`${d}/minstore/text/a1`, { method: 'DELETE' }))[0]).toBe(404)
  expect(await a.db.get('text', 'a1')).toBeNull()
  await a.db.put('users', '1', json({ id: '1' }))
  expect(await get(`${d}/ozza/users/1`)).toEqual([200, expect.stringContaining('"id":"1"')])
  expect((await get(`${d}/ozza/users/1`, { method: 'HEAD' }))[0]).toBe(200)
  expect(await get(`${d}/ozza/users/1`, { method: 'DELETE' })).toEqual([
    200,
    '{"result":"Delete successful"}',
  ])
  expect((await get(`${d}/ozza/users/1`, { method: 'HEAD' }))[0]).toBe(204)
  await a.db.put('keys', 'k', json('v'))
  expect(await get(`${d}/keys/keys/k`)).toEqual([200, '{"response":"v"}'])
  expect((await get(`${d}/keys/keys/k`, { method: 'DELETE' }))[0]).toBe(200)
  expect(await a.db.get('keys', 'k')).toBeNull()
})

test('a delete removes what other nodes hold, with its conditions, and later lookups find nothing', async () => {
  const { a, b, asking } = await three()
  await a.db.put('c', 'k', json(1))
  await b.db.put('c', 'k', json(2))
  const url = `${asking.url}/v1/c/k`
  const etag = (await fetch(url)).headers.get('etag')!
  expect((await get(url, { method: 'DELETE', headers: { 'If-Match': '"1"' } }))[0]).toBe(412)
  expect(await b.db.get('c', 'k')).not.toBeNull()
  expect((await get(url, { method: 'DELETE', headers: { 'If-Match': etag } }))[0]).toBe(204)
  expect([await a.db.get('c', 'k'), await b.db.get('c', 'k')]).toEqual([null, null])
  expect(await asking.db.removalCause('c', 'k')).toBe('delete')
  expect((await get(url, { method: 'DELETE' }))[0]).toBe(404)
  expect((await get(url, { method: 'DELETE', headers: { 'If-Match': etag } }))[0]).toBe(412)
})

test('a delete that did not reach a node is an error, and goes there when it is sent again', async () => {
  const writer = await node({ token: 'root' })
  const asking = await node({ looksUp: true })
  const create = async (can: readonly ('read' | 'replicate')[]) =>
    (
      await new Kvist(writer.url, { token: 'root' }).tokens.create({
        name: 'n',
        grants: [{ collections: '*', can }],
      })
    ).token
  const [reads, both] = [await create(['read']), await create(['read', 'replicate'])]
  await writer.db.put('c', 'k', json(1))
  asking.lookUpIn([writer.url], { token: reads })
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(200)
  const [status, body] = await get(`${asking.url}/v1/c/k`, { method: 'DELETE' })
  expect([status, JSON.parse(body).code, JSON.parse(body).nodes]).toEqual([
    503,
    'lookup_failed',
    [writer.url],
  ])
  expect(await writer.db.get('c', 'k')).not.toBeNull()
  // This node knows that the member is deleted.
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(404)
  asking.lookUpIn([writer.url], { token: both })
  expect((await get(`${asking.url}/v1/c/k`, { method: 'DELETE' }))[0]).toBe(204)
  expect(await writer.db.get('c', 'k')).toBeNull()
})

test('a delete reaches a target that was away, through the mirror', async () => {
  const [a, away] = [await node(), await node({ token: 'root' })]
  const asking = await node({ looksUp: true })
  await a.db.put('c', 'k', json(1))
  await away.db.put('c', 'k', json(1))
  asking.mirrorTo([away.url], { token: 'root' })
  asking.lookUpIn([a.url, away.url]) // without its token, the one does not answer
  expect((await get(`${asking.url}/v1/c/k`, { method: 'DELETE' }))[0]).toBe(204)
  expect(await a.db.get('c', 'k')).toBeNull()
  const deadline = Date.now() + 20_000
  while ((await away.db.get('c', 'k')) !== null && Date.now() < deadline) await Bun.sleep(5)
  expect(await away.db.get('c', 'k')).toBeNull()
})

test('404 only if all responded: otherwise 503 names the nodes, unless this one knows of the end', async () => {
  const a = await node()
  const asking = await node({ looksUp: true })
  const [silent, closed] = [silentServer(), 'http://127.0.0.1:9']
  const lookup = asking.lookUpIn([a.url, silent, closed], { timeoutMs: 50 })
  const response = await fetch(`${asking.url}/v1/c/k`)
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await response.json()).toMatchObject({ code: 'lookup_failed', nodes: [silent, closed] })
  expect((await get(`${asking.url}/v1/c/k`, { method: 'HEAD' }))[0]).toBe(503)
  expect((await get(`${asking.url}/v1/c/k`, { method: 'DELETE' }))[0]).toBe(503)
  expect(lookup.counts().unknown).toBe(3)
  expect(asking.warnings).toHaveLength(1)
  await asking.db.put('c', 'k', json(1))
  await asking.db.delete('c', 'k')
  expect((await get(`${asking.url}/v1/c/k`))[0]).toBe(404)
  await a.db.put('c', 'there', json(1))
  expect((await get(`${asking.url}/v1/c/there`))[0]).toBe(200)
})

test('nodes that ask each other, and themselves, ask once', async () => {
  const [a, b] = [await node({ looksUp: true }), await node({ looksUp: true })]
  const counts = [a, b].map((one) => one.lookUpIn([a.url, b.url]))
  expect((await get(`${a.url}/v1/c/k`))[0]).toBe(404)
  expect(counts.map((one) => one.counts().missing)).toEqual([1, 0])
  // The question itself, sent by a client, is about this node alone.
  await b.db.put('c', 'k', json(1))
  const question = { method: 'POST', body: '{"members":[{"collection":"c","key":"k"}]}' }
  const [, body] = await get(`${a.url}/v1/_lookup`, question)
  expect(JSON.parse(body)).toEqual({ node: a.db.nodeId, versions: [null] })
  expect(counts.map((one) => one.counts().found)).toEqual([0, 0])
})

test('a client finds what its own token may read, whatever the node may', async () => {
  const a = await node()
  const asking = await node({ token: 'root', looksUp: true })
  asking.lookUpIn([a.url])
  const kvist = new Kvist(asking.url, { token: 'root' })
  const grants = [{ collections: 'mine', can: ['read', 'write'] }] as const
  const { token } = await kvist.tokens.create({ name: 'n', grants })
  await a.db.put('mine', 'k', json(1))
  await a.db.put('other', 'k', json(1))
  const headers = { Authorization: `Bearer ${token}` }
  const ask = async (path: string, method = 'GET') =>
    (await fetch(asking.url + path, { method, headers })).status
  expect(await ask('/v1/mine/k')).toBe(200)
  expect(await ask('/v1/other/k')).toBe(403)
  expect(await ask('/v1/other/k', 'DELETE')).toBe(403)
  expect(await a.db.get('other', 'k')).not.toBeNull()
})

test.each([
  ['without members', '{}', 'invalid_request'],
  ['that is a list', '[]', 'invalid_request'],
  ['for tokens', '{"members":[{"collection":"_tokens","key":"k"}]}', 'invalid_collection'],
  ['without a key', '{"members":[{"collection":"c"}]}', 'invalid_key'],
  ['with a negative limit', '{"members":[],"max_value_bytes":-1}', 'invalid_request'],
  ['with another field', '{"members":[],"more":1}', 'invalid_request'],
  ['for too many', `{"members":[${Array(1001).fill('{"collection":"c","key":"k"}')}]}`, 'too_large'],
])('a question %s is refused', async (_name, body, code) => {
  const a = await node()
  const [, text] = await get(`${a.url}/v1/_lookup`, { method: 'POST', body })
  expect(JSON.parse(text).code).toBe(code)
})

test('what a node sends has all metadata, and large values only if they are asked for', async () => {
  const a = await node({ now: () => noonMs })
  await a.db.put('c', 'k', { ...json('x'.repeat(10), noonMs + 1000), flags: 3 })
  await a.db.put('c', 'gone', json(1))
  await a.db.delete('c', 'gone')
  await a.db.setSettings('c', noSettings)
  const kvist = new Kvist(a.url)
  const refs = ['k', 'gone', 'none'].map((key) => ({ collection: 'c', key }))
  const { node: id, versions } = await kvist.nodes.lookup(refs, 11)
  expect(id).toBe(a.db.nodeId)
  const shown = {
    type: 'put' as const,
    origin: { node: id, clock: expect.any(Number) },
    created_at: '2026-06-01T12:00:00.000Z',
    expires_at: '2026-06-01T12:00:01.000Z',
    content_type: 'application/json',
    flags: 3,
    value_bytes: 12,
  }
  expect(versions).toEqual([
    shown,
    { type: 'delete' as const, origin: { node: id, clock: expect.any(Number) } },
    null,
  ])
  expect((await kvist.nodes.lookup(refs, 12)).versions[0]).toEqual({ ...shown, value_text: '"xxxxxxxxxx"' })
})

test.each([
  [['--lookup'], '--lookup needs servers to ask'],
  [['--lookup-in', 'http://127.0.0.1:9'], 'for --lookup, which is missing'],
  [['--lookup', '--lookup-in', 'ftp://x'], '--lookup-in'],
  [['--lookup', '--lookup-in', 'http://127.0.0.1:9', '--lookup-timeout', '0'], '--lookup-timeout'],
])('%j is refused', (flags, why) => {
  expect(() => parseConfig(flags, {})).toThrow(why)
})
