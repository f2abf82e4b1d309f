import { afterEach, expect } from 'bun:test'
import type { NewContent } from '../src/core/content.ts'
import type { Database } from '../src/core/database.ts'
import type { Put } from '../src/core/engine.ts'
import { parseWhere } from '../src/core/find/expressions.ts'
import { indexOf, parseIndexes } from '../src/core/indexes/definition.ts'
import { entryOf } from '../src/core/indexes/entries.ts'
import { noSettings } from '../src/core/settings.ts'
import { realTimers } from '../src/core/timers.ts'
import { lineKeys } from '../src/engines/redis/layout.ts'
import { faultOf } from './support/engine.ts'
import { emptyQuery } from './support/find-model.ts'
import { allMembers, wrongEntries } from './support/index-entries.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import {
  openShared,
  type SharedDatabase,
  type SharedDatabaseOptions,
  untilIndexes,
} from './support/redis-databases.ts'

/** Indexes of a store in Redis that several servers write to: whoever was notified of them or not, they agree with the members. */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
const opened: SharedDatabase[] = []
beforeAll(async () => {
  redis = await startRedis({ config: { appendfsync: 'no' } })
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map(({ db }) => db.close()))
})
afterAll(() => redis?.stop())

const definitions = parseIndexes([{ name: 'by-a', on: ['@.a'] }])
const byA = { ...noSettings, indexes: definitions }
const index = indexOf('c', definitions[0]!)
const lines = 4
/** What waits after an error need not wait long here. */
const quickTimers = { ...realTimers, after: (ms: number, run: () => void) => realTimers.after(ms / 50, run) }

async function open(prefix: string, options: Partial<SharedDatabaseOptions> = {}): Promise<SharedDatabase> {
  const one = await openShared([redis], { prefix, lines, ...options })
  opened.push(one)
  return one
}

function content(a: number): NewContent {
  return { value: `{"a":${a}}`, contentType: 'application/json', flags: 0, expiresAtMs: null }
}

function fill(db: Database, count: number): Promise<unknown> {
  return db.putAll(
    'c',
    Array.from({ length: count }, (_, i) => ({ key: `k${i}`, ...content(i % 7) })),
  )
}

/** Writes entries as a former index with the same definition may have left them. */
async function putEntries({ engine }: SharedDatabase, ...left: [key: string, a: number][]): Promise<void> {
  const writes = left.map(([key, a]): Put => {
    const entry = entryOf(index, key, `{"a":${a}}`)
    const near = { collection: 'c', key }
    return { op: 'put', collection: index.entries, ...entry, ...contentOfEntry, near }
  })
  await engine.commit({ checks: [], writes, nowMs: Date.now(), apart: true })
}

const contentOfEntry = { contentType: 'application/json', flags: 0, expiresAtMs: null }

/** Finds by the index; returns how it was found, and the keys. */
async function find(db: Database, a: number) {
  const query = { ...emptyQuery, where: parseWhere(`@.a == ${a}`), limit: 1000 }
  const { members, explanation } = await db.find('c', query)
  return { by: explanation.index, keys: members.map(({ key }) => key) }
}

/** Finds all members with a value by reading them one after the other. */
async function scanned({ engine }: SharedDatabase, a: number): Promise<string[]> {
  return (await allMembers(engine, 'c')).filter(({ value }) => value === `{"a":${a}}`).map(({ key }) => key)
}

test('an index is built while two servers write, used by both, and dropped', async () => {
  const [one, other] = [await open('two'), await open('two')]
  const chance = random(seedOfRun())
  await fill(one.db, 800)
  let isRunning = true
  const write = async ({ db }: SharedDatabase) => {
    while (isRunning) {
      const key = `k${chance.int(900)}`
      if (chance.oneIn(3)) await db.delete('c', key)
      else await db.put('c', key, content(chance.int(7)))
    }
  }
  const writers = [one, one, other, other].map(write)
  await one.db.setSettings('c', byA)
  await Promise.all([untilIndexes(one, 'c', 'ready'), untilIndexes(other, 'c', 'ready')])
  isRunning = false
  await Promise.all(writers)
  expect(await wrongEntries(one.engine, index)).toEqual([])
  for (const { db } of [one, other]) {
    const found = await find(db, 3)
    expect(found.by).toBe('by-a')
    expect(found.keys).toEqual(await scanned(one, 3))
  }
  // One of them has built it.
  expect([one, other].filter(({ events }) => events.includes('ready')).length).toBe(1)
  expect(String(await redis.command('HGET', '{two}store', 'format'))).toBe('2')

  await other.db.setSettings('c', null)
  const endAtMs = performance.now() + 10_000
  while ((await one.engine.collections()).some(({ name }) => name === index.entries)) {
    expect(performance.now()).toBeLessThan(endAtMs)
    await Bun.sleep(5)
  }
  expect((await find(one.db, 3)).by).toBeNull()
})

test('a server that does not know of an index yet writes no member without its entry', async () => {
  const [one, deaf] = [await open('deaf'), await open('deaf')]
  await fill(one.db, 50)
  await putEntries(one, ['k1', 99], ['nobody', 3], ['k3', 3])
  deaf.hold()
  await one.db.setSettings('c', byA)
  await untilIndexes(one, 'c', 'ready')
  expect(deaf.db.indexesOf('c')).toEqual([])
  await Promise.all([
    deaf.db.put('c', 'new', content(3)),
    deaf.db.put('c', 'k1', content(3)),
    deaf.db.delete('c', 'k3'),
    fill(deaf.db, 20),
    deaf.db.write([
      { op: 'delete', collection: 'c', key: 'k40', cause: 'delete' },
      { op: 'put', collection: 'other', key: 'x', ...content(1), expiresAtMs: null },
    ]),
  ])
  expect(await wrongEntries(one.engine, index)).toEqual([])
  expect((await find(one.db, 3)).keys).toEqual(await scanned(one, 3))
  expect(deaf.db.indexesOf('c')).toMatchObject([{ name: 'by-a', state: 'ready' }])
})

