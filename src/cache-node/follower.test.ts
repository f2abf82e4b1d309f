import { afterEach, beforeEach, expect, test } from 'bun:test'
import type { Changed } from './feed.ts'
import { FeedFollower } from './follower.ts'
import type { OriginServer } from './origins.ts'

/** A follower of origins whose pages come when the test lets them, with a clock that it moves. */

interface Asked {
  readonly url: string
  readonly target: string
  readonly respond: (body: object, status?: number) => Promise<void>
  readonly fail: () => Promise<void>
}

let asked: Asked[] = []
let nowMs = 0
let changes: Changed[] = []
let sessions = 0
let downs = 0
let logged: string[] = []
let follower: FeedFollower

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

function origin(url: string): OriginServer {
  return {
    url,
    send(target, { signal }) {
      const { promise, resolve, reject } = Promise.withResolvers<Response>()
      signal.addEventListener('abort', () => reject(signal.reason))
      asked.push({
        url,
        target,
        respond(body, status = 200) {
          resolve(Response.json(body, { status }))
          return settle()
        },
        fail() {
          reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
          return settle()
        },
      })
      return promise
    },
  }
}

function start(...urls: string[]): void {
  follower = new FeedFollower({
    origins: urls.map(origin),
    headers: [],
    onChange: (change) => changes.push(change),
    onNewSession: () => sessions++,
    onDown: () => downs++,
    log: { info: (text) => logged.push(text), warn: (text) => logged.push(text) },
    now: () => 0,
    monotonicMs: () => nowMs,
    sleep: settle,
  })
  follower.start()
}

beforeEach(() => {
  asked = []
  nowMs = 0
  changes = []
  sessions = 0
  downs = 0
  logged = []
})
afterEach(() => follower.stop())

/** The request that waits for a response. */
async function next(): Promise<Asked> {
  for (let i = 0; i < 20 && asked.length === 0; i++) await settle()
  const one = asked.shift()
  if (one === undefined) throw new Error('nothing was asked')
  return one
}

const page = (given: object = {}) => ({ changes: [], next: 5, at_end: true, node: 'n', ...given })

async function begin(node = 'n'): Promise<void> {
  await (await next()).respond({ node })
  await (await next()).respond({ changes: [], next: 5 })
  await (await next()).respond(page({ node }))
}

test('it is current when a page has reached the end, for two seconds from when it was asked for', async () => {
  start('a')
  const nodes = await next()
  expect(nodes.target).toBe('/v1/_nodes')
  await nodes.respond({ node: 'n' })
  const head = await next()
  expect(head.target).toBe('/v1/_changes?since=now&limit=1&include=keys')
  await head.respond({ changes: [], next: 5 })
  expect(follower.isCurrent(nowMs)).toBe(false)
  const first = await next()
  expect(first.target).toContain('since=5&')
  nowMs = 700
  await first.respond(page())
  expect(follower.isCurrent(1999)).toBe(true)
  expect(follower.isCurrent(2000)).toBe(false)
  expect(follower.session?.node).toBe('n')
})

test('a page that does not reach the end proves nothing, and its changes are reported', async () => {
  start('a')
  await begin()
  nowMs = 1500
  const changed = { collection: 'c', key: 'k', revision: 6 }
  await (await next()).respond(page({ changes: [{ type: 'put', ...changed }], next: 6, at_end: false }))
  expect(changes).toMatchObject([changed])
  expect(follower.isCurrent(2100)).toBe(false)
  const second = await next()
  expect(second.target).toContain('since=6&')
  await second.respond(page({ next: 6 }))
  expect(follower.isCurrent(2100)).toBe(true)
})

test('another reading that is required must have been asked for afterwards', async () => {
  start('a')
  await begin()
  const before = await next()
  nowMs = 7
  follower.requireAnotherReading(true)
  expect(follower.unreadWriteAtMs).toBe(7)
  expect(follower.isCurrent(nowMs)).toBe(false)
  await before.respond(page())
  expect([follower.isCurrent(nowMs), follower.unreadWriteAtMs]).toEqual([false, 7])
  await (await next()).respond(page())
  expect([follower.isCurrent(nowMs), follower.unreadWriteAtMs]).toEqual([true, Number.NEGATIVE_INFINITY])
  follower.requireAnotherReading(false)
  expect([follower.isCurrent(nowMs), follower.unreadWriteAtMs]).toEqual([false, Number.NEGATIVE_INFINITY])
})

