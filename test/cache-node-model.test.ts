import { afterEach, expect, test } from 'bun:test'
import { startCache } from './support/cache-node.ts'
import { serveInProcess } from './support/in-process-server.ts'
import { startLink } from './support/link.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import { put } from './support/responses.ts'

/**
 * Clients write numbers that grow, at the origin and through the cache, while the network between them is cut and silenced at
 * random. A reader at the cache never sees less than what was acknowledged two seconds before, nor than what any reader saw before.
 */

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** How long a cache may take to notice that it cannot know. */
const boundMs = 2000
const runMs = 8000
const keys = ['a', 'b', 'c/d', 'e']

/** The numbers of one member. Each is written once, one after the other. */
class History {
  private last = 0
  private readonly acknowledged: { readonly n: number; readonly atMs: number }[] = []
  /** The largest that a reader has seen, or that was acknowledged to a client of the cache. */
  seen = 0

  next(): number {
    return ++this.last
  }

  acknowledge(n: number, isThroughCache: boolean): void {
    this.acknowledged.push({ n, atMs: performance.now() })
    if (isThroughCache) this.seen = Math.max(this.seen, n)
  }

  /** The largest number that a read that begins now must not fall below. */
  least(): { readonly seen: number; readonly known: number } {
    const oldMs = performance.now() - boundMs
    const known = this.acknowledged.findLast(({ atMs }) => atMs < oldMs)?.n ?? 0
    return { seen: this.seen, known }
  }

  get largest(): number {
    return this.last
  }
}

type Write = (urls: { origin: string; cache: string }, key: string, n: number, r: Random) => Promise<boolean>

const json = { 'content-type': 'application/json' }
const path = (key: string) => `/v1/c/${encodeURIComponent(key)}`

/** Whether a write was acknowledged. */
async function isDone(response: Promise<Response>): Promise<boolean> {
  const { ok, body } = await response.then((found) => found).catch(() => ({ ok: false, body: null }))
  await body?.cancel().catch(() => {})
  return ok
}

const atOrigin: Write = ({ origin }, key, n) => isDone(put(origin + path(key), `${n}`))
const throughCache: Write = ({ cache }, key, n, r) => {
  const operations = [{ op: 'put', collection: 'c', key, value: n }]
  const ways = [
    () => put(cache + path(key), `${n}`),
    () => put(cache + path(key), `${n}`),
    () =>
      fetch(`${cache}/v1/_batch`, { method: 'POST', headers: json, body: JSON.stringify({ operations }) }),
    () =>
      fetch(cache + path(key), {
        method: 'PATCH',
        headers: { 'content-type': 'application/json-patch+json' },
        body: JSON.stringify([{ op: 'replace', path: '', value: n }]),
      }),
    () =>
      fetch(`${cache}/v1/c`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: `${JSON.stringify({ key, value: n })}\n`,
      }),
  ]
  return isDone(r.pick(ways)())
}

test('nothing goes backwards, and nothing older than two seconds is served as current', async () => {
  const r = random(seedOfRun())
  const origin = await serveInProcess()
  stops.push(origin.stop)
  const link = await startLink(origin.url)
  stops.push(link.stop)
  const cache = await startCache([link.url])
  stops.push(cache.stop)
  await cache.reaches('followed')
  const urls = { origin: origin.url, cache: cache.url }
  const histories = new Map(keys.map((key) => [key, new History()]))
  for (const key of keys) await put(origin.url + path(key), '0')
  const endMs = performance.now() + runMs
  const hasEnded = () => performance.now() > endMs
  const did = new Map<string, number>()

  async function write(key: string, history: History): Promise<void> {
    while (!hasEnded()) {
      const n = history.next()
      const isThrough = r.oneIn(2)
      if (await (isThrough ? throughCache : atOrigin)(urls, key, n, r)) history.acknowledge(n, isThrough)
      await Bun.sleep(r.int(30))
    }
  }

  async function read(key: string, history: History): Promise<void> {
    while (!hasEnded()) {
      const { seen, known } = history.least()
      const response = await fetch(cache.url + path(key))
      const text = await response.text()
      const status = response.headers.get('cache-status') ?? ''
      const what = status === '' ? `${response.status}` : status.replace(/-\d+;.*/, '')
      did.set(what, (did.get(what) ?? 0) + 1)
      if (!response.ok) {
        expect(`${response.status} ${text}`).toMatch(/^50[34] /)
        continue
      }
      const n = Number(text)
      const isStale = status.includes('ttl=-')
      expect(`${key} ${n} ${status}: not below ${Math.min(n, seen)}`).toBe(
        `${key} ${n} ${status}: not below ${seen}`,
      )
      if (!isStale) expect(Math.min(n, known)).toBe(known)
      expect(n).toBeLessThanOrEqual(history.largest)
      history.seen = Math.max(history.seen, n)
      await Bun.sleep(r.int(5))
    }
  }

  async function disturb(): Promise<void> {
    while (!hasEnded()) {
      await Bun.sleep(200 + r.int(800))
      link.set(r.pick(['cut', 'silent', 'open', 'open']))
      await Bun.sleep(r.int(600))
      link.set('open')
    }
  }

  const clients = [...histories].flatMap(([key, history]) => [
    write(key, history),
    read(key, history),
    read(key, history),
  ])
  await Promise.all([disturb(), ...clients])
  link.set('open')
  await cache.reaches('followed')
  for (const key of keys) {
    const direct = await (await fetch(origin.url + path(key))).text()
    expect(await (await fetch(cache.url + path(key))).text()).toBe(direct)
  }
  console.log(Object.fromEntries(did))
})
