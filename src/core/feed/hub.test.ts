import { describe, expect, test } from 'bun:test'
import { faultOf } from '../../../test/support/engine.ts'
import { compactedEngine, lateFeed } from '../../../test/support/late-engine.ts'
import {
  all,
  atOnce,
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
import { revisionOf } from '../member.ts'
import { compilePattern } from '../pattern.ts'
import { noSettings } from '../settings.ts'
import type { Scope } from './scope.ts'

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

  test('is woken after the writer got its response, and no more when it has read meanwhile', async () => {
    const db = await open(atOnce)
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
      seen.push(...eventsOf(batch).map(report))
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
    await db.setSettings('c', { ...noSettings, defaultTtlMs: 60_000 })
    for (const [i, [scope, wanted]] of scopes.entries()) {
      expect(await rest(live[i]!)).toEqual(wanted)
      expect(await rest(watched(db, scope, ''))).toEqual(wanted)
    }
  })

  test('is not examined for a change that does not concern it', async () => {
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
    const db = await open(atOnce)
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
    await db.execute({
      operations: ['x', 'y', 'k', 'z'].map(
        (name) => ({ op: 'put', collection: 'c', key: name, ...json('1') }) as const,
      ),
    })
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
    expect(eventsOf(await reading).map(report)).toEqual(['put k 2'])
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
      expect(await rest(watched(db, all, cursor))).toEqual(events.slice(i + 1).map(report))
    }
  })

  test('that the feed does not have any more begin anew, after one reset', async () => {
    let oldest = 0
    const db = await open(atOnce, (engine) => compactedEngine(engine, () => oldest))
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
    // All that waited was dropped: there is room for as much again.
    const again = watched(db, { ...all, collection: 'd' }, null)
    await db.put('d', 'k', value)
    await db.put('d', 'k', value)
    expect(db.stats().watch.fallbacks).toBe(1)
    await db.put('d', 'k', value)
    expect(db.stats().watch.fallbacks).toBe(2)
    expect(await rest(again)).toHaveLength(1)
  })
})
