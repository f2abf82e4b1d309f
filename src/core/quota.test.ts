import { afterEach, describe, expect, test } from 'bun:test'
import { faultOf, killedCopy, newFolder } from '../../test/support/engine.ts'
import { together } from '../../test/support/line-differences.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { openSqlite } from '../engines/sqlite/engine.ts'
import { msToStamp } from './clock.ts'
import type { AskedExpiry, NewContent } from './content.ts'
import { type Database, type DatabaseOptions, openDatabase } from './database.ts'
import type { Engine, OnCommit } from './engine.ts'
import { everything } from './list.ts'
import { nextTick } from './next-tick.ts'
import type { Operation } from './operations.ts'
import { quotaExceeded } from './quota.ts'
import { noSettings, type Settings } from './settings.ts'

/** Quotas as every protocol meets them: what is refused, and how. */

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

const clock = { nowMs: 1_000_000 }
const timers = manualTimers()

async function open(
  quota: Partial<Settings> = {},
  openEngine: (onCommit: OnCommit) => Promise<Engine> = openTestEngine,
  options: Partial<DatabaseOptions> = {},
): Promise<Database> {
  const db = await openDatabase({
    open: openEngine,
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers,
    onError(error) {
      throw error
    },
    ...options,
  })
  opened.push(db)
  await limit(db, quota)
  return db
}

const limit = (db: Database, quota: Partial<Settings>) => db.setSettings('c', { ...noSettings, ...quota })

function json(value: string, expiresAtMs: AskedExpiry = null): NewContent {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

const ref = (key: string) => ({ collection: 'c', key })
const putOf = (key: string, value = '1'): Operation => ({ op: 'put', ...ref(key), ...json(value) })

/** Keys that a batch can span on every engine. */
const beside = (key: string) => `${together('k')}${key}`

async function sizeOf(db: Database) {
  const { members = 0, bytes = 0 } = (await db.collections()).find(({ name }) => name === 'c') ?? {}
  return { members, bytes }
}

/** What a write ends with: `done`, or the quota that refused it. */
async function outcome(write: Promise<unknown>): Promise<string> {
  try {
    await write
    return 'done'
  } catch {
    const { code, extra } = await faultOf(write)
    return code === 'quota_exceeded' ? String(extra.quota) : code
  }
}

type Write = (db: Database, key: string, value: string) => Promise<unknown>

/** Every way to write one member. */
const ways: Readonly<Record<string, Write>> = {
  put: (db, key, value) => db.put('c', key, json(value)),
  'prepared put': (db, key, value) => db.put('c', key, json(value), undefined, 'prepared'),
  'conditional put': (db, key, value) => db.put('c', key, json(value), { ifNoneMatch: [999] }),
  batch: (db, key, value) => db.execute({ operations: [putOf(key, value)] }),
  update: (db, key, value) =>
    db.update(ref(key), () => ({
      op: 'put',
      ...ref(key),
      value,
      contentType: 'application/json',
      flags: 0,
      expiresAtMs: null,
    })),
  'write beside another': async (db, key, value) => {
    const put = (collection: string) => ({
      ...{ op: 'put', collection, key, value, contentType: 'application/json' },
      ...{ flags: 0, expiresAtMs: null },
    })
    const written = await db.write([put('c'), put('free')] as never)
    expect(written[1]!.exceeded).toBeUndefined()
    if (written[0]!.exceeded !== undefined) throw quotaExceeded(written[0]!.exceeded)
  },
  import: async (db, key, value) => {
    const [rejected] = await db.putAll('c', [{ key, ...json(value) }])
    if (rejected !== undefined) throw rejected.error
  },
}

describe.each(Object.keys(ways))('a %s', (name) => {
  const write = ways[name]!

  test('that would pass a quota is refused with the quota, the limit and what there is', async () => {
    const db = await open({ maxMembers: 2, maxBytes: 20, maxValueBytes: 10 })
    await write(db, 'a', '1')
    await write(db, 'b', '"23456"')
    expect(await faultOf(write(db, 'c', '1'))).toMatchObject({
      code: 'quota_exceeded',
      message: 'max_members of c is 2; it has 2 and would have 3',
      extra: { collection: 'c', quota: 'max_members', limit: 2, used: 2, needed: 3 },
    })
    expect(
      await faultOf(write(db, 'a', '"12345678"').then(() => write(db, 'b', '"12345678"'))),
    ).toMatchObject({
      code: 'quota_exceeded',
      message: 'max_bytes of c is 20; it has 19 and would have 22',
      extra: { collection: 'c', quota: 'max_bytes', limit: 20, used: 19, needed: 22 },
    })
    expect(await faultOf(write(db, 'b', '"123456789"'))).toMatchObject({
      code: 'quota_exceeded',
      message: 'max_value_bytes of c is 10; the value of b would have 11',
      extra: { collection: 'c', key: 'b', quota: 'max_value_bytes', limit: 10, used: 7, needed: 11 },
    })
    expect(await sizeOf(db)).toEqual({ members: 2, bytes: 19 })
    expect((await db.get('c', 'b'))?.value).toBe('"23456"')
  })

  test('is not kept out by a member that has expired, whether it was swept or not', async () => {
    const db = await open({ maxMembers: 1 })
    await db.put('c', 'old', json('1', clock.nowMs + 1000))
    expect(await outcome(write(db, 'new', '1'))).toBe('max_members')
    clock.nowMs += 1000
    expect(await sizeOf(db)).toMatchObject({ members: 1 })
    expect(await outcome(write(db, 'new', '1'))).toBe('done')
    expect(await sizeOf(db)).toMatchObject({ members: 1 })
    expect(await db.removalCause('c', 'old')).toBe('expire')
  })

  test('one of many at once: exactly as many are stored as the quota allows', async () => {
    const db = await open({ maxMembers: 25 })
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => outcome(write(db, `k${i}`, '1'))),
    )
    expect(outcomes.filter((one) => one === 'done')).toHaveLength(25)
    expect(outcomes.filter((one) => one === 'max_members')).toHaveLength(75)
    expect(await sizeOf(db)).toMatchObject({ members: 25 })
  })

  test('works above a quota that was lowered if it does not grow', async () => {
    const db = await open()
    for (const key of ['a', 'b', 'c']) await write(db, key, '"12345"')
    await limit(db, { maxMembers: 1, maxBytes: 10, maxValueBytes: 3 })
    expect(await outcome(write(db, 'a', '"54321"'))).toBe('done')
    expect(await outcome(write(db, 'a', '"543"'))).toBe('done')
    expect(await outcome(write(db, 'a', '"5432"'))).toBe('max_value_bytes')
    expect(await outcome(write(db, 'd', '1'))).toBe('max_members')
    await limit(db, { maxBytes: 10 })
    expect(await outcome(write(db, 'a', '"5432"'))).toBe('max_bytes')
    await db.setSettings('c', null)
    expect(await outcome(write(db, 'd', '"54321"'))).toBe('done')
  })
})

