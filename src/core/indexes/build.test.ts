import { afterEach, describe, expect, test } from 'bun:test'
import { faultOf, newFolder, until } from '../../../test/support/engine.ts'
import { allMembers, wrongEntries } from '../../../test/support/index-entries.ts'
import { lateEngine } from '../../../test/support/late-engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import { openMemory } from '../../engines/memory/engine.ts'
import { openSqlite } from '../../engines/sqlite/engine.ts'
import { msToStamp } from '../clock.ts'
import type { NewContent } from '../content.ts'
import { type Database, openDatabase } from '../database.ts'
import type { Engine, OnCommit, Put } from '../engine.ts'
import type { ForeignWrite } from '../foreign-write.ts'
import { histogram } from '../histogram.ts'
import { nextTick } from '../next-tick.ts'
import { noSettings, settingsWrite } from '../settings.ts'
import { type Index, type IndexDefinition, indexOf, parseIndexes } from './definition.ts'
import type { IndexEvent } from './one-build.ts'

const clock = { nowMs: 1_000_000 }
const timers = manualTimers()
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

type OpenEngine = (onCommit: OnCommit) => Promise<Engine>
const memory: OpenEngine = async (onCommit) => openMemory({ onCommit })
const sqliteIn =
  (dir: string): OpenEngine =>
  (onCommit) =>
    openSqlite({ dir, durability: 'relaxed', onCommit })

async function open(openEngine: OpenEngine = memory) {
  const events: IndexEvent[] = []
  let engine: Engine | null = null
  const db = await openDatabase({
    open: async (onCommit) => {
      engine = await openEngine(onCommit)
      return engine
    },
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers,
    onError(error) {
      throw error
    },
    onIndexEvent: (event) => void events.push(event),
  })
  opened.push(db)
  return { db, engine: engine!, events }
}

