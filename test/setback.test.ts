import { afterEach, expect, test } from 'bun:test'
import type { Content } from '../src/core/content.ts'
import { type Database, openDatabase } from '../src/core/database.ts'
import type { Engine } from '../src/core/engine.ts'
import type { FeedEvent, Scope } from '../src/core/feed/scope.ts'
import type { Watcher } from '../src/core/feed/watcher.ts'
import { keyOf } from '../src/core/member.ts'
import { nextTick } from '../src/core/next-tick.ts'
import { noSettings } from '../src/core/settings.ts'
import { lateEngine } from './support/late-engine.ts'
import { type LinedEngine, linedEngine } from './support/lined-engine.ts'

/** What the core does when its engine has lost changes that it had reported, as a cluster may in a failover. */

const all: Scope = { collection: null, key: null, prefix: null, filter: null }

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(
  wrap: (engine: Engine) => Engine = lateEngine,
): Promise<{ db: Database; engine: LinedEngine }> {
  let engine: LinedEngine | undefined
  const db = await openDatabase({
    async open(onCommit, onSetback) {
      engine = linedEngine({ lines: 8, spans: 'collection', onCommit, onSetback })
      return wrap(engine)
    },
    cacheBytes: 1 << 20,
    now: () => 1000,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return { db, engine: engine! }
}

function json(value: string): Content {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs: null }
}

function shown({ change }: FeedEvent): string {
  return `${change.type} ${keyOf(change)}${change.type === 'put' ? ` ${change.member.value}` : ''}`
}

/** All that there is to read now: events, and `reset` where the watcher has to begin again. */
async function rest(watcher: Watcher): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const batch = await watcher.read()
    if (batch === null) return found
    found.push(...(batch.type === 'events' ? batch.events.map(shown) : [batch.type]))
  }
}

test('the cache does not show what is lost', async () => {
  const { db, engine } = await open()
  await db.put('c', 'k', json('1'))
  await db.put('c', 'k', json('2'))
  for (let i = 0; i < 3; i++) expect((await db.get('c', 'k'))?.value).toBe('2')
  const reading = db.get('c', 'k')
  engine.lose(1)
  await reading
  expect((await db.get('c', 'k'))?.value).toBe('1')
})

test('what was read before a loss and comes after it is not cached', async () => {
  const { promise: onItsWay, resolve: arrive } = Promise.withResolvers<void>()
  const { db, engine } = await open((lined) => ({
    ...lined,
    async read(collection, key) {
      const found = await lined.read(collection, key)
      await onItsWay
      return found
    },
  }))
  await db.put('c', 'k', json('1'))
  await db.put('c', 'k', json('2'))
  const reading = [db.get('c', 'k'), db.get('c', 'k')]
  await nextTick()
  engine.lose(1)
  arrive()
  await Promise.all(reading)
  expect((await db.get('c', 'k'))?.value).toBe('1')
})

test('watchers that have seen what is lost begin again, wherever they are, and are woken for it', async () => {
  const { db, engine } = await open()
  await db.put('c', 'k', json('1'))
  let wakes = 0
  const idle = db.watch(all, null, () => wakes++)
  const queued = db.watch({ ...all, collection: 'c' }, null, () => wakes++)
  const member = db.watch({ ...all, collection: 'c', key: 'k' }, '', () => wakes++)
  await db.put('c', 'k', json('2'))
  expect(await rest(idle)).toEqual(['put k 2'])
  expect(await rest(member)).toEqual(['put k 2'])
  await nextTick()
  wakes = 0
  engine.lose(1)
  await nextTick()
  expect(wakes).toBe(2)
  for (const watcher of [idle, member]) expect(await rest(watcher)).toEqual(['reset', 'put k 1'])
  // It had not read what is lost yet.
  expect(await rest(queued)).toEqual([])
  await db.put('c', 'k', json('3'))
  for (const watcher of [idle, queued, member]) {
    expect(await rest(watcher)).toEqual(['put k 3'])
    watcher.close()
  }
})

test('the cursor of a watcher does not go back, and its client learns of the loss by it', async () => {
  const { db, engine } = await open()
  const watcher = db.watch({ ...all, collection: 'other' }, null, () => {})
  await db.put('c', 'k', json('1'))
  const cursor = watcher.cursor()
  engine.lose(1)
  expect(watcher.cursor()).toBe(cursor)
  expect(await rest(watcher)).toEqual(['reset'])
  watcher.close()
})

test('a page that is on its way when changes are lost leads to a new beginning', async () => {
  const { db, engine } = await open()
  await db.put('c', 'k', json('1'))
  await db.put('c', 'k', json('2'))
  const watcher = db.watch(all, '', () => {})
  const reading = watcher.read()
  await nextTick()
  engine.lose(1)
  const batch = await reading
  const first = batch?.type === 'events' ? batch.events.map(shown) : []
  const seen = [...first, ...(await rest(watcher))]
  expect(seen.at(-1)).toBe('put k 1')
  if (first.includes('put k 2')) expect(seen).toContain('reset')
})

test('settings that are lost are not in force any more, and those that are kept are', async () => {
  const { db, engine } = await open()
  await db.setSettings('kept', { ...noSettings, defaultTtlMs: 1000 })
  await db.setSettings('lost', { ...noSettings, defaultTtlMs: 1000 })
  engine.lose(1)
  for (let i = 0; i < 20; i++) await nextTick()
  expect(db.settings('lost').defaultTtlMs).toBeNull()
  expect(db.settings('kept').defaultTtlMs).toBe(1000)
})

test('settings that are changed while the stored ones are read again stay as they were changed', async () => {
  const { db, engine } = await open()
  await db.setSettings('a', { ...noSettings, defaultTtlMs: 1000 })
  await db.setSettings('b', { ...noSettings, defaultTtlMs: 1000 })
  await db.put('other', 'k', json('1'))
  await db.setSettings('d', { ...noSettings, defaultTtlMs: 1000 })
  engine.lose(1)
  await Promise.all([
    db.setSettings('a', { ...noSettings, defaultTtlMs: 2000 }),
    db.setSettings('b', null),
    db.setSettings('c', { ...noSettings, defaultTtlMs: 3000 }),
    db.setSettings('d', { ...noSettings, defaultTtlMs: 4000 }),
  ])
  for (let i = 0; i < 20; i++) await nextTick()
  expect(['a', 'b', 'c', 'd'].map((name) => db.settings(name).defaultTtlMs)).toEqual([2000, null, 3000, 4000])
})
