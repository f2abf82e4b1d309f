import { afterEach, describe, expect, test } from 'bun:test'
import { faultOf, newFolder, until } from '../../../test/support/engine.ts'
import { compactedEngine, lateFeed } from '../../../test/support/late-engine.ts'
import { openSqlite } from '../../engines/sqlite/engine.ts'
import type { Content } from '../content.ts'
import { type Database, type DatabaseOptions, openDatabase } from '../database.ts'
import type { Engine } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { keyOf, revisionOf } from '../member.ts'
import { compilePattern } from '../pattern.ts'
import { nextTurn } from '../turn.ts'
import type { FeedEvent, Scope } from './scope.ts'
import type { WatchBatch, WatchBounds, Watcher } from './watcher.ts'

const all: Scope = { collection: null, key: null, prefix: null, filter: null }
const wide: WatchBounds = { events: 512, bytes: 1 << 20, totalBytes: 64 << 20 }

const opened: Database[] = []
// Before the folders go.
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(
  options: Partial<DatabaseOptions> = {},
  wrap: (engine: Engine) => Engine = (engine) => engine,
): Promise<Database> {
  const db = await openDatabase({
    open: async (onCommit) => wrap(await openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit })),
    cacheBytes: 1 << 20,
    now: Date.now,
    onError(error) {
      throw error
    },
    ...options,
  })
  opened.push(db)
  return db
}

function json(value: string, expiresAtMs: number | null = null): Content {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

function key(name: string, collection = 'c'): Scope {
  return { ...all, collection, key: name }
}

function eventsOf(batch: WatchBatch | null): readonly FeedEvent[] {
  if (batch === null || batch.type === 'events') return batch?.events ?? []
  throw new Error('the watcher was reset')
}

function tell({ change }: FeedEvent): string {
  return `${change.type} ${keyOf(change)}${change.type === 'put' ? ` ${change.member.value}` : ''}`
}

async function next(watcher: Watcher): Promise<string[]> {
  return eventsOf(await watcher.read()).map(tell)
}

/** All that there is to read now. */
async function rest(watcher: Watcher): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const batch = await watcher.read()
    if (batch === null) return found
    found.push(...eventsOf(batch).map(tell))
  }
}

/** A watcher with what it was woken for counted. */
function watched(db: Database, scope: Scope, since: string | null): Watcher & { wakes: () => number } {
  let wakes = 0
  const watcher = db.watch(scope, since, () => {
    wakes++
  })
  return {
    read: () => watcher.read(),
    cursor: () => watcher.cursor(),
    close: () => watcher.close(),
    wakes: () => wakes,
  }
}