test('after a lost connection it goes on from its cursor, with what is held', async () => {
  start('a')
  await begin()
  const { session } = follower
  await (await next()).fail()
  await (await next()).respond({ node: 'n' })
  expect((await next()).target).toContain('since=5&')
  expect(follower.session).toBe(session)
  expect(sessions).toBe(0)
})

test.each([
  ['a lost cursor', { code: 'compacted', status: 410 }, 410],
  ['a cursor of another store', { code: 'invalid_cursor', status: 400 }, 400],
  ['a page of another node', page({ node: 'other' }), 200],
])('%s ends the session', async (_, body, status) => {
  start('a')
  await begin()
  const { session } = follower
  await (await next()).respond(body, status)
  expect([sessions, follower.session, follower.isCurrent(nowMs)]).toEqual([1, null, false])
  await begin('other')
  expect(follower.session).not.toBe(session)
  expect(follower.session?.node).toBe('other')
  expect(follower.isCurrent(nowMs)).toBe(true)
})

test('another node after a lost connection is another session', async () => {
  start('a')
  await begin()
  await (await next()).fail()
  await (await next()).respond({ node: 'other' })
  await (await next()).respond({ changes: [], next: 9 })
  expect([sessions, follower.session?.node]).toEqual([1, 'other'])
})

test('the next origin is followed when one fails twice, and kept when the first is back', async () => {
  start('a', 'b')
  await begin()
  await (await next()).fail()
  await (await next()).fail()
  expect(sessions).toBe(0)
  await begin('m')
  expect(sessions).toBe(1)
  expect(follower.origin.url).toBe('b')
  expect(follower.status().map(({ state }) => state)).toEqual(['down', 'followed'])
  expect((await next()).url).toBe('b')
  expect(downs).toBe(0)
})

test('when no origin responds it says so once, and tries again', async () => {
  start('a', 'b')
  for (let i = 0; i < 6; i++) await (await next()).fail()
  expect([follower.isDown, downs]).toEqual([true, 1])
  expect(follower.isCurrent(nowMs)).toBe(false)
  expect(logged.filter((line) => line.includes('no origin responds'))).toHaveLength(1)
  // One line for each origin, however often it fails.
  expect(logged).toHaveLength(3)
  await begin()
  expect(follower.isDown).toBe(false)
})

test('while it is down, what it knows is kept, and goes on when the same store is back', async () => {
  start('a')
  await begin()
  const { session } = follower
  for (let i = 0; i < 4; i++) await (await next()).fail()
  expect([follower.isDown, follower.session]).toEqual([true, session])
  await (await next()).respond({ node: 'n' })
  const first = await next()
  expect(first.target).toContain('since=5&')
  await first.respond(page())
  expect([follower.isDown, follower.session, sessions]).toEqual([false, session, 0])
})

test.each([
  [401, {}, '--cache-token-file'],
  [403, {}, 'read on *'],
  [508, {}, 'this node itself'],
  [429, {}, 'limits'],
  [404, {}, 'no kvist'],
  [200, {}, 'no kvist'],
  [200, { node: 'n', lookup: true }, 'looks members up'],
])(
  'an origin whose feed responds with %i %o is passed on to, and nothing is held',
  async (status, body, why) => {
    start('a')
    await (await next()).respond(body, status)
    expect([follower.isDown, follower.session]).toEqual([false, null])
    expect(follower.status()).toMatchObject([{ state: 'passing', node: null }])
    expect(follower.status()[0]?.lastError?.detail).toContain(why)
  },
)

test.each([500, 503])('an origin that responds with %i is down', async (status) => {
  start('a')
  await (await next()).respond({}, status)
  expect([follower.isDown, follower.status()[0]?.state]).toEqual([true, 'down'])
})
