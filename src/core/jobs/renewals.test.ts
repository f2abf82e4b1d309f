import { afterAll, describe, expect, test } from 'bun:test'
import { newFolder, until } from '../../../test/support/engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import { openSqlite } from '../../engines/sqlite/engine.ts'
import { type Database, type DatabaseOptions, openDatabase, wholeCollection } from '../database.ts'
import type { Commit, CommitResult, Engine } from '../engine.ts'
import { maxTimeMs } from '../limits.ts'
import { keyOf, type Member } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import { noSettings } from '../settings.ts'
import { transformsOf } from '../transforms.ts'
import { writeGate } from '../writes.ts'
import { Renewals } from './renewals.ts'

const hourMs = 3_600_000

function memberOf(key: string, expiresAtMs: number | null, revision = 1, value = '1'): Member {
  const contentType = 'application/json'
  return { key, value, revision, createdAtMs: 0, clock: 0, node: '', expiresAtMs, contentType, flags: 0 }
}

/** How long renewals are buffered, and how long none are after a write failed. */
const bufferMs = 100
const pauseMs = 1000

/** Renewals over an engine that only takes note; `until` holds its responses. */
function noted({ ttlMs = hourMs, nowMs = 1_000_000 } = {}) {
  const commits: Commit[] = []
  const errors: unknown[] = []
  const timers = manualTimers()
  const clock = { nowMs }
  const held = { until: Promise.resolve() as Promise<unknown> }
  const engine = {
    readMany: () => [],
    async commit(commit: Commit): Promise<CommitResult> {
      commits.push(commit)
      await held.until
      const written = { revision: 1, createdAtMs: 0, clock: 0, existed: true }
      return { ok: true, written: commit.writes.map(() => written) }
    },
  }
  const transforms = transformsOf(
    { get: () => undefined },
    { run: (_names, content) => Promise.resolve(content) },
  )
  const renewals = new Renewals({
    writes: writeGate({
      engine: engine as unknown as Engine,
      transforms,
      now: () => clock.nowMs,
      onTouch() {},
      quotasOf: () => undefined,
      makeRoom: async () => {},
    }),
    slidingTtlMs: (collection) => (collection === 'slides' ? ttlMs : null),
    onError: (error) => errors.push(error),
    timers,
  })
  const read = (key: string, expiresAtMs: number | null, revision?: number, collection = 'slides') =>
    renewals.wasRead(collection, memberOf(key, expiresAtMs, revision), clock.nowMs)
  return { renewals, commits, errors, clock, held, read, timers }
}

/** Long enough for what no timer waits for. */
async function ticks(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTick()
}

