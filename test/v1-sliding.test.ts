import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stored } from '../sdk/types.ts'
import { until } from './support/engine.ts'
import { openWatch } from './support/events.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { memcachedPortOf } from './support/memcached/serve.ts'
import { type TextClient, textClient } from './support/memcached/text-client.ts'
import { needing } from './support/needs.ts'
import { jsonOf, membersIn, put } from './support/responses.ts'
import { newFolder, startServer } from './support/server.ts'

/** Sliding expiry over the wire: what is read lives on for the default time, and nothing else of it changes. */

const ttlMs = 2000

/** The clock of the server. */
let nowMs = Date.UTC(2030, 0, 1)

let server: ServerInProcess
let memcached: TextClient
beforeAll(async () => {
  server = await serveInProcess({
    flags: ['--memcached-port', '0', '--memcached-collection', 'sliding'],
    now: () => nowMs,
  })
  memcached = await textClient(memcachedPortOf(server))
  await slide(server, 'sliding', ttlMs / 1000)
})
afterAll(() => server.stop())

async function slide({ url }: { url: string }, collection: string, ttl: number): Promise<void> {
  const body = JSON.stringify({ default_ttl: ttl, sliding: true })
  await jsonOf(fetch(`${url}/v1/_collections/${collection}`, { method: 'PUT', body }))
}

function at(key: string): string {
  return `${server.url}/v1/sliding/${key}`
}

/** When a member will be gone, as a read shows, which also renews it. */
async function expiryMs(url: string): Promise<number> {
  const { status, headers } = await fetch(url, { method: 'HEAD' })
  expect(status).toBe(200)
  return Date.parse(headers.get('kvist-expires-at')!)
}

/** Waits until it is stored that a member lives on for the whole time: the clock must not leave that behind. */
async function renewed(key: string): Promise<void> {
  // A list shows what is stored, and lets nothing live on.
  const list = `${server.url}/v1/sliding?filter=${key}`
  await until(async () => {
    const [member] = await membersIn(list)
    return Date.parse(String(member?.expires_at)) >= nowMs + ttlMs
  }, 'it is renewed')
}

/** Reads a member in some way, and says whether it is there. */
type Read = (key: string) => Promise<boolean>

const reads: Readonly<Record<string, Read>> = {
  get: async (key) => (await fetch(at(key))).ok,
  head: async (key) => (await fetch(at(key), { method: 'HEAD' })).ok,
  async 'not modified'(key) {
    return (await fetch(at(key), { headers: { 'if-none-match': '*' } })).status === 304
  },
  async poll(key) {
    return (await fetch(`${at(key)}?wait=0.01`, { headers: { 'if-none-match': '*' } })).status === 304
  },
  async memcached(key) {
    return (await memcached.ask(`get ${key}\r\n`, 'END\r\n')).startsWith('VALUE ')
  },
}

for (const [name, read] of Object.entries(reads)) {
  test(`${name} lets a member live on, and without it the member is gone in time`, async () => {
    const key = `read-by-${name.replaceAll(' ', '-')}`
    const { revision } = await jsonOf<Stored>(put(at(key), '{"a":1}'))
    for (let pauses = 0; pauses < 3; pauses++) {
      for (let i = 0; i < 3; i++) {
        nowMs += ttlMs / 20
        expect(await read(key)).toBe(true)
      }
      await renewed(key)
      nowMs += ttlMs * 0.8
    }
    expect(await read(key)).toBe(true)
    await renewed(key)
    const lastMs = nowMs
    nowMs = lastMs + ttlMs * 0.8
    const reply = await fetch(at(key))
    expect([reply.status, reply.headers.get('etag')]).toEqual([200, `"${revision}"`])
    const endMs = nowMs + ttlMs * 1.1
    expect(Date.parse(reply.headers.get('kvist-expires-at')!)).toBeWithin(lastMs, endMs + 1)
    nowMs = endMs + 1
    expect((await fetch(at(key))).status).toBe(404)
  })
}

test('lists, exports, the feed and watches let nothing live on', async () => {
  const keys = ['listed', 'streamed', 'fed', 'watched']
  const stored = await Promise.all(keys.map((key) => jsonOf<Stored>(put(at(key), '1'))))
  const goneAtMs = Math.max(...stored.map(({ expires_at }) => Date.parse(expires_at!)))
  const watch = await openWatch(at('watched'))
  for (; nowMs < goneAtMs; nowMs += ttlMs / 20) {
    await (await fetch(`${server.url}/v1/sliding?prefix=listed`)).text()
    await (
      await fetch(`${server.url}/v1/sliding?prefix=streamed`, { headers: { accept: 'application/x-ndjson' } })
    ).text()
    await (await fetch(`${server.url}/v1/_changes?collection=sliding&prefix=fed&limit=10`)).text()
  }
  for (const key of keys) expect([key, (await fetch(at(key))).status]).toEqual([key, 404])
  await watch.until(1)
  expect(watch.events.map(({ type }) => type)).toEqual(['expire'])
  watch.close()
})