/** Long enough for everybody who is due to be woken. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTurn()
}

describe('a watcher', () => {
  test('from now on is woken once for what comes, and again only after it has read all of it', async () => {
    const db = await open()
    await db.put('c', 'k', json('1'))
    const watcher = watched(db, key('k'), null)
    await turns()
    expect(watcher.wakes()).toBe(0)
    await db.put('c', 'k', json('2'))
    await db.put('c', 'k', json('3'))
    await turns()
    expect(watcher.wakes()).toBe(1)
    await db.delete('c', 'k')
    await turns()
    expect(watcher.wakes()).toBe(1)
    expect(await next(watcher)).toEqual(['put k 2', 'put k 3', 'delete k'])
    await db.put('c', 'k', json('4'))
    await turns()
    expect(watcher.wakes()).toBe(1)
    expect(await rest(watcher)).toEqual(['put k 4'])
    await db.put('c', 'other', json('4'))
    await turns()
    expect(watcher.wakes()).toBe(1)
    await db.put('c', 'k', json('5'))
    await turns()
    expect(watcher.wakes()).toBe(2)
  })

  test('is woken after who wrote was answered, and not any more when it has read meanwhile', async () => {
    const db = await open()
    const watcher = watched(db, all, null)
    await db.put('c', 'k', json('1'))
    expect(watcher.wakes()).toBe(0)
    expect(await rest(watcher)).toEqual(['put k 1'])
    await turns()
    expect(watcher.wakes()).toBe(0)
  })

  test('goes from history to what follows without gap or repeat', async () => {
    const db = await open()
    for (let i = 0; i < 2500; i++) void db.put('c', `k${i}`, json('1'))
    await db.put('c', 'k0', json('2'))
    const watcher = watched(db, all, '')
    const seen: string[] = []
    for (let i = 0; ; i++) {
      const batch = await watcher.read()
      if (batch === null) break
      seen.push(...eventsOf(batch).map(tell))
      if (i < 6) await db.put('c', `during${i}`, json('1'))
    }
    await db.put('c', 'after', json('1'))
    seen.push(...(await rest(watcher)))
    expect(seen.slice(0, 2)).toEqual(['put k1 1', 'put k2 1'])
    expect(seen).toHaveLength(2500 + 6 + 1)
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen.slice(-3)).toEqual(['put during4 1', 'put during5 1', 'put after 1'])
  })

  test('sees what its scope says and nothing else', async () => {
    const db = await open()
    const scopes: [Scope, string[]][] = [
      [all, ['put a/1 1', 'put a/2 2', 'put b/1 3', 'put a/1 4']],
      [{ ...all, collection: 'c' }, ['put a/1 1', 'put a/2 2', 'put b/1 3']],
      [{ ...all, collection: 'c', prefix: 'a/' }, ['put a/1 1', 'put a/2 2']],
      [{ ...all, filter: compilePattern('*/1') }, ['put a/1 1', 'put b/1 3', 'put a/1 4']],
      [key('a/1'), ['put a/1 1']],
      [key('a/1', 'd'), ['put a/1 4']],
      [{ ...all, collection: 'e' }, []],
      [key('c', '_settings'), []],
    ]
    const live = scopes.map(([scope]) => watched(db, scope, null))
    await db.put('c', 'a/1', json('1'))
    await db.put('c', 'a/2', json('2'))
    await db.put('c', 'b/1', json('3'))
    await db.put('d', 'a/1', json('4'))
    await db.setSettings('c', { processes: null, defaultTtlMs: 60_000, sliding: false })
    for (const [i, [scope, wanted]] of scopes.entries()) {
      expect(await rest(live[i]!)).toEqual(wanted)
      expect(await rest(watched(db, scope, ''))).toEqual(wanted)
    }
  })

  test('is not looked at for a change that does not concern it', async () => {
    const db = await open()
    let looks = 0
    const counting = (scope: Scope): Scope => ({
      collection: scope.collection,
      key: scope.key,
      get prefix() {
        looks++
        return scope.prefix
      },
      filter: scope.filter,
    })
    for (let i = 0; i < 10_000; i++) {
      watched(db, counting(i % 2 === 0 ? key(`k${i}`) : { ...all, collection: `c${i}` }), null)
    }
    looks = 0
    await db.put('c', 'k1', json('1'))
    expect(looks).toBe(0)
    await db.put('c', 'k2', json('1'))
    await db.put('c3', 'k', json('1'))
    expect(looks).toBe(2)
  })

  test('shares its events with the others', async () => {
    const db = await open()
    const watchers = [watched(db, all, null), watched(db, key('k'), null), watched(db, key('k'), null)]
    await db.put('c', 'k', json('1'))
    const [first, ...others] = await Promise.all(watchers.map(async (one) => eventsOf(await one.read())[0]))
    for (const event of others) expect(event).toBe(first!)
  })

  test('is forgotten once it is closed', async () => {
    const db = await open()
    const watchers = [all, { ...all, collection: 'c' }, key('k'), key('k'), key('k')].map((scope) =>
      watched(db, scope, null),
    )
    await db.put('c', 'k', json('1'))
    const [, , , middle] = watchers
    middle!.close()
    middle!.close()
    expect(db.stats().watch.watchers).toBe(4)
    await turns()
    expect(watchers.map((one) => one.wakes())).toEqual([1, 1, 1, 0, 1])
    expect(await middle!.read()).toBeNull()
    for (const one of watchers) if (one !== middle) expect(await rest(one)).toEqual(['put k 1'])
    for (const one of watchers) one.close()
    expect(db.stats().watch.watchers).toBe(0)
    await db.put('c', 'k', json('2'))
    await turns()
    expect(watchers.map((one) => one.wakes())).toEqual([1, 1, 1, 0, 1])
  })
})