describe('above a quota', () => {
  test('deletes, drops, touches and expiry work', async () => {
    const db = await open()
    for (const key of ['a', 'b', beside('c'), beside('d'), 'e', 'f']) await db.put('c', key, json('"long"'))
    await limit(db, { maxMembers: 1, maxBytes: 1, maxValueBytes: 1 })
    expect(await db.delete('c', 'a')).toBeGreaterThan(0)
    expect(await db.delete('c', 'b', { ifMatch: 'any' })).toBeGreaterThan(0)
    await db.execute({
      operations: [
        { op: 'delete', ...ref(beside('c')) },
        { op: 'touch', ...ref(beside('d')), expiresAtMs: clock.nowMs + 9 },
      ],
    })
    expect(await db.touch(ref('e'), clock.nowMs + 9)).toMatchObject({ isWritten: true })
    clock.nowMs += 9
    timers.pass(1000)
    for (let i = 0; i < 50 && (await sizeOf(db)).members > 1; i++) await nextTick()
    expect(await sizeOf(db)).toMatchObject({ members: 1 })
    expect(await db.drop('c', { ...everything })).toBe(1)
    expect(await sizeOf(db)).toEqual({ members: 0, bytes: 0 })
  })

  test('a batch that gives back as much as it takes is done, and one that takes more is not at all', async () => {
    const db = await open({ maxMembers: 3 })
    await db.execute({ operations: [putOf(beside('a')), putOf(beside('b')), putOf(beside('c'))] })
    await db.execute({
      operations: [
        putOf(beside('d')),
        putOf(beside('e')),
        { op: 'delete', ...ref(beside('a')) },
        { op: 'delete', ...ref(beside('b')) },
      ],
    })
    const { next } = await db.changes({ collection: null, key: null, prefix: null, filter: null }, '', 100)
    const batch = db.execute({
      operations: [putOf(beside('c'), '2'), putOf(beside('f')), { op: 'delete', ...ref(beside('x')) }],
    })
    expect(await outcome(batch)).toBe('max_members')
    const { events } = await db.changes(
      { collection: null, key: null, prefix: null, filter: null },
      next,
      100,
    )
    expect(events).toEqual([])
  })

  test('increments and patches are refused as soon as the number gets longer', async () => {
    const db = await open({ maxBytes: 3 })
    const add = () => db.execute({ operations: [{ op: 'increment', ...ref('n'), path: '', by: 50 }] })
    expect(await outcome(add())).toBe('done')
    expect(await outcome(add())).toBe('max_bytes')
    expect((await db.get('c', 'n'))?.value).toBe('50')
    expect(await outcome(db.patch(ref('n'), { kind: 'increment', path: '', by: 50 }))).toBe('max_bytes')
    expect(await outcome(db.patch(ref('n'), { kind: 'increment', path: '', by: -45 }))).toBe('done')
    expect((await db.get('c', 'n'))?.value).toBe('5')
  })
})