function json(value: string, expiresAtMs: number | null = null): NewContent {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

const members = (count: number, text = (i: number) => `{"a":${i % 7}}`) =>
  Array.from({ length: count }, (_, i) => ({ key: `k${String(i).padStart(5, '0')}`, ...json(text(i)) }))

const setIndexes = (db: Database, indexes: readonly IndexDefinition[]) =>
  db.setSettings('c', { ...noSettings, indexes })

const byA = parseIndexes([{ name: 'by-a', on: ['@.a'] }])
const [indexA] = byA.map((one) => indexOf('c', one)) as [Index]
const uniqueA = parseIndexes([{ name: 'u', on: ['@.a'], unique: true }])
const [indexU] = uniqueA.map((one) => indexOf('c', one)) as [Index]

const stateOf = (db: Database) => db.indexesOf('c').map(({ state }) => state)
/** Waits as `until` does, while time passes for the pauses of builds. */
function whenever(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return until(() => {
    timers.pass(1000)
    return isSo()
  }, what)
}

const isReady = (db: Database) =>
  whenever(() => stateOf(db).every((state) => state === 'ready'), 'it is ready')

describe.each(['memory', 'memory whose results come late', 'sqlite'])('on %s', (name) => {
  const openEngine: OpenEngine =
    name === 'sqlite'
      ? (onCommit) => sqliteIn(newFolder())(onCommit)
      : name === 'memory'
        ? memory
        : async (onCommit) => lateEngine(openMemory({ onCommit }))

  test('an index of a collection with members is built while they are written, and is ready then', async () => {
    const { db, engine, events } = await open(openEngine)
    // More than one batch has.
    const count = 2600
    await db.putAll('c', members(count))
    const setting = setIndexes(db, byA)
    for (let i = 0; stateOf(db)[0] !== 'ready'; i++) {
      await Promise.all([
        db.put('c', `k${String((i * 37) % count).padStart(5, '0')}`, json(`{"a":${i}}`)),
        db.delete('c', `k${String((i * 53) % count).padStart(5, '0')}`),
      ])
      timers.pass(1000)
      await nextTick()
    }
    await setting
    expect(await wrongEntries(engine, indexA)).toEqual([])
    await whenever(() => events.length === 2, 'it is reported')
    expect(events.map(({ type }) => type)).toEqual(['building', 'ready'])
    expect(db.indexesOf('c')).toMatchObject([{ name: 'by-a', state: 'ready', failure: null }])
  })

  test('an index that is dropped, made anew, dropped and made with other fields leaves no wrong entry', async () => {
    const { db, engine } = await open(openEngine)
    await db.putAll('c', members(600))
    const other = parseIndexes([{ name: 'by-a', on: ['@.b', '@.a'] }])
    for (let round = 0; round < 6; round++) {
      await setIndexes(db, byA)
      if (round % 2 === 1) await isReady(db)
      await setIndexes(db, [])
      // These have no entries, and change those that are left.
      await db.putAll(
        'c',
        members(300, (i) => `{"a":${i + round},"b":1}`),
      )
      await db.delete('c', `k0000${round}`)
      await setIndexes(db, round === 3 ? other : byA)
      if (round % 3 === 0) await isReady(db)
      await setIndexes(db, [])
    }
    await setIndexes(db, other)
    await isReady(db)
    expect(await wrongEntries(engine, indexOf('c', other[0]!))).toEqual([])
    await whenever(
      async () => (await allMembers(engine, indexA.entries)).length === 0,
      'the former one is gone',
    )
    await setIndexes(db, byA)
    await isReady(db)
    expect(await wrongEntries(engine, indexA)).toEqual([])
  })

  test('a unique index of members with the same values fails, names them, and does not refuse writes', async () => {
    const { db, engine, events } = await open(openEngine)
    await db.putAll(
      'c',
      members(600, (i) => `{"a":${i === 500 ? 3 : i}}`),
    )
    await setIndexes(db, uniqueA)
    await whenever(() => stateOf(db)[0] === 'failed', 'it has failed')
    expect(db.indexesOf('c')[0]!.failure).toBe('members have the same values: k00003 and k00500')
    await whenever(() => events.at(-1)?.type === 'failed', 'it is reported')
    expect(events.at(-1)).toMatchObject({ type: 'failed', collection: 'c', name: 'u' })
    await db.put('c', 'k00007', json('{"a":3}'))
    await whenever(async () => (await allMembers(engine, indexU.entries)).length === 0, 'no entries are left')
    await db.delete('c', 'k00500')
    await db.delete('c', 'k00007')
    await setIndexes(db, uniqueA)
    await isReady(db)
    expect(await wrongEntries(engine, indexU)).toEqual([])
    expect(await faultOf(db.put('c', 'x', json('{"a":3}')))).toMatchObject({ code: 'not_unique' })
  })
})

test('a build rests after each page while clients write, longer while they are throttled, and not while nobody does', async () => {
  let pages = 0
  const throttle = histogram([1])
  const { db } = await open(async (onCommit) => {
    const engine = await memory(onCommit)
    const scan: Engine['scan'] = (range) => {
      if (range.collection === 'c') pages++
      return engine.scan(range)
    }
    return { ...engine, scan, stats: () => ({ ...engine.stats(), waitSeconds: { throttle } }) }
  })
  await db.putAll('c', members(2000))
  await setIndexes(db, byA)
  await until(() => stateOf(db)[0] === 'ready', 'it is ready')
  expect(pages).toBe(4)
  await setIndexes(db, parseIndexes([{ name: 'by-b', on: ['@.b'] }]))
  async function writing(ticks: number): Promise<number> {
    for (let i = 0; i < ticks; i++) {
      await Promise.all([db.put('other', `k${i}`, json('1')), db.put('other', `l${i}`, json('1'))])
      await nextTick()
    }
    return pages
  }
  const before = await writing(50)
  expect(before).toBeLessThan(7)
  // As long as a page holds the thread at least, five times; the clock stands still.
  timers.pass(4)
  expect(await writing(10)).toBe(before)
  timers.pass(1)
  expect(await writing(10)).toBe(before + 1)
  throttle.sum += 0.1
  timers.pass(5)
  expect(await writing(10)).toBe(before + 2)
  timers.pass(19)
  expect(await writing(10)).toBe(before + 2)
  timers.pass(1)
  expect(await writing(10)).toBe(before + 3)
  await isReady(db)
})

test('a build that is interrupted goes on where it was, and one that was ready stays so', async () => {
  const dir = newFolder()
  let { db, engine } = await open(sqliteIn(dir))
  await db.putAll('c', members(5000))
  await setIndexes(db, byA)
  for (let i = 0; ; i++) {
    await db.put('c', `n${i}`, json('{"a":1}'))
    const { state } = db.indexesOf('c')[0]!
    await db.close()
    opened.length = 0
    clock.nowMs += 1000
    const again = await open(sqliteIn(dir))
    db = again.db
    engine = again.engine
    if (state === 'ready') break
    // As long as some pages take, and their commits.
    for (let page = 0; page < 16; page++) {
      clock.nowMs += 300
      await db.put('c', `m${i}-${page}`, json(`{"a":${page}}`))
      timers.pass(1000)
      await nextTick()
    }
    expect(i).toBeLessThan(50)
  }
  expect(stateOf(db)).toEqual(['ready'])
  expect(await wrongEntries(engine, indexA)).toEqual([])
})

test('a server that starts without the settings of an index deletes its entries', async () => {
  const dir = newFolder()
  const settings = new Map([['c', { ...noSettings, indexes: byA }]])
  const openWith = async (given: typeof settings) => {
    let engine: Engine | null = null
    const db = await openDatabase({
      open: async (onCommit) => {
        engine = await sqliteIn(dir)(onCommit)
        return engine
      },
      cacheBytes: 0,
      now: () => clock.nowMs,
      timers,
      onError(error) {
        throw error
      },
      settings: given,
    })
    opened.push(db)
    return { db, engine: engine! }
  }
  const first = await openWith(settings)
  await first.db.putAll('c', members(100))
  await isReady(first.db)
  await first.db.close()
  const second = await openWith(new Map())
  await second.db.put('c', 'k00001', json('{"a":"changed"}'))
  await second.db.close()
  const third = await openWith(settings)
  opened.splice(0, 2)
  await isReady(third.db)
  expect(await wrongEntries(third.engine, indexA)).toEqual([])
  expect(stateOf(third.db)).toEqual(['ready'])
})

test('settings with an index that another node sends are followed, also where it is removed and made again', async () => {
  const { db, engine } = await open()
  await db.putAll('c', members(300))
  let stamp = msToStamp(clock.nowMs)
  const origin = () => ({ clock: ++stamp, node: 'other', createdAtMs: 1 })
  const settings = (indexes: readonly IndexDefinition[]): ForeignWrite => ({
    ...(settingsWrite('c', { ...noSettings, indexes }) as Put),
    origin: origin(),
  })
  const member = (key: string, value: string): ForeignWrite => ({
    ...{ op: 'put', collection: 'c', key, value, contentType: 'application/json', flags: 0 },
    ...{ expiresAtMs: null, origin: origin() },
  })
  await db.replicate([settings(byA), member('x', '{"a":1}')])
  await isReady(db)
  expect(await wrongEntries(engine, indexA)).toEqual([])
  // Between the two nobody keeps the entries, and no job runs.
  await Promise.all([
    db.replicate([settings([])]),
    db.replicate([member('x', '{"a":2}'), member('y', '{"a":3}')]),
    db.replicate([settings(byA)]),
  ])
  await isReady(db)
  expect(await wrongEntries(engine, indexA)).toEqual([])
})

test.each(['plain', 'unique'])(
  'members that change after a build of a %s index has read them keep the entries that they have since',
  async (kind) => {
    const [definition] = kind === 'unique' ? uniqueA : byA
    const changed: Promise<unknown>[] = []
    let change: (() => Promise<unknown>) | null = null
    const { db, engine } = await open(async (onCommit) => {
      const inner = openMemory({ onCommit })
      return {
        ...inner,
        async scan(range) {
          const page = await inner.scan(range)
          if (range.collection === 'c' && change !== null) {
            changed.push(change())
            change = null
            await Promise.all(changed)
          }
          return page
        },
      }
    })
    await db.putAll(
      'c',
      members(100, (i) => `{"a":${i}}`),
    )
    change = async () => {
      await db.put('c', 'k00001', json('{"a":"changed"}'))
      await db.delete('c', 'k00002')
      await db.put('c', 'k00003', json('{"a":2}'))
      // Entries are not written with these: the members had none, and have the same values as before.
      await db.put('c', 'k00004', json('{"a":4}'))
      await db.touch({ collection: 'c', key: 'k00005' }, clock.nowMs + 60_000)
      const origin = { clock: msToStamp(clock.nowMs + 1000), node: 'other', createdAtMs: 1 }
      const same = { ...json('{"a":6}'), expiresAtMs: null, origin }
      await db.replicate([{ op: 'put', collection: 'c', key: 'k00006', ...same }])
      // Does nothing, since it is older: the entry is that of what was read.
      const older = { ...json('{"a":"older"}'), expiresAtMs: null, origin: { ...origin, clock: 1 } }
      await db.replicate([{ op: 'put', collection: 'c', key: 'k00007', ...older }])
    }
    await db.setSettings('c', { ...noSettings, indexes: [definition!] })
    await isReady(db)
    expect(changed).toHaveLength(1)
    expect(await wrongEntries(engine, indexOf('c', definition!))).toEqual([])
  },
)

test('a write that is given to the engine after the progress, and done after the next page is read, keeps its entry', async () => {
  let change: (() => Promise<unknown>) | null = null
  let changing: Promise<unknown> | null = null
  let release = () => {}
  const { db, engine } = await open(async (onCommit) => {
    const inner = openMemory({ onCommit })
    let before: Promise<unknown> = Promise.resolve()
    return {
      ...inner,
      async scan(range) {
        const page = await inner.scan(range)
        if (range.collection === 'c') release()
        return page
      },
      commit(commit) {
        const [write] = commit.writes
        const isHeld = write!.collection === 'c' && changing === null && change === null
        const way = Promise.withResolvers<void>()
        if (isHeld) release = way.resolve
        else way.resolve()
        const committing = before.then(() => way.promise).then(() => inner.commit(commit))
        before = committing
        const progress = write?.collection === '_indexes' && write.op === 'put' ? String(write.value) : ''
        if (change !== null && /"examined":[1-9]/.test(progress)) {
          const given = change
          change = null
          changing = given()
        }
        return committing
      },
    }
  })
  change = async () => {}
  await db.putAll('c', members(2600))
  change = () => db.put('c', 'k02100', json('{"a":"changed"}'))
  await setIndexes(db, byA)
  await isReady(db)
  await changing
  expect(changing).not.toBe(null)
  expect(await wrongEntries(engine, indexA)).toEqual([])
})