describe('points', () => {
  test('move with the store while nothing in the scope changes, and not past what was not read', async () => {
    const db = await open()
    const watcher = watched(db, key('k'), '')
    expect(await watcher.read()).toBeNull()
    for (let i = 0; i < 10; i++) await db.put('c', 'other', json('1'))
    expect(watcher.cursor()).toBe('10')
    await db.batch(
      [],
      ['x', 'y', 'k', 'z'].map((name) => ({ op: 'put', collection: 'c', key: name, ...json('1') }) as const),
    )
    await db.put('c', 'other', json('2'))
    expect(watcher.cursor()).toBe('10')
    expect(await next(watcher)).toEqual(['put k 1'])
    expect(watcher.cursor()).toBe('15')
    watcher.close()
    expect(watcher.cursor()).toBe('15')
  })

  test('stay where they are while a page is on its way', async () => {
    let hold: Promise<void> | null = null
    const db = await open({}, (engine) => lateFeed(engine, async () => void (await hold)))
    const watcher = watched(db, all, '')
    expect(await watcher.read()).toBeNull()
    await db.put('c', 'k', json('1'))
    const late = watched(db, all, '')
    const { promise, resolve } = Promise.withResolvers<void>()
    hold = promise
    const reading = late.read()
    await turns()
    await db.put('c', 'k', json('2'))
    expect(late.cursor()).toBe('')
    resolve()
    expect(eventsOf(await reading).map(tell)).toEqual(['put k 2'])
    expect(late.cursor()).toBe('2')
    expect(await late.read()).toBeNull()
  })

  test('resume after every event, also in the middle of a batch', async () => {
    const db = await open()
    const watcher = watched(db, all, null)
    for (let i = 0; i < 20; i++) await db.put('c', `k${i}`, json('1'))
    const events = eventsOf(await watcher.read())
    expect(events).toHaveLength(20)
    for (const [i, { change, cursor }] of events.entries()) {
      expect(cursor).toBe(String(revisionOf(change)))
      expect(await rest(watched(db, all, cursor))).toEqual(events.slice(i + 1).map(tell))
    }
  })

  test('that the feed does not have any more begin anew, after one reset', async () => {
    let oldest = 0
    const db = await open({}, (engine) => compactedEngine(engine, () => oldest))
    for (const name of ['a', 'b', 'c']) await db.put('c', name, json('1'))
    await db.delete('c', 'a')
    for (const scope of [all, { ...all, collection: 'c' }, key('a'), key('b')]) {
      oldest = 0
      const watcher = watched(db, scope, '1')
      oldest = 4
      expect(await watcher.read()).toEqual({ type: 'reset', oldest: '4' })
      const wanted = ['put b 1', 'put c 1'].filter(
        (one) => scope.key === null || one.includes(` ${scope.key} `),
      )
      expect(await rest(watcher)).toEqual(wanted)
      expect(watcher.cursor()).toBe('4')
    }
    expect(await rest(watched(db, all, '4'))).toEqual([])
  })

  test('that are none are refused by the first read', async () => {
    const db = await open()
    await db.put('c', 'k', json('1'))
    for (const scope of [all, key('k')]) {
      const fault = await faultOf((async () => watched(db, scope, 'x').read())())
      expect(fault.code).toBe('invalid_cursor')
    }
  })
})