test('what a process makes of a value is what counts', async () => {
  const double = {
    name: 'double',
    run: (draft: { value: unknown }) => ({ ...draft, value: `"${draft.value}"` }),
  }
  const db = await open({ processes: ['double'], maxValueBytes: 3 }, openTestEngine, {
    processes: [double as never],
  })
  for (const [name, write] of Object.entries(ways)) {
    if (name === 'prepared put') continue
    expect([name, await outcome(write(db, name, '1'))]).toEqual([name, 'done'])
    expect([name, await outcome(write(db, `${name}!`, '12'))]).toEqual([name, 'max_value_bytes'])
  }
})

test('an import stores what there is room for, in its order, and names the rest', async () => {
  const db = await open({ maxMembers: 4, maxValueBytes: 3 })
  await db.put('c', 'old', json('1', clock.nowMs + 10))
  await db.put('c', 'b', json('0'))
  clock.nowMs += 10
  const lines = ['a', 'b', 'a', 'long', 'c', 'd', 'b', 'e', 'f'].map((key, i) => ({
    key,
    ...json(key === 'long' ? '"long"' : String(i)),
  }))
  const rejected = await db.putAll('c', lines)
  expect(rejected.map(({ index, error }) => [index, error.code, error.extra.quota])).toEqual([
    [3, 'quota_exceeded', 'max_value_bytes'],
    [7, 'quota_exceeded', 'max_members'],
    [8, 'quota_exceeded', 'max_members'],
  ])
  const { members } = await db.page('c', {
    ...everything,
    order: 'asc',
    limit: 10,
    cursor: null,
    keysOnly: false,
  })
  expect(members.map(({ key, value }) => `${key} ${value}`)).toEqual(['a 2', 'b 6', 'c 4', 'd 5'])
})

test('a line of an import that is tried again never replaces a later one of its key', async () => {
  const db = await open({ maxBytes: 10 })
  await db.put('c', 'old', json('123', clock.nowMs + 10))
  clock.nowMs += 10
  const lines = ['"long"', '1', '"gone"'].map((value, i) => ({ key: i === 2 ? 'b' : 'a', ...json(value) }))
  expect(await db.putAll('c', lines)).toMatchObject([{ index: 0, error: { code: 'quota_exceeded' } }])
  expect((await db.get('c', 'a'))?.value).toBe('1')
})

test('parts of an import that are under way at once keep their order when one of them is tried again', async () => {
  const db = await open({ maxBytes: 10 })
  await db.put('c', 'old', json('123', clock.nowMs + 10))
  clock.nowMs += 10
  // The first has room only once the expired member is deleted, the second at once.
  const parts = ['"long"', '1'].map((value) => db.putAll('c', [{ key: 'new', ...json(value) }]))
  expect(await Promise.all(parts)).toEqual([[], []])
  expect((await db.get('c', 'new'))?.value).toBe('1')
})

