import { beforeEach, describe, expect, test } from 'bun:test'
import { MemoryBudget } from '../net/budget.ts'
import { ResponseCache } from './cache.ts'
import type { Loaded } from './loads.ts'
import type { FeedSession, OriginRequest, OriginServer } from './origins.ts'

/** What a cache holds, with an origin whose responses come when the test lets them, and a clock that it moves. */

interface Sent extends OriginRequest {
  readonly target: string
  respond(response: Response): Promise<void>
  fail(): Promise<void>
}

const staleMs = 60_000
let sent: Sent[] = []
let nowMs = 0
let wallMs = 0
let cache: ResponseCache
let follower: {
  session: FeedSession | null
  origin: OriginServer
  currentAtMs: number
  unreadWriteAtMs: number
  isCurrent: (nowMs: number) => boolean
}

const origin: OriginServer = {
  url: 'http://origin',
  send(target, request) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    request.signal.addEventListener('abort', () => reject(request.signal.reason))
    sent.push({
      target,
      ...request,
      respond: (response) => settled(() => resolve(response)),
      fail: () => settled(() => reject(new Error('cut'))),
    })
    return promise
  },
}

async function settled(done: () => void): Promise<void> {
  done()
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

const newSession = (): FeedSession => ({ origin, node: 'n' })

beforeEach(() => {
  sent = []
  nowMs = 1000
  wallMs = 1_000_000
  follower = {
    session: newSession(),
    origin,
    currentAtMs: 1000,
    unreadWriteAtMs: Number.NEGATIVE_INFINITY,
    isCurrent: () => true,
  }
  cache = new ResponseCache({
    maxBytes: 80_000,
    follower,
    staleMs,
    via: '1.1 test',
    values: new MemoryBudget(1 << 20),
    now: () => wallMs,
    monotonicMs: () => nowMs,
  })
})

function member(revision: number, value: string, headers: Record<string, string> = {}): Response {
  const usual = { etag: `"${revision}"`, 'content-length': `${value.length}`, vary: 'Accept' }
  return new Response(value, { headers: { ...usual, ...headers } })
}

function missing(): Response {
  const headers = { 'content-type': 'application/problem+json', 'content-length': '2' }
  return new Response('{}', { status: 404, headers })
}

const confirmed = () => new Response(null, { status: 304, headers: { etag: '"1"' } })

function load(authorization = 'Bearer a', name = 'c/k') {
  const { isShared, result } = cache.load(name, `/v1/${name}`, authorization)
  result.catch(() => {})
  return { isShared, result }
}

/** The text of what was loaded. */
async function textOf({ result }: { result: Promise<Loaded> }): Promise<string> {
  const loaded = await result
  return 'held' in loaded ? new TextDecoder().decode(loaded.held.body) : loaded.response.text()
}

const hit = (authorization = 'Bearer a', name = 'c/k') => cache.hit(name, authorization, nowMs)

async function read(revision: number, authorization = 'Bearer a', name = 'c/k'): Promise<void> {
  const loading = load(authorization, name)
  await sent.at(-1)!.respond(member(revision, `${revision}`))
  await loading.result
}

const changed = (revision: number) => cache.changed({ collection: 'c', key: 'k', revision })

describe('a change', () => {
  test('drops an older state, and none that has it already', async () => {
    await read(5)
    changed(5)
    expect(hit()?.etag).toBe('"5"')
    changed(6)
    expect(hit()).toBeUndefined()
  })

  test('that arrives before an older response keeps that from being held', async () => {
    const loading = load()
    changed(2)
    await sent[0]!.respond(member(1, 'old'))
    expect(await textOf(loading)).toBe('old')
    expect(hit()).toBeUndefined()
  })

  test('that arrives before its own response lets that be held', async () => {
    const loading = load()
    changed(2)
    await sent[0]!.respond(member(2, 'new'))
    await loading.result
    expect(hit()?.etag).toBe('"2"')
  })

  test('sends later readers to the origin, not to a response that was asked for before it', async () => {
    const before = load()
    changed(2)
    const after = load()
    expect([before.isShared, after.isShared, sent.length]).toEqual([false, false, 2])
    await sent[1]!.respond(member(2, 'new'))
    await sent[0]!.respond(member(1, 'old'))
    expect(await textOf(after)).toBe('new')
    expect(hit()?.etag).toBe('"2"')
  })

  test('that is the second one of a request counts, too', async () => {
    const loading = load()
    changed(1)
    changed(2)
    await sent[0]!.respond(member(1, 'old'))
    await loading.result
    expect(hit()).toBeUndefined()
  })

  test('of another member changes nothing', async () => {
    await read(5)
    cache.changed({ collection: 'c', key: 'k2', revision: 9 })
    cache.changed({ collection: 'd', key: 'k', revision: 9 })
    expect(hit()?.etag).toBe('"5"')
  })

  test('drops that the member is missing', async () => {
    const loading = load()
    await sent[0]!.respond(missing())
    await loading.result
    expect(hit()?.status).toBe(404)
    changed(1)
    expect(hit()).toBeUndefined()
  })
})

describe('a write that is passed on', () => {
  test('of unknown members sends later readers to the origin, and the changes of the feed still count', async () => {
    const before = load()
    cache.closeLoads()
    const after = load()
    expect([after.isShared, sent.length]).toEqual([false, 2])
    changed(2)
    await sent[0]!.respond(member(1, 'old'))
    await before.result
    expect(hit()).toBeUndefined()
  })

  test('with an unknown outcome drops what is held, and what is on its way', async () => {
    await read(5)
    const loading = load('Bearer b')
    cache.memberChanged('c/k', Number.POSITIVE_INFINITY)
    expect(hit()).toBeUndefined()
    await sent.at(-1)!.respond(member(5, '5'))
    await loading.result
    expect(hit('Bearer b')).toBeUndefined()
  })
})

describe('two clients', () => {
  test('share one request only with the same credentials', () => {
    expect([load('Bearer a').isShared, load('Bearer a').isShared, load('Bearer b').isShared]).toEqual([
      false,
      true,
      false,
    ])
    expect(sent.map(({ headers }) => new Map(headers).get('authorization'))).toEqual(['Bearer a', 'Bearer b'])
  })

  test('share a value once the origin has confirmed it to both', async () => {
    await read(1)
    expect(hit('Bearer b')).toBeUndefined()
    const loading = load('Bearer b')
    expect(new Map(sent[1]!.headers).get('if-none-match')).toBe('"1"')
    await sent[1]!.respond(confirmed())
    expect(await textOf(loading)).toBe('1')
    expect(hit('Bearer b')).toBe(hit('Bearer a')!)
  })

  test.each([401, 403])('share nothing after %i', async (status) => {
    await read(1)
    const loading = load('Bearer b')
    await sent[1]!.respond(new Response('no', { status }))
    expect(await textOf(loading)).toBe('no')
    expect(hit('Bearer b')).toBeUndefined()
    expect(cache.stale('c/k', 'Bearer b', nowMs)).toBeUndefined()
    expect(hit('Bearer a')).toBeDefined()
  })

  test('whose responses overtake each other leave the later state', async () => {
    const slow = load('Bearer a')
    const quick = load('Bearer b')
    await sent[1]!.respond(member(2, 'new'))
    await quick.result
    await sent[0]!.respond(member(1, 'old'))
    await slow.result
    expect(hit('Bearer b')?.etag).toBe('"2"')
    expect(hit('Bearer a')).toBeUndefined()
  })

  test('of which one found nothing leave neither state', async () => {
    const slow = load('Bearer a')
    const quick = load('Bearer b')
    await sent[1]!.respond(member(2, 'new'))
    await quick.result
    await sent[0]!.respond(missing())
    await slow.result
    expect(hit('Bearer b')).toBeUndefined()
    expect(hit('Bearer a')).toBeUndefined()
  })
})

describe('a token', () => {
  test('is checked again after half a second by one reader, while others are served for another half', async () => {
    await read(1)
    nowMs += 499
    expect(hit()).toBeDefined()
    nowMs += 1
    expect(hit()).toBeUndefined()
    const checking = load()
    expect(hit()).toBeDefined()
    nowMs += 500
    expect(hit()).toBeUndefined()
    await sent[1]!.respond(confirmed())
    await checking.result
    // It counts from when the request was sent.
    expect(hit()).toBeUndefined()
  })

  test('that the origin refuses has access to nothing that it has read', async () => {
    await read(1)
    nowMs += 600
    const loading = load()
    await sent[1]!.respond(new Response('no', { status: 401 }))
    await loading.result
    expect(hit()).toBeUndefined()
    expect(cache.stale('c/k', 'Bearer a', nowMs)).toBeUndefined()
  })

  test('whose check fails on the way is checked by the next reader', async () => {
    await read(1)
    nowMs += 600
    const loading = load()
    await sent[1]!.fail()
    await expect(loading.result).rejects.toThrow('cut')
    expect(hit()).toBeUndefined()
  })
})

describe('a session', () => {
  test('that is another one makes what was read before unusable, on its way or not', async () => {
    await read(1)
    const loading = load('Bearer b')
    follower.session = newSession()
    cache.clear()
    await sent[1]!.respond(member(1, '1'))
    await loading.result
    expect([hit('Bearer a'), hit('Bearer b')]).toEqual([undefined, undefined])
    load('Bearer a')
    expect(new Map(sent[2]!.headers).has('if-none-match')).toBe(false)
  })

  test('that is missing lets nothing be held', async () => {
    follower.session = null
    await read(1)
    expect(hit()).toBeUndefined()
    expect(cache.stats.entries).toBe(0)
  })

  test('whose feed is not read to its end serves nothing without asking', async () => {
    await read(1)
    follower.isCurrent = () => false
    expect(hit()).toBeUndefined()
  })
})

describe('a stale response', () => {
  test('is served for a time, counted from when it was known to be current', async () => {
    await read(1)
    follower.currentAtMs = 5000
    nowMs = 5000 + staleMs - 1
    const stale = cache.stale('c/k', 'Bearer a', nowMs)!
    expect(cache.ageMs(stale, nowMs)).toBe(staleMs - 1)
    nowMs++
    expect(cache.stale('c/k', 'Bearer a', nowMs)).toBeUndefined()
  })

  test('is not served if a batch was acknowledged since whose changes are not known', async () => {
    await read(1)
    follower.unreadWriteAtMs = nowMs + 1
    expect(cache.stale('c/k', 'Bearer a', nowMs + 2)).toBeUndefined()
    follower.unreadWriteAtMs = Number.NEGATIVE_INFINITY
    expect(cache.stale('c/k', 'Bearer a', nowMs + 2)).toBeDefined()
  })

  test('is not served after its expiry', async () => {
    const loading = load()
    const expires = new Date(wallMs + 1000).toISOString()
    await sent[0]!.respond(member(1, '1', { 'kvist-expires-at': expires }))
    await loading.result
    expect(hit()).toBeUndefined()
    wallMs += 999
    expect(cache.stale('c/k', 'Bearer a', nowMs)).toBeDefined()
    wallMs++
    expect(cache.stale('c/k', 'Bearer a', nowMs)).toBeUndefined()
  })
})

describe('what must not be held', () => {
  test.each([
    ['without a tag', new Response('x', { headers: { 'content-length': '1' } })],
    ['with a weak tag', member(1, 'x', { etag: 'W/"1"' })],
    ['with a coding', member(1, 'x', { 'content-encoding': 'gzip' })],
    ['that says no-store', member(1, 'x', { 'cache-control': 'no-store' })],
    ['that varies by more than is known', member(1, 'x', { vary: 'Accept, Cookie' })],
    ['without a length', new Response('x', { headers: { etag: '"1"' } })],
    ['of another kind of 404', new Response('x', { status: 404, headers: { 'content-length': '1' } })],
    [
      'with part of the value',
      new Response('x', { status: 206, headers: { etag: '"1"', 'content-length': '1' } }),
    ],
    ['larger than an eighth of the memory', member(1, 'x'.repeat(10_001))],
  ])('a response %s is passed on, and drops what was held', async (_, response) => {
    await read(1)
    nowMs += 600
    const loading = load()
    await sent[1]!.respond(response)
    expect(await textOf(loading)).toStartWith('x')
    nowMs -= 600
    expect(hit()).toBeUndefined()
  })
})

test('what is seen past the cache drops another state', async () => {
  await read(1)
  cache.seen('c/k', new Response('', { status: 206, headers: { etag: '"1"' } }))
  cache.seen('c/k', new Response('', { status: 500 }))
  expect(hit()).toBeDefined()
  cache.seen('c/k', new Response('', { status: 206, headers: { etag: '"2"' } }))
  expect(hit()).toBeUndefined()
})

test('requests that are on their way end when no origin responds', async () => {
  const loading = load()
  cache.abortLoads()
  await expect(loading.result).rejects.toThrow()
  expect(load().isShared).toBe(false)
})

test('many members stay within the memory', async () => {
  for (let i = 0; i < 100; i++) {
    const loading = load('Bearer a', `c/${i}`)
    await sent.at(-1)!.respond(member(1, 'x'.repeat(5000)))
    await loading.result
    expect(cache.stats.bytes).toBeLessThanOrEqual(80_000)
  }
  expect(cache.stats.entries).toBeGreaterThan(5)
})