describe('a slow reader', () => {
  test('falls back to the store when too many events wait, and nothing is lost', async () => {
    const db = await open({ watchBounds: { ...wide, events: 10 } })
    const slow = watched(db, all, null)
    const quick = watched(db, all, null)
    const seen: string[] = []
    for (let i = 0; i < 25; i++) {
      await db.put('c', `k${i % 5}`, json(String(i)))
      seen.push(...(await rest(quick)))
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => `put k${i % 5} ${i}`))
    expect(db.stats().watch.fallbacks).toBe(1)
    await turns()
    expect(slow.wakes()).toBe(1)
    expect(slow.cursor()).toBe('0')
    expect(await rest(slow)).toEqual(['put k0 20', 'put k1 21', 'put k2 22', 'put k3 23', 'put k4 24'])
    await db.put('c', 'k0', json('25'))
    await turns()
    expect(slow.wakes()).toBe(2)
    expect(await rest(slow)).toEqual(['put k0 25'])
    expect(db.stats().watch).toMatchObject({ events: 26 + 6 - 1, fallbacks: 1 })
  })

  test('falls back when too many bytes wait, but a single event may be of any size', async () => {
    const db = await open({ watchBounds: { ...wide, bytes: 10_000 } })
    const slow = watched(db, all, null)
    await db.put('c', 'large', json(JSON.stringify('x'.repeat(20_000))))
    expect(db.stats().watch.fallbacks).toBe(0)
    await db.put('c', 'small', json('1'))
    expect(db.stats().watch.fallbacks).toBe(1)
    expect(await rest(slow)).toHaveLength(2)
    for (let i = 0; i < 4; i++) await db.put('c', `k${i}`, json(JSON.stringify('x'.repeat(2000))))
    expect(db.stats().watch.fallbacks).toBe(1)
    for (let i = 0; i < 4; i++) await db.put('c', `k${i}`, json(JSON.stringify('x'.repeat(2000))))
    expect(db.stats().watch.fallbacks).toBe(2)
  })

  test('gives way when all together hold too much; what they share counts once', async () => {
    const db = await open({ watchBounds: { ...wide, totalBytes: 60_000 } })
    const value = json(JSON.stringify('x'.repeat(20_000)))
    const many = Array.from({ length: 100 }, () => watched(db, key('k'), null))
    await db.put('c', 'k', value)
    await db.put('c', 'k', value)
    expect(db.stats().watch.fallbacks).toBe(0)
    for (const one of many.slice(1)) expect(await rest(one)).toHaveLength(2)
    const later = watched(db, all, null)
    await db.put('c', 'other', value)
    expect(db.stats().watch.fallbacks).toBe(1)
    expect(await rest(later)).toHaveLength(1)
    later.close()
    expect(await rest(many[0]!)).toHaveLength(1)
    // All that waited was let go of: there is room for as much again.
    const again = watched(db, { ...all, collection: 'd' }, null)
    await db.put('d', 'k', value)
    await db.put('d', 'k', value)
    expect(db.stats().watch.fallbacks).toBe(1)
    await db.put('d', 'k', value)
    expect(db.stats().watch.fallbacks).toBe(2)
    expect(await rest(again)).toHaveLength(1)
  })
})