test('a renewal is no change: not to conditions, and not to the feed', async () => {
  await slide(server, 'quiet', 60)
  const url = `${server.url}/v1/quiet/k`
  const stored = await jsonOf<Stored>(put(url, '1'))
  const storedMs = Date.parse(stored.expires_at!)
  const watch = await openWatch(url)
  const since = watch.lastId()
  nowMs += 7000
  await until(async () => (await expiryMs(url)) > storedMs, 'it is renewed')
  expect((await expiryMs(url)) - storedMs).toBeWithin(6000, 60_000)
  const { changes } = await jsonOf<{ changes: unknown[] }>(
    fetch(`${server.url}/v1/_changes?collection=quiet&since=${since}`),
  )
  expect(changes).toEqual([])
  const written = await put(url, '2', { 'if-match': `"${stored.revision}"` })
  expect(written.status).toBe(200)
  await watch.until(1)
  expect(watch.events).toHaveLength(1)
  watch.close()
})

test('a member keeps a longer life, and one without an end has none to renew', async () => {
  await slide(server, 'longer', 60)
  const url = `${server.url}/v1/longer`
  await put(`${url}/hour?expire_in=1h`, '1')
  await put(`${url}/short?expire_in=5s`, '1')
  const hourMs = await expiryMs(`${url}/hour`)
  await until(async () => (await expiryMs(`${url}/short`)) > nowMs + 55_000, 'it is renewed')
  expect(await expiryMs(`${url}/hour`)).toBe(hourMs)
  // Stored before there was a default.
  await put(`${server.url}/v1/endless/k`, '1')
  await slide(server, 'endless', 60)
  for (let i = 0; i < 3; i++) {
    expect((await fetch(`${server.url}/v1/endless/k`)).headers.get('kvist-expires-at')).toBeNull()
    nowMs += 30_000
  }
  const off = JSON.stringify({ default_ttl: 60 })
  await jsonOf(fetch(`${server.url}/v1/_collections/longer`, { method: 'PUT', body: off }))
  await put(`${url}/stays?expire_in=5s`, '1')
  const staysMs = await expiryMs(`${url}/stays`)
  nowMs += 4000
  expect(await expiryMs(`${url}/stays`)).toBe(staysMs)
})

needing('process').test(
  'what was renewed lives on after a kill, and what waits to be renewed after a stop',
  async () => {
    const config = join(newFolder(), 'config.json')
    writeFileSync(config, '{"collections":{"c":{"default_ttl":"60s","sliding":true}}}')
    const flags = ['--config', config]
    let own = await startServer({ flags })
    const { dataFolder } = own
    const reopened = () => startServer({ flags, dataFolder })
    try {
      const settings = await fetch(`${own.url}/v1/_collections/c`)
      expect(await settings.text()).toBe(
        '{"processes":null,"default_ttl":60,"sliding":true,"max_members":null,"max_bytes":null,"max_value_bytes":null,"schema":null,"indexes":[]}\n',
      )
      const keys = Array.from({ length: 50 }, (_, i) => `k${i}`)
      const stored = await Promise.all(keys.map((key) => jsonOf<Stored>(put(`${own.url}/v1/c/${key}`, '1'))))
      const expiries = () => Promise.all(keys.map((key) => expiryMs(`${own.url}/v1/c/${key}`)))
      let known = stored.map(({ expires_at }) => Date.parse(expires_at!))
      const first = known
      await until(async () => {
        known = await expiries()
        return known.every((ms, i) => ms > first[i]!)
      }, 'all are renewed')
      await own.crash()
      own = await reopened()
      for (const [i, ms] of (await expiries()).entries()) expect(ms).toBeGreaterThanOrEqual(known[i]!)

      const url = `${own.url}/v1/c/last`
      const last = Date.parse((await jsonOf<Stored>(put(url, '1'))).expires_at!)
      expect(await expiryMs(url)).toBe(last)
      expect(await own.stop()).toBe(0)
      own = await reopened()
      expect(await expiryMs(`${own.url}/v1/c/last`)).toBeGreaterThanOrEqual(last + 6000)
    } finally {
      await own.remove()
    }
  },
)
