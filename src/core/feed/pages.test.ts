import { afterEach, expect, test } from 'bun:test'
import { faultOf } from '../../../test/support/engine.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import type { Content } from '../content.ts'
import { type Database, openDatabase } from '../database.ts'
import type { ChangesScope, Engine, FeedCursor } from '../engine.ts'
import { expiryOf } from '../jobs/sweeper.ts'
import { maxExaminedMembers, maxPageBytes } from '../limits.ts'
import { type Change, isExpired, keyOf } from '../member.ts'
import { compilePattern } from '../pattern.ts'
import { noSettings } from '../settings.ts'
import { expireSkipped, type FeedPage, type FeedSource } from './pages.ts'
import { type Scope, valueLength } from './scope.ts'

const all: Scope = { collection: null, key: null, prefix: null, filter: null }

const opened: Database[] = []
// Before the folders go.
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

let nowMs = 1000

async function open(wrap: (engine: Engine) => Engine = (engine) => engine): Promise<Database> {
  nowMs = 1000
  const db = await openDatabase({
    open: async (onCommit) => wrap(await openTestEngine(onCommit)),
    cacheBytes: 1 << 20,
    now: () => nowMs,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

function json(value: string, expiresAtMs: number | null = null): Content {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

function reported({ events }: FeedPage): string[] {
  return events.map(({ change }) => `${change.type} ${change.collection}/${keyOf(change)}`)
}

/** All changes of the feed within a scope, by pages, and where it ends. */
async function feedOf(
  db: Database,
  scope: Scope,
  limit: number,
  after: FeedCursor = '',
): Promise<{ reported: string[]; cursors: FeedCursor[]; next: FeedCursor }> {
  const found: string[] = []
  const cursors: FeedCursor[] = []
  for (let next = after; ; ) {
    const page = await db.changes(scope, next, limit)
    expect(page.events.length).toBeLessThanOrEqual(limit)
    found.push(...reported(page))
    cursors.push(...page.events.map(({ cursor }) => cursor))
    next = page.next
    if (page.atEnd) return { reported: found, cursors, next }
  }
}

async function fill(db: Database): Promise<void> {
  for (let i = 0; i < 30; i++) {
    await db.put('a', `k${i}`, json(String(i)))
    await db.put('b', `user/${i}`, json(String(i)))
  }
  for (const i of [3, 7]) await db.delete('a', `k${i}`)
  await db.setSettings('a', { ...noSettings, defaultTtlMs: 60_000 })
}

test('pages of any size have what is in the scope, and go on from any cursor', async () => {
  const db = await open()
  await fill(db)
  const filter = compilePattern('*2?')
  const scopes: [Scope, (id: string) => boolean, number][] = [
    [all, () => true, 60],
    [{ ...all, collection: 'a' }, (id) => id.startsWith('a/'), 30],
    [{ ...all, collection: 'a', prefix: 'k1' }, (id) => id.startsWith('a/k1'), 11],
    [{ ...all, collection: 'b', filter }, (id) => /^b\/.*2.$/.test(id), 10],
    [{ ...all, prefix: 'user/2', filter }, (id) => /^b\/user\/2.$/.test(id), 10],
    [{ ...all, collection: '_settings' }, () => false, 0],
  ]
  const whole = (await feedOf(db, all, 1000)).reported
  expect(whole.slice(-2)).toEqual(['delete a/k3', 'delete a/k7'])
  for (const [scope, isIn, count] of scopes) {
    const wanted = whole.filter((one) => isIn(one.split(' ')[1]!))
    expect(wanted).toHaveLength(count)
    for (const limit of [1, 4, 60]) {
      const { reported: found, cursors, next } = await feedOf(db, scope, limit)
      expect(found).toEqual(wanted)
      for (const [i, cursor] of cursors.entries()) {
        if (i % 4 > 0) continue
        expect((await feedOf(db, scope, 7, cursor)).reported).toEqual(wanted.slice(i + 1))
      }
      expect((await db.changes(scope, next, 5)).events).toEqual([])
    }
  }
})

test('one member is asked for by its key, and its changes are those of the whole feed', async () => {
  const asked: (ChangesScope | undefined)[] = []
  const db = await open((engine) => ({
    ...engine,
    changes(after, limit, scope) {
      asked.push(scope)
      return engine.changes(after, limit, scope)
    },
  }))
  await fill(db)
  const { cursors } = await feedOf(db, all, 1000)
  for (const key of ['k0', 'k3', 'k29', 'never']) {
    const scope = { ...all, collection: 'a', key }
    for (const after of ['', ...cursors]) {
      const wanted = (await feedOf(db, all, 1000, after)).reported.filter((one) => one.endsWith(` a/${key}`))
      asked.length = 0
      const page = await db.changes(scope, after, 10)
      expect(reported(page)).toEqual(wanted)
      expect(page.atEnd).toBe(true)
      expect(asked).toEqual([{ collection: 'a', key }])
      expect((await db.changes(scope, page.next, 10)).events).toEqual([])
      for (const { cursor } of page.events) expect((await db.changes(scope, cursor, 10)).events).toEqual([])
    }
  }
  expect((await db.changes({ ...all, collection: '_settings', key: 'a' }, '', 1)).events).toEqual([])
})

test('what has expired is left out, and is gone for good, also when the clock goes back', async () => {
  for (const scope of [all, { ...all, collection: 'a', key: 'short' }]) {
    const db = await open()
    await db.put('a', 'long', json('1'))
    await db.put('a', 'short', json('1', 2000))
    nowMs = 1999
    expect((await feedOf(db, scope, 10)).reported).toContain('put a/short')
    nowMs = 2000
    const first = await db.changes(scope, '', 10)
    nowMs = 1000
    expect(await db.get('a', 'short')).toBeNull()
    const after = (await feedOf(db, scope, 10, first.next)).reported
    expect([...reported(first), ...after].filter((one) => one.endsWith('short'))).toEqual(['expire a/short'])
  }
})

test('what was written again while a page left it out keeps its new life', async () => {
  const db: Database = await open((engine) => ({
    ...engine,
    async commit(commit) {
      const [write] = commit.writes
      if (write?.op === 'delete' && write.cause === 'expire') await db.put('a', 'k', json('2', 9000))
      return engine.commit(commit)
    },
  }))
  await db.put('a', 'k', json('1', 2000))
  nowMs = 2000
  const first = await feedOf(db, all, 10)
  expect((await db.get('a', 'k'))?.value).toBe('2')
  const second = await feedOf(db, all, 10, first.next)
  expect([...first.reported, ...second.reported]).toEqual(['put a/k'])
})

test('nothing is left out that was not asked to go, however the clock jumps meanwhile', async () => {
  const engine = await openTestEngine(() => {})
  const db = await open(() => engine)
  await db.put('a', 'k', json('1', 2000))
  const over = (await db.changes(all, '', 10)).events
  expect(over).toHaveLength(1)
  for (const [clock, events, taken] of [
    [[1000, 1999], ['put'], 0],
    [[1000, 2000, 1999, 1999], ['put'], 0],
    [[1000, 2000, 2000, 2000], [], 1],
  ] as const) {
    const times = [...clock]
    const asked: number[] = []
    const source: FeedSource = {
      engine,
      isExpired: (_collection, member) => isExpired(member, times.shift() ?? 9999),
      async expire(refs) {
        asked.push(refs.length)
        await engine.commit({ checks: [], writes: refs.map(expiryOf), nowMs: 1000 })
      },
    }
    const reported = await expireSkipped(source, over, over)
    expect(reported.map(({ change }) => change.type)).toEqual([...events])
    expect(asked.reduce((sum, count) => sum + count, 0)).toBe(taken)
  }
})

function endless(valueAt: (n: number) => string): (engine: Engine) => Engine {
  return (engine) => ({
    ...engine,
    changes(after, limit, _scope, maxBytes = maxPageBytes) {
      const start = Number(after)
      const all = Array.from({ length: limit }, (_, i): Change => {
        const revision = start + i + 1
        const key = `k${revision}`
        const value = valueAt(revision)
        const member = { key, value, revision, createdAtMs: 0, clock: 0, node: '', expiresAtMs: null }
        return {
          type: 'put',
          collection: 'a',
          member: { ...member, contentType: 'application/json', flags: 0 },
        }
      })
      const cursorAfter = (i: number) => String(start + i + 1)
      let bytes = 0
      const changes = all.filter((change) => {
        bytes += valueLength(change)
        return bytes <= maxBytes
      })
      const isCut = changes.length < limit
      return { changes, cursorAfter, next: cursorAfter(changes.length - 1), atEnd: false, isCut }
    },
  })
}

test('a page ends after a bounded number of examined changes, and lets other work run', async () => {
  const db = await open(endless(() => '1'))
  let turns = 0
  let running = true
  const count = () => {
    turns++
    if (running) setImmediate(count)
  }
  setImmediate(count)
  const page = await db.changes({ ...all, collection: 'a', prefix: 'other' }, '', 10)
  running = false
  expect(page).toMatchObject({ events: [], atEnd: false, next: String(maxExaminedMembers) })
  expect(turns).toBeGreaterThan(50)
})

test('a page ends when its values are enough', async () => {
  const large = JSON.stringify('x'.repeat(1 << 20))
  const db = await open(endless((n) => (n % 100 === 0 ? large : '1')))
  const { events } = await db.changes({ ...all, filter: compilePattern('k*00') }, '', 10_000)
  const bytes = events.reduce((sum, { change }) => sum + valueLength(change), 0)
  expect(bytes).toBeLessThanOrEqual(maxPageBytes)
  expect(bytes).toBeGreaterThan(maxPageBytes - 2 * large.length)
})

test('a point that is not one of the feed is refused, whatever the scope', async () => {
  const db = await open()
  await db.put('a', 'k', json('1'))
  for (const scope of [all, { ...all, collection: 'a' }, { ...all, collection: 'a', key: 'k' }]) {
    expect((await faultOf(db.changes(scope, 'x', 10))).code).toBe('invalid_cursor')
  }
})