describe('expiry', () => {
  test('a member whose time is over when it is read is left out, and its end follows', async () => {
    let nowMs = 1000
    const db = await open({ now: () => nowMs })
    const watcher = watched(db, all, null)
    await db.put('c', 'a', json('1', 2000))
    await db.put('c', 'b', json('1'))
    nowMs = 2000
    expect(await next(watcher)).toEqual(['put b 1'])
    nowMs = 1000
    expect(await rest(watcher)).toEqual(['expire a'])
    expect(await db.get('c', 'a')).toBeNull()
    await db.put('c', 'a', json('2', 2000))
    nowMs = 2000
    expect(await rest(watcher)).toEqual(['expire a'])
    expect(watcher.cursor()).toBe('5')
  })

  test('a member whose time is over in history is left out, and is gone for good', async () => {
    let nowMs = 1000
    const db = await open({ now: () => nowMs })
    await db.put('c', 'a', json('1', 2000))
    nowMs = 2000
    for (const scope of [all, key('a')]) {
      const watcher = watched(db, scope, '')
      const first = await next(watcher)
      nowMs = 1000
      expect([...first, ...(await rest(watcher))]).toEqual(['expire a'])
    }
    expect(await db.get('c', 'a')).toBeNull()
  })

  test('what is left out is taken out before the reader moves on', async () => {
    let nowMs = 1000
    let before = async () => {}
    const db = await open({ now: () => nowMs }, (engine) => ({
      ...engine,
      async commit(commit) {
        if (commit.writes.some((write) => write.op === 'delete' && write.cause === 'expire')) await before()
        return engine.commit(commit)
      },
    }))
    const watcher = watched(db, all, null)
    const { promise, resolve } = Promise.withResolvers<void>()
    await db.put('c', 'a', json('1', 2000))
    await db.put('c', 'b', json('1'))
    nowMs = 2000
    before = () => promise
    const reading = watcher.read()
    await db.put('c', 'b', json('2'))
    expect(watcher.cursor()).toBe('0')
    resolve()
    expect(eventsOf(await reading).map(tell)).toEqual(['put b 1'])
    expect(watcher.cursor()).toBe('2')
    expect(await rest(watcher)).toEqual(['put b 2', 'expire a'])
    await db.put('c', 'a', json('3', 3000))
    await db.put('c', 'b', json('3'))
    nowMs = 3000
    before = async () => {
      throw new KvistError('closing', 'the server is stopping')
    }
    expect((await faultOf((async () => watcher.read())())).code).toBe('closing')
    expect(watcher.cursor()).toBe('4')
    before = async () => {}
    expect(await rest(watcher)).toEqual(['put b 3', 'expire a'])
  })

  for (const since of [null, '']) {
    test(`a member that was renewed when its time seemed over is told of, ${since ?? 'live'}`, async () => {
      let nowMs = 1000
      let engine: Engine | undefined
      const db = await open({ now: () => nowMs }, (opened) => {
        engine = opened
        return opened
      })
      const early = watched(db, all, since)
      await db.put('c', 'a', json('1', 2000))
      await db.put('c', 'b', json('1'))
      const renewal = { op: 'renew', collection: 'c', key: 'a', expiresAtMs: 3000, ifRevision: 1 } as const
      // On its way, and not to be seen yet, when the reader finds the time of the member over.
      const renewing = engine!.commit({ checks: [], writes: [renewal], nowMs: 1999 })
      nowMs = 2000
      const [batch] = await Promise.all([early.read(), renewing])
      expect(eventsOf(batch).map(tell)).toEqual(['put a 1', 'put b 1'])
      const [first] = eventsOf(batch)
      expect(first?.change.type === 'put' && first.change.member.expiresAtMs).toBe(3000)
      expect(await rest(early)).toEqual([])
      expect(await db.get('c', 'a')).toMatchObject({ expiresAtMs: 3000 })
      const wakes = early.wakes()
      nowMs = 3000
      await until(() => early.wakes() > wakes, 'it is swept')
      expect(await rest(early)).toEqual(['expire a'])
    })
  }

  test('a member that was renewed, and whose time is over again when that is seen, is gone for good', async () => {
    let nowMs = 1000
    let engine: Engine | undefined
    let beforeRead = async () => {}
    const db = await open({ now: () => nowMs }, (opened) => {
      engine = opened
      return {
        ...opened,
        async read(collection, name) {
          await beforeRead()
          return opened.read(collection, name)
        },
      }
    })
    const watcher = watched(db, all, null)
    await db.put('c', 'a', json('1', 2000))
    const renewal = { op: 'renew', collection: 'c', key: 'a', expiresAtMs: 3000, ifRevision: 1 } as const
    const renewing = engine!.commit({ checks: [], writes: [renewal], nowMs: 1999 })
    beforeRead = async () => {
      nowMs = 3000
    }
    nowMs = 2000
    const reading = watcher.read()
    await renewing
    expect([...eventsOf(await reading).map(tell), ...(await rest(watcher))]).toEqual(['expire a'])
    nowMs = 1000
    expect(await db.get('c', 'a')).toBeNull()
  })

  test('the sweep is heard of', async () => {
    let nowMs = 1000
    const db = await open({ now: () => nowMs })
    const watcher = watched(db, key('a'), null)
    await db.put('c', 'a', json('1', 2000))
    expect(await rest(watcher)).toEqual(['put a 1'])
    nowMs = 2000
    await until(() => watcher.wakes() === 1, 'it is swept')
    expect(await rest(watcher)).toEqual(['expire a'])
  })
})