describe('renewals', () => {
  test('are buffered: many reads of a member are one write, which no read waits for', async () => {
    const { commits, clock, read, timers } = noted()
    const dueMs = clock.nowMs + hourMs - 1
    for (let i = 0; i < 1000; i++) {
      read('a', dueMs)
      read(`b${i % 3}`, dueMs)
    }
    timers.pass(bufferMs - 1)
    await ticks()
    expect(commits).toEqual([])
    timers.pass(1)
    await until(() => commits.length > 0, 'they are written')
    expect(commits).toHaveLength(1)
    expect(commits[0]).toMatchObject({ checks: [], durability: 'relaxed', nowMs: clock.nowMs })
    expect(commits[0]!.writes).toHaveLength(4)
    expect(commits[0]!.writes[0]).toEqual({
      op: 'renew',
      collection: 'slides',
      key: 'a',
      ifRevision: 1,
      expiresAtMs: clock.nowMs + hourMs * 1.1,
    })
  })

  test('are not asked for where expiry does not slide, and where there is life enough', async () => {
    const { renewals, commits, clock, read } = noted()
    read('a', clock.nowMs + 1, 1, 'stays')
    read('a', null)
    read('a', clock.nowMs + hourMs)
    read('a', clock.nowMs + 100 * hourMs)
    await renewals.stop()
    expect(commits).toEqual([])
  })

  test('of a member that is read all the time come about ten times in its time to live', async () => {
    const ttlMs = 1000 // so short that none is left waiting for others
    const { renewals, commits, clock, read } = noted({ ttlMs })
    let expiresAtMs = clock.nowMs + ttlMs
    for (let step = 0; step < 1000; step++) {
      clock.nowMs += ttlMs / 100
      read('a', expiresAtMs)
      await Promise.resolve().then().then()
      const last = commits.at(-1)?.writes[0]
      if (last?.op === 'renew') expiresAtMs = last.expiresAtMs!
      expect(expiresAtMs - clock.nowMs).toBeWithin(ttlMs, ttlMs * 1.1 + 1)
    }
    expect(commits.length).toBeWithin(85, 101)
    await renewals.stop()
    expect(renewals.renewed()).toBe(commits.length)
  })

  test('that are due within a second are written at once, with those that came before', async () => {
    const { commits, clock, read } = noted()
    read('later', clock.nowMs + 2000)
    read('soon', clock.nowMs + 999)
    read('soon too', clock.nowMs + 1)
    await Promise.resolve()
    expect(commits.map(({ writes }) => writes.map(({ key }) => key))).toEqual([['later', 'soon', 'soon too']])
  })

  test('a member that was written since is renewed as it is now', async () => {
    const { commits, clock, read, timers } = noted()
    read('a', clock.nowMs + 5000, 1)
    read('a', clock.nowMs + 5000, 2)
    timers.pass(bufferMs)
    await until(() => commits.length > 0, 'they are written')
    expect(commits.flatMap(({ writes }) => writes)).toMatchObject([{ key: 'a', ifRevision: 2 }])
  })

  test('while one is under way, a read asks for no other, until it would come too short', async () => {
    const { renewals, commits, clock, held, read, timers } = noted()
    let release = () => {}
    held.until = new Promise<void>((resolve) => {
      release = resolve
    })
    const member = memberOf('a', clock.nowMs + 500)
    read('a', member.expiresAtMs)
    await until(() => commits.length === 1, 'it is sent')
    clock.nowMs += hourMs / 20
    expect(renewals.livesOn('slides', member, clock.nowMs)).toBe(true)
    expect(renewals.livesOn('slides', { ...member, revision: 2 }, clock.nowMs)).toBe(false)
    expect(renewals.livesOn('slides', { ...member, key: 'b' }, clock.nowMs)).toBe(false)
    expect(renewals.livesOn('slides', member, clock.nowMs + 2 * hourMs)).toBe(false)
    read('a', member.expiresAtMs)
    release()
    await ticks()
    timers.pass(bufferMs)
    await ticks()
    expect(commits).toHaveLength(1)
    expect(renewals.livesOn('slides', member, clock.nowMs)).toBe(false)

    held.until = new Promise<void>((resolve) => {
      release = resolve
    })
    read('b', clock.nowMs + 500)
    await until(() => commits.length === 2, 'the next is sent')
    clock.nowMs += hourMs / 5
    read('b', clock.nowMs + 500)
    release()
    await ticks()
    timers.pass(bufferMs)
    await until(() => commits.length === 3, 'it is asked for again')
    expect(commits[2]!.writes).toMatchObject([{ key: 'b', expiresAtMs: clock.nowMs + hourMs * 1.1 }])
  })

  test('go out in bounded batches, and what is too much is dropped', async () => {
    const { renewals, commits, clock, held, read, timers } = noted()
    let release = () => {}
    held.until = new Promise<void>((resolve) => {
      release = resolve
    })
    for (let i = 0; i < 12_345; i++) read(`k${i}`, clock.nowMs + 5000)
    await Promise.resolve()
    // A thousand are on their way, and make room.
    for (let i = 0; i < 12_345; i++) read(`k${i}`, clock.nowMs + 5000)
    release()
    await until(() => {
      timers.pass(bufferMs)
      return renewals.renewed() === 11_000
    }, 'all that there was room for are written')
    timers.pass(bufferMs)
    await ticks()
    expect(commits.map(({ writes }) => writes.length)).toEqual(Array(11).fill(1000))
    read('k12000', clock.nowMs + 5000)
    await renewals.stop()
    expect(renewals.renewed()).toBe(11_001)
  })

  test('of large members go out a few at a time', async () => {
    const { renewals, commits, clock, timers } = noted()
    for (let i = 0; i < 10; i++) {
      const large = memberOf(`k${i}`, clock.nowMs + 5000, 1, 'x'.repeat(2 ** 21))
      renewals.wasRead('slides', large, clock.nowMs)
    }
    await until(() => {
      timers.pass(bufferMs)
      return renewals.renewed() === 10
    }, 'they are written')
    expect(commits.map(({ writes }) => writes.length)).toEqual([2, 2, 2, 2, 2])
  })

  test('end with the times that can be written', async () => {
    const { renewals, commits, clock, read } = noted({ nowMs: maxTimeMs - 100 })
    read('a', clock.nowMs + 50)
    await renewals.stop()
    expect(commits[0]!.writes).toMatchObject([{ expiresAtMs: maxTimeMs }])
  })

  test('that cannot be written are reported and dropped, for a second', async () => {
    const { renewals, commits, errors, clock, held, read, timers } = noted()
    held.until = Promise.reject(new Error('the disk is full'))
    held.until.catch(() => {})
    for (let i = 0; i < 3000; i++) read(`k${i}`, clock.nowMs + 5000)
    await until(() => errors.length > 0, 'it is reported')
    timers.pass(pauseMs - 1)
    read('a', clock.nowMs + 500)
    await ticks()
    expect([errors.length, commits.length]).toEqual([1, 1])
    held.until = Promise.resolve()
    timers.pass(1)
    read('a', clock.nowMs + 500)
    await until(() => renewals.renewed() > 0, 'they are renewed again')
    expect(commits[1]!.writes).toMatchObject([{ key: 'a' }])
    expect(errors).toHaveLength(1)
  })

  test('that wait when it stops are written, and none after', async () => {
    const { renewals, commits, clock, held, read, timers } = noted()
    for (let i = 0; i < 2500; i++) read(`k${i}`, clock.nowMs + 5000)
    await Promise.resolve()
    let release = () => {}
    held.until = new Promise<void>((resolve) => {
      release = resolve
    })
    const stopped = renewals.stop()
    read('late', clock.nowMs + 500)
    release()
    await stopped
    expect(commits.map(({ writes }) => writes.length)).toEqual([1000, 1000, 500])
    read('late', clock.nowMs + 500)
    timers.pass(bufferMs)
    await ticks()
    expect(commits).toHaveLength(3)
  })
})