test('a server that does not know yet that an index is gone does not read entries that nobody keeps', async () => {
  const [one, deaf] = [await open('gone'), await open('gone')]
  await fill(one.db, 50)
  await one.db.setSettings('c', byA)
  await Promise.all([untilIndexes(one, 'c', 'ready'), untilIndexes(deaf, 'c', 'ready')])
  expect((await find(deaf.db, 3)).by).toBe('by-a')
  deaf.hold()
  await one.db.setSettings('c', null)
  for (let i = 0; i < 20; i++) await one.db.put('c', `new${i}`, content(3))
  const found = await find(deaf.db, 3)
  expect(found).toEqual({ by: null, keys: await scanned(one, 3) })
  // Made again, it is another life of the index, whose entries the other server does not take for those of the first.
  await one.db.setSettings('c', byA)
  await untilIndexes(one, 'c', 'ready')
  expect((await find(deaf.db, 3)).keys).toEqual(await scanned(one, 3))
  expect(await wrongEntries(one.engine, index)).toEqual([])
})

test('a server that does not know an index removes its settings together with its progress', async () => {
  const [one, deaf] = [await open('overwritten'), await open('overwritten')]
  await fill(one.db, 20)
  deaf.hold()
  await one.db.setSettings('c', byA)
  await untilIndexes(one, 'c', 'ready')
  await deaf.db.setSettings('c', { ...noSettings, maxMembers: 1000 })
  expect(await allMembers(one.engine, '_indexes')).toEqual([])
})

test('entries that a line has lost are found missing, and the index is built again', async () => {
  const [one, other] = [await open('lost'), await open('lost')]
  await fill(one.db, 40)
  await one.db.setSettings('c', byA)
  await untilIndexes(one, 'c', 'ready')
  const before = await scanned(one, 3)
  // As a failover does that takes back the end of a build.
  for (const { head, order, records } of lineKeys('lost', lines).slice(1, 3)) {
    expect(await redis.command('HDEL', head, `whole:${index.id}`)).toBe(1)
    const fields = (await redis.command('ZRANGEBYLEX', order, `[${index.entries}`, '+')) as Buffer[]
    const entries = fields.filter((field) => String(field).startsWith(index.entries))
    expect(entries.length).toBeGreaterThan(0)
    await redis.command('ZREM', order, ...entries)
    await redis.command('HDEL', records, ...entries)
  }
  expect((await find(one.db, 3)).keys).toEqual(before)
  await Promise.all([untilIndexes(one, 'c', 'ready'), untilIndexes(other, 'c', 'ready')])
  expect(await find(other.db, 3)).toEqual({ by: 'by-a', keys: before })
  expect(await wrongEntries(one.engine, index)).toEqual([])
})

test('a Redis server that starts again during a build has it begun anew', async () => {
  const own = await startRedis({ config: { appendfsync: 'no' } })
  const one = await openShared([own], { prefix: 'again', lines, timers: quickTimers })
  try {
    await fill(one.db, 1500)
    const began = async () => {
      const [progress] = await allMembers(one.engine, '_indexes')
      return progress === undefined ? null : JSON.parse(String(progress.value)).generation
    }
    await one.db.setSettings('c', byA)
    let generation: number | null = null
    while (generation === null) generation = await began()
    await own.kill()
    await own.start()
    await untilIndexes(one, 'c', 'ready')
    expect(await began()).toBeGreaterThan(generation)
    expect(await wrongEntries(one.engine, index)).toEqual([])
  } finally {
    await one.db.close()
    await own.stop()
  }
})

test('unique values are kept by all servers where one commit sees all members, and refused elsewhere', async () => {
  const settings = { ...noSettings, indexes: parseIndexes([{ name: 'one-a', on: ['@.a'], unique: true }]) }
  const [one, deaf] = [await open('unique'), await open('unique')]
  expect(await faultOf(one.db.setSettings('c', settings))).toMatchObject({
    code: 'unprocessable',
    message: expect.stringContaining('{c}'),
  })
  await one.db.put('{c}', 'k0', content(0))
  deaf.hold()
  await one.db.setSettings('{c}', settings)
  await untilIndexes(one, '{c}', 'ready')
  const given = await Promise.allSettled(
    [one, deaf].flatMap(({ db }, s) => [1, 2, 3].map((a) => db.put('{c}', `${s}-${a}`, content(a)))),
  )
  const refused = given.flatMap((put) => (put.status === 'rejected' ? [put.reason.code] : []))
  expect(refused).toEqual(['not_unique', 'not_unique', 'not_unique'])
  const unique = indexOf('{c}', settings.indexes[0]!)
  expect(await wrongEntries(one.engine, unique)).toEqual([])
  expect((await allMembers(one.engine, '{c}')).length).toBe(4)
  // A value that another member gives up is free, and one that a drop gives up.
  await deaf.db.put('{c}', 'k0', content(9))
  await one.db.put('{c}', 'k9', content(0))
  expect(await faultOf(one.db.put('{c}', 'k10', content(9)))).toMatchObject({ code: 'not_unique' })
  expect(await wrongEntries(one.engine, unique)).toEqual([])
})