describe('an engine that answers later', () => {
  test('leaves no gap between history and what follows', async () => {
    let during = async () => {}
    const db: Database = await open({}, (engine) => lateFeed(engine, () => during()))
    for (const scope of [all, { ...all, collection: 'c' }, key('k')]) {
      await db.put('c', 'k', json('0'))
      const head = db.watch(all, null, () => {}).cursor()
      let n = 0
      during = async () => {
        // What is written before the feed is asked is in its answer, and was heard of too.
        await db.put('c', 'k', json(String(++n)))
      }
      const watcher = watched(db, scope, head)
      const revisions: number[] = []
      for (let i = 0; i < 10; i++) {
        for (const { change } of eventsOf(await watcher.read())) revisions.push(revisionOf(change))
        if (i === 5) during = async () => {}
      }
      await db.put('c', 'k', json('last'))
      const last = await rest(watcher)
      expect(last.at(-1)).toBe('put k last')
      expect(n).toBeGreaterThan(1)
      expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => a - b))
      expect(revisions.at(-1)).toBeGreaterThan(Number(head))
    }
  })

  test('may answer so late that the queue runs over, and nothing is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let ways = 0
    // The second is that of the answer: it is as old then as what was asked.
    const wayThere = async () => void (++ways === 2 && (await promise))
    const db = await open({ watchBounds: { ...wide, events: 4 } }, (engine) => lateFeed(engine, wayThere))
    await db.put('c', 'first', json('1'))
    const watcher = watched(db, all, '1')
    const reading = watcher.read()
    await turns()
    for (let i = 0; i < 10; i++) await db.put('c', `k${i}`, json('1'))
    resolve()
    const seen = [...eventsOf(await reading).map(tell), ...(await rest(watcher))]
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => `put k${i} 1`))
    expect(db.stats().watch.fallbacks).toBe(1)
  })

  test('is not waited for by one who closes meanwhile', async () => {
    let hold = async () => {}
    const db = await open({}, (engine) => lateFeed(engine, () => hold()))
    await db.putAll(
      'c',
      Array.from({ length: 150 }, (_, i) => ({ key: `k${i}`, ...json('1') })),
    )
    // Closed at once, and while a page is on its way.
    for (const meanwhile of [async () => {}, turns]) {
      const stays = watched(db, all, null)
      const watcher = watched(db, all, '')
      expect(await next(watcher)).toHaveLength(100)
      const { promise, resolve } = Promise.withResolvers<void>()
      hold = () => promise
      const reading = watcher.read()
      await meanwhile()
      watcher.close()
      hold = async () => {}
      resolve()
      expect(await reading).toBeNull()
      watcher.close()
      expect(await watcher.read()).toBeNull()
      expect(watcher.cursor()).toBe('100')
      expect(db.stats().watch.watchers).toBe(1)
      stays.close()
    }
  })

  test('may fail, and is asked again from the same place', async () => {
    let fails = false
    const db = await open({}, (engine) => ({
      ...engine,
      changes(after, limit, scope) {
        if (fails) throw new KvistError('storage_failed', 'the tables cannot be read')
        return engine.changes(after, limit, scope)
      },
    }))
    await db.put('c', 'k', json('1'))
    const watcher = watched(db, all, '')
    fails = true
    expect((await faultOf((async () => watcher.read())())).code).toBe('storage_failed')
    await db.put('c', 'l', json('1'))
    expect((await faultOf((async () => watcher.read())())).code).toBe('storage_failed')
    expect(watcher.cursor()).toBe('')
    fails = false
    expect(await rest(watcher)).toEqual(['put k 1', 'put l 1'])
    await turns()
    expect(watcher.wakes()).toBe(0)
  })
})