test('writes of other nodes are not refused, and count', async () => {
  const db = await open({ maxMembers: 1, maxValueBytes: 1 })
  const origin = { clock: msToStamp(clock.nowMs), node: 'n1', createdAtMs: clock.nowMs }
  const foreign = (key: string) =>
    ({ op: 'put', ...ref(key), ...json('"long"'), expiresAtMs: null, origin }) as const
  expect(await db.replicate([foreign('a'), foreign('b')])).toMatchObject([
    { existed: false },
    { existed: false },
  ])
  expect(await sizeOf(db)).toEqual({ members: 2, bytes: 14 })
  expect(await outcome(db.put('c', 'c', json('1')))).toBe('max_members')
})

/** An engine that does one commit in each tick. */
function slowEngine(engine: Engine): Engine {
  let last: Promise<unknown> = Promise.resolve()
  return {
    ...engine,
    commit(commit) {
      const done = last.then(nextTick).then(() => engine.commit(commit))
      last = done.catch(() => {})
      return done
    },
  }
}

test('once settings are stored, no write under the older ones is under way', async () => {
  const db = await open({}, async (onCommit) => slowEngine(await openTestEngine(onCommit)))
  for (const maxMembers of [10, 40]) {
    const stored = limit(db, { maxMembers })
    const puts = Array.from({ length: 30 }, (_, i) => outcome(db.put('c', `${maxMembers}-${i}`, json('1'))))
    await stored
    const { members } = await sizeOf(db)
    await Promise.all(puts)
    expect(await sizeOf(db)).toMatchObject({ members: Math.max(members, Math.min(maxMembers, 30)) })
    expect(await outcome(db.put('c', 'one more', json('1')))).toBe(maxMembers === 10 ? 'max_members' : 'done')
    await db.drop('c', { ...everything })
  }
})

test('quotas hold after a kill, with the counts of all that was acknowledged', async () => {
  const dir = newFolder()
  const db = await open({ maxMembers: 20 }, (onCommit) => openSqlite({ dir, durability: 'full', onCommit }))
  await Promise.all(Array.from({ length: 30 }, (_, i) => outcome(db.put('c', `k${i}`, json('1')))))
  await db.execute({ operations: [putOf('k1', '22'), { op: 'delete', ...ref('k2') }] })
  expect(await outcome(db.execute({ operations: [putOf('x'), putOf('y')] }))).toBe('max_members')
  const size = await sizeOf(db)
  const copy = killedCopy(dir)
  const again = await openDatabase({
    open: (onCommit) => openSqlite({ dir: copy, durability: 'full', onCommit }),
    ...{ cacheBytes: 1 << 20, now: () => clock.nowMs, timers },
    onError(error) {
      throw error
    },
  })
  opened.push(again)
  expect(await sizeOf(again)).toEqual(size)
  expect(size.members).toBe(19)
  expect(await outcome(again.put('c', 'x', json('1')))).toBe('done')
  expect(await outcome(again.put('c', 'y', json('1')))).toBe('max_members')
})

test('quotas hold after a restart, from the first write on, with the counts of before', async () => {
  const dir = newFolder()
  const openEngine = (onCommit: OnCommit) =>
    openSqlite({ dir, durability: 'full', onCommit, segmentBytes: 4096 })
  const first = await open({ maxMembers: 50, maxBytes: 200 }, openEngine)
  await Promise.all(Array.from({ length: 60 }, (_, i) => outcome(first.put('c', `k${i + 10}`, json('1')))))
  expect(await sizeOf(first)).toEqual({ members: 50, bytes: 200 })
  await opened.pop()!.close()
  const again = await openDatabase({
    ...{ open: openEngine, cacheBytes: 1 << 20, now: () => clock.nowMs, timers },
    onError(error) {
      throw error
    },
  })
  opened.push(again)
  expect(await outcome(again.put('c', 'one', json('1')))).toBe('max_members')
  expect(await outcome(again.put('c', 'k10', json('12')))).toBe('max_bytes')
  expect(await again.delete('c', 'k10')).toBeGreaterThan(0)
  expect(await outcome(again.put('c', 'one', json('1')))).toBe('done')
})
