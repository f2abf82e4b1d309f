import { afterEach, expect, test } from 'bun:test'
import type { Content } from '../src/core/content.ts'
import { type Database, openDatabase } from '../src/core/database.ts'
import type { Scope } from '../src/core/feed/scope.ts'
import { everything } from '../src/core/list.ts'
import { keyOf } from '../src/core/member.ts'
import { noSettings } from '../src/core/settings.ts'
import { faultOf, until } from './support/engine.ts'
import { lateEngine } from './support/late-engine.ts'
import { linedEngine } from './support/lined-engine.ts'
import { manualTimers } from './support/manual-timers.ts'

/** What the core does with many members at once, on an engine where each is on a line of its own. */

const all: Scope = { collection: null, key: null, prefix: null, filter: null }
const clock = { nowMs: 1000 }
const timers = manualTimers()

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(): Promise<Database> {
  clock.nowMs = 1000
  const db = await openDatabase({
    open: async (onCommit, onSetback) =>
      lateEngine(linedEngine({ lines: 16, spans: 'line', onCommit, onSetback })),
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers,
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

const keys = Array.from({ length: 50 }, (_, i) => `k${String(i).padStart(2, '0')}`)
const members = (expiresAtMs: number | null = null) => keys.map((key) => ({ key, ...json('1', expiresAtMs) }))

async function keysIn(db: Database): Promise<string[]> {
  const { members } = await db.page('c', {
    ...everything,
    order: 'asc',
    limit: 1000,
    cursor: null,
    keysOnly: true,
  })
  return members.map(({ key }) => key)
}

test('an import, writes without conditions and a drop go to members on any lines', async () => {
  const db = await open()
  expect(await db.putAll('c', members())).toEqual([])
  const written = await db.write(keys.map((key) => ({ op: 'put', collection: 'c', key, ...json('2') })))
  expect(written.every(({ existed }) => existed)).toBe(true)
  expect(await keysIn(db)).toEqual(keys)
  expect(await db.drop('c', { ...everything, prefix: 'k1' })).toBe(10)
  expect(await keysIn(db)).toEqual(keys.filter((key) => !key.startsWith('k1')))
})

test('members that expire together are swept, on any lines', async () => {
  const db = await open()
  await db.putAll('c', members(2000))
  clock.nowMs = 2000
  timers.pass(1000)
  await until(() => db.stats().swept === keys.length, 'they are swept')
  expect(await db.removalCause('c', 'k07')).toBe('expire')
})

test('members that expire together are skipped by readers of the feed, on any lines', async () => {
  const db = await open()
  await db.putAll('c', members(2000))
  clock.nowMs = 2000
  const first = await db.changes(all, '', 1000)
  expect(first.events).toEqual([])
  clock.nowMs = 1000
  expect(await keysIn(db)).toEqual([])
  const { events } = await db.changes(all, first.next, 1000)
  expect(events.map(({ change }) => `${change.type} ${keyOf(change)}`).toSorted()).toEqual(
    keys.map((key) => `expire ${key}`),
  )
})

test('reads renew members on any lines', async () => {
  const db = await open()
  await db.setSettings('c', { ...noSettings, defaultTtlMs: 1000, sliding: true })
  await db.putAll('c', members())
  clock.nowMs = 1900
  for (const key of keys) await db.get('c', key)
  timers.pass(100)
  await until(() => db.stats().renewed === keys.length, 'they are renewed')
  clock.nowMs = 2500
  expect(await keysIn(db)).toEqual(keys)
})

test('a batch that spans lines is refused whole, and the error has what can be done together', async () => {
  const db = await open()
  const operations = keys.map((key) => ({ op: 'put', collection: 'c', key, ...json('1') }) as const)
  const fault = await faultOf(db.execute({ operations }))
  expect(fault.code).toBe('unprocessable')
  const together = fault.extra.together as { collection: string; key: string }[][]
  expect(together.flat()).toHaveLength(keys.length)
  expect(await keysIn(db)).toEqual([])
  for (const group of together) {
    const some = operations.filter(({ key }) => group.some((ref) => ref.key === key))
    expect(await db.execute({ operations: some })).toHaveLength(group.length)
  }
  expect(await keysIn(db)).toEqual(keys)
})

test('a watcher goes from history to what follows without gap or repeat', async () => {
  const db = await open()
  await db.putAll('c', members())
  const watcher = db.watch(all, '', () => {})
  const seen: string[] = []
  for (let i = 0; ; i++) {
    const batch = await watcher.read()
    if (batch === null) break
    if (batch.type === 'events') seen.push(...batch.events.map(({ change }) => keyOf(change)))
    if (i < 5) await db.put('c', `during${i}`, json('1'))
  }
  await db.put('c', 'after', json('1'))
  const last = await watcher.read()
  if (last?.type === 'events') seen.push(...last.events.map(({ change }) => keyOf(change)))
  expect(new Set(seen).size).toBe(seen.length)
  expect(seen.toSorted()).toEqual(
    [...keys, ...seen.filter((key) => key.startsWith('during')), 'after'].toSorted(),
  )
  expect(seen).toContain('during0')
  watcher.close()
})