describe('a database whose expiry slides', () => {
  const opened: Database[] = []
  const timers = manualTimers()
  afterAll(async () => {
    for (const db of opened) await db.close()
  })

  async function open(
    wrap: (engine: Engine) => Engine,
    options: Partial<DatabaseOptions> = {},
    dir: string | null = null,
  ): Promise<Database> {
    const db = await openDatabase({
      open: async (onCommit) =>
        wrap(
          await (dir === null
            ? openTestEngine(onCommit)
            : openSqlite({ dir, durability: 'relaxed', onCommit })),
        ),
      cacheBytes: 1 << 20,
      now: Date.now,
      timers,
      onError(error) {
        throw error
      },
      ...options,
    })
    opened.push(db)
    await db.setSettings('c', { ...noSettings, defaultTtlMs: hourMs, sliding: true })
    return db
  }

  const json = (value: string, expiresAtMs: number | null = null) => {
    return { value, contentType: 'application/json', flags: 0, expiresAtMs }
  }
  const everything = { collection: null, key: null, prefix: null, filter: null }

  test('lets what is read live on, and nothing else of it changes', async () => {
    const clock = { nowMs: Date.UTC(2026, 5, 1) }
    const db = await open((engine) => engine, { now: () => clock.nowMs })
    await db.put('c', 'read', json('1'))
    await db.put('c', 'listed', json('2'))
    await db.put('c', 'never', json('3', clock.nowMs + 50 * hourMs))
    await db.put('other', 'k', json('4', clock.nowMs + hourMs))
    const before = (await db.get('c', 'read'))!
    const feed = await db.changes(everything, '', 100)
    for (let i = 1; i <= 12; i++) {
      clock.nowMs += hourMs / 4
      const renewed = db.stats().renewed
      const member = await db.get('c', 'read')
      expect({ i, ...member }).toEqual({ i, ...before, expiresAtMs: member!.expiresAtMs })
      expect(await db.readMany([{ collection: 'c', key: 'read' }])).toEqual([member])
      timers.pass(bufferMs)
      await until(() => db.stats().renewed > renewed, 'it is renewed')
      expect((await db.get('c', 'read'))?.expiresAtMs).toBe(clock.nowMs + hourMs * 1.1)
      expect((await db.page('c', { ...wholeCollection, prefix: 'listed' })).members.length).toBe(
        i < 4 ? 1 : 0,
      )
    }
    expect(await db.get('other', 'k')).toBeNull()
    expect(await db.get('c', 'listed')).toBeNull()
    expect((await db.get('c', 'never'))?.value).toBe('3')
    const page = await db.changes(everything, feed.next, 100)
    expect(page.events.filter(({ change }) => change.type === 'put')).toEqual([])
    const written = await db.put('c', 'read', json('5'), { ifMatch: [before.revision] })
    expect(written.existed).toBe(true)
  })

  test('writes nothing for reads where it does not slide', async () => {
    const db = await open((engine) => engine)
    await db.setSettings('d', { ...noSettings, defaultTtlMs: 60_000 })
    await db.put('d', 'k', json('1'))
    await db.put('e', 'k', json('1', Date.now() + 5000))
    await db.put('c', 'k', json('1', Date.now() + 5 * hourMs))
    const { commits } = db.stats().engine
    for (let i = 0; i < 1000; i++) for (const collection of ['c', 'd', 'e']) await db.get(collection, 'k')
    timers.pass(bufferMs)
    await ticks()
    expect([db.stats().engine.commits, db.stats().renewed]).toEqual([commits, 0])
  })

  test('brings nothing back: not what has expired, not what was deleted, not what was written since', async () => {
    const clock = { nowMs: Date.UTC(2026, 5, 1) }
    const before: (() => Promise<unknown>)[] = []
    const db = await open(
      (engine) => ({
        ...engine,
        async commit(commit) {
          // Something else comes first.
          if (commit.writes[0]?.op === 'renew') await before.shift()?.()
          return engine.commit(commit)
        },
      }),
      { now: () => clock.nowMs },
    )
    await db.put('c', 'over', json('1'))
    clock.nowMs += hourMs
    expect(await db.get('c', 'over')).toBeNull()
    expect(await db.get('c', 'over')).toBeNull()

    await db.put('c', 'deleted', json('1', clock.nowMs + 500))
    before.push(() => db.delete('c', 'deleted'))
    expect(await db.get('c', 'deleted')).not.toBeNull()
    await until(() => before.length === 0, 'it is sent')
    await Bun.sleep(10)
    expect(await db.get('c', 'deleted')).toBeNull()

    await db.put('c', 'written', json('1', clock.nowMs + 500))
    const soonMs = clock.nowMs + 2 * hourMs
    before.push(() => db.put('c', 'written', json('2', soonMs)))
    expect(await db.get('c', 'written')).not.toBeNull()
    await until(() => before.length === 0, 'it is sent')
    await Bun.sleep(10)
    expect(await db.get('c', 'written')).toMatchObject({ value: '2', expiresAtMs: soonMs })
    expect(db.stats().renewed).toBe(0)
  })

  test('shows what a read has saved also while that is being written, and the sweep spares it', async () => {
    const clock = { nowMs: Date.UTC(2026, 5, 1) }
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const db = await open(
      (engine) => ({
        ...engine,
        async commit(commit) {
          const result = await engine.commit(commit)
          if (commit.writes[0]?.op === 'renew') await released
          return result
        },
        async read(collection, key) {
          const found = await engine.read(collection, key)
          // As it was before: an engine on other machines may be that late.
          return found === null || clock.nowMs < dueMs ? found : { ...found, expiresAtMs: dueMs }
        },
      }),
      { now: () => clock.nowMs },
    )
    const dueMs = clock.nowMs + 100
    await db.put('c', 'k', json('1', dueMs))
    expect(await db.get('c', 'k')).not.toBeNull()
    await Bun.sleep(10)
    clock.nowMs = dueMs + 50
    expect(await db.get('c', 'k')).not.toBeNull()
    timers.pass(1000)
    await ticks()
    expect(await db.get('c', 'k')).not.toBeNull()
    release()
    await until(() => db.stats().renewed === 1, 'it is renewed')
    expect(db.stats().swept).toBe(0)
    const { members } = await db.page('c', wholeCollection)
    expect(members).toMatchObject([{ key: 'k', expiresAtMs: dueMs - 100 + hourMs * 1.1 }])
  })

  test('counts from the read, however late it is written: readers, the sweep and the feed see no end in between', async () => {
    const clock = { nowMs: Date.UTC(2026, 5, 1) }
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const db = await open(
      (engine) => ({
        ...engine,
        async commit(commit) {
          // The disk is busy: what is sent waits, and what is read meanwhile waits to be sent.
          if (commit.writes[0]?.op === 'renew') await held
          return engine.commit(commit)
        },
      }),
      { now: () => clock.nowMs },
    )
    const keys = ['sent', 'waiting', 'unread']
    for (const key of keys) await db.put('c', key, json('1', clock.nowMs + 500))
    const feed = await db.changes(everything, '', 100)
    for (const key of ['sent', 'waiting']) {
      expect(await db.get('c', key)).not.toBeNull()
      await ticks()
    }
    const readMs = clock.nowMs
    // So long that another read asks for a longer renewal.
    clock.nowMs += hourMs / 5
    for (let i = 0; i < 2; i++) {
      const shown = await Promise.all(keys.map(async (key) => (await db.get('c', key)) !== null))
      expect(shown).toEqual([true, true, false])
      timers.pass(1000)
      await until(() => db.stats().swept === 1, 'the sweep has deleted the one that was not read')
    }
    const whole = await db.changes(everything, '', 100)
    const seen = whole.events.map(({ change }) => `${change.type} ${keyOf(change)}`)
    expect(seen.filter((one) => keys.some((key) => one.endsWith(key)))).toEqual([
      'put sent',
      'put waiting',
      'expire unread',
    ])
    release()
    await until(() => {
      timers.pass(bufferMs)
      return db.stats().renewed >= 2
    }, 'they are renewed')
    const { members } = await db.page('c', wholeCollection)
    expect(members.map(({ key }) => key)).toEqual(['sent', 'waiting'])
    for (const { expiresAtMs } of members) expect(expiresAtMs).toBeGreaterThanOrEqual(readMs + hourMs)
    const after = await db.changes(everything, feed.next, 100)
    expect(after.events.map(({ change }) => change.type)).toEqual(['expire'])
  })

  test('writes what waits before it closes', async () => {
    const dir = newFolder()
    const first = await open((engine) => engine, {}, dir)
    await first.put('c', 'k', json('1', Date.now() + 5000))
    await first.get('c', 'k')
    await first.close()
    const again = await open((engine) => engine, {}, dir)
    expect((await again.get('c', 'k'))!.expiresAtMs! - Date.now()).toBeGreaterThan(hourMs)
  })
})
