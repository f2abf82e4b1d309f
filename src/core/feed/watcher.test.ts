import { describe, expect, test } from 'bun:test'
import { faultOf, until } from '../../../test/support/engine.ts'
import { lateFeed } from '../../../test/support/late-engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import {
  all,
  eventsOf,
  json,
  key,
  next,
  open,
  report,
  rest,
  turns,
  watched,
  wide,
} from '../../../test/support/watching.ts'
import type { Database } from '../database.ts'
import type { Engine } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { revisionOf } from '../member.ts'

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
    expect(eventsOf(await reading).map(report)).toEqual(['put b 1'])
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
    test(`a member that was renewed when it seemed to have expired is reported, ${since ?? 'live'}`, async () => {
      let nowMs = 1000
      let engine: Engine | undefined
      const timers = manualTimers()
      const db = await open({ now: () => nowMs, timers }, (opened) => {
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
      expect(eventsOf(batch).map(report)).toEqual(['put a 1', 'put b 1'])
      const [first] = eventsOf(batch)
      expect(first?.change.type === 'put' && first.change.member.expiresAtMs).toBe(3000)
      expect(await rest(early)).toEqual([])
      expect(await db.get('c', 'a')).toMatchObject({ expiresAtMs: 3000 })
      const wakes = early.wakes()
      nowMs = 3000
      timers.pass(1000)
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
    expect([...eventsOf(await reading).map(report), ...(await rest(watcher))]).toEqual(['expire a'])
    nowMs = 1000
    expect(await db.get('c', 'a')).toBeNull()
  })

  test('a sweep wakes watchers', async () => {
    let nowMs = 1000
    const timers = manualTimers()
    const db = await open({ now: () => nowMs, timers })
    const watcher = watched(db, key('a'), null)
    await db.put('c', 'a', json('1', 2000))
    expect(await rest(watcher)).toEqual(['put a 1'])
    nowMs = 2000
    const wakes = watcher.wakes()
    timers.pass(1000)
    await until(() => watcher.wakes() > wakes, 'it is swept')
    expect(await rest(watcher)).toEqual(['expire a'])
  })
})

describe('an engine whose results come late', () => {
  test('leaves no gap between history and what follows', async () => {
    let during = async () => {}
    const db: Database = await open({}, (engine) => lateFeed(engine, () => during()))
    for (const scope of [all, { ...all, collection: 'c' }, key('k')]) {
      await db.put('c', 'k', json('0'))
      const head = db.watch(all, null, () => {}).cursor()
      let n = 0
      during = async () => {
        // What is written before the feed is read is in its page, and was reported too.
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

  test('may be so late that the queue overflows, and nothing is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let ways = 0
    // The second is that of the result: it is as old then as the request.
    const wayThere = async () => void (++ways === 2 && (await promise))
    const db = await open({ watchBounds: { ...wide, events: 4 } }, (engine) => lateFeed(engine, wayThere))
    await db.put('c', 'first', json('1'))
    const watcher = watched(db, all, '1')
    const reading = watcher.read()
    await turns()
    for (let i = 0; i < 10; i++) await db.put('c', `k${i}`, json('1'))
    resolve()
    const seen = [...eventsOf(await reading).map(report), ...(await rest(watcher))]
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => `put k${i} 1`))
    expect(db.stats().watch.fallbacks).toBe(1)
  })

  test('is not waited for after the watcher was closed', async () => {
    let hold = async () => {}
    const db = await open({}, (engine) => lateFeed(engine, () => hold()))
    await db.putAll(
      'c',
      Array.from({ length: 1500 }, (_, i) => ({ key: `k${i}`, ...json('1') })),
    )
    // Closed at once, and while a page is on its way.
    for (const meanwhile of [async () => {}, turns]) {
      const stays = watched(db, all, null)
      const watcher = watched(db, all, '')
      expect(await next(watcher)).toHaveLength(1000)
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
      expect(watcher.cursor()).toBe('1000')
      expect(db.stats().watch.watchers).toBe(1)
      stays.close()
    }
  })

  test('may fail, and is read again from the same cursor', async () => {
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
