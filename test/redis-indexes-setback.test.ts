import { afterEach, expect } from 'bun:test'
import type { NewContent } from '../src/core/content.ts'
import type { Database } from '../src/core/database.ts'
import { KvistError } from '../src/core/errors.ts'
import { parseWhere } from '../src/core/find/expressions.ts'
import { indexOf, parseIndexes } from '../src/core/indexes/definition.ts'
import { noSettings } from '../src/core/settings.ts'
import { realTimers } from '../src/core/timers.ts'
import { lineKeys } from '../src/engines/redis/layout.ts'
import { emptyQuery } from './support/find-model.ts'
import { allMembers, wrongEntries } from './support/index-entries.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openShared, type SharedDatabase, untilIndexes } from './support/redis-databases.ts'

/** Indexes of lines that are what they were some commits ago, as after a failover to a late replica. */

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

const isFull = process.env.KVIST_TEST_REDIS_FULL !== undefined
const rounds = Number(process.env.KVIST_INDEX_ROUNDS ?? (isFull ? 30 : 2))
const lines = 2
const definitions = parseIndexes([{ name: 'by-a', on: ['@.a'] }])
const byA = { ...noSettings, indexes: definitions }
const index = indexOf('c', definitions[0]!)
const timers = { ...realTimers, after: (ms: number, run: () => void) => realTimers.after(ms / 20, run) }

async function open(prefix: string): Promise<SharedDatabase> {
  const one = await openShared([redis], { prefix, lines, timers })
  opened.push(one)
  return one
}

function content(a: number): NewContent {
  return { value: `{"a":${a}}`, contentType: 'application/json', flags: 0, expiresAtMs: null }
}

const dumpScript = 'local r = {} for i, k in ipairs(KEYS) do r[i] = redis.call("DUMP", k) end return r'
const restoreScript = `for i, k in ipairs(KEYS) do redis.call("RESTORE", k, 0, ARGV[i], "REPLACE") end
redis.call("HSET", KEYS[1], "owner", string.rep("0", 40))`

/** Copies a line; returns what puts it back, as if another server had written it. */
async function copyOf(prefix: string, line: number): Promise<() => Promise<void>> {
  const { slot, channel, ...keys } = lineKeys(prefix, lines)[line]!
  const names = [keys.head, ...Object.values(keys).filter((name) => name !== keys.head)]
  const copies = (await redis.command('EVAL', dumpScript, names.length, ...names)) as Buffer[]
  return async () => {
    await redis.command('EVAL', restoreScript, names.length, ...names, ...copies)
  }
}

async function find(db: Database, a: number) {
  const query = { ...emptyQuery, where: parseWhere(`@.a == ${a}`), limit: 1000 }
  const { members, explanation } = await db.find('c', query)
  return { by: explanation.index, keys: members.map(({ key }) => key) }
}

async function scanned({ engine }: SharedDatabase, a: number): Promise<string[]> {
  return (await allMembers(engine, 'c')).filter(({ value }) => value === `{"a":${a}}`).map(({ key }) => key)
}

test('where the end of a build is lost on a line, nothing is missing, and it is built again', async () => {
  const [one, other] = [await open('end'), await open('end')]
  await one.db.putAll(
    'c',
    Array.from({ length: 60 }, (_, i) => ({ key: `k${i}`, ...content(i % 7) })),
  )
  const before = await Promise.all([0, 1].map((line) => copyOf('end', line)))
  await one.db.setSettings('c', byA)
  await Promise.all([untilIndexes(one, 'c', 'ready'), untilIndexes(other, 'c', 'ready')])
  const settingsLine =
    (await allMembers(one.engine, '_indexes')).length === 0 ? -1 : await lineOfSettings('end')
  await before[1 - settingsLine]!()
  expect((await find(one.db, 3)).keys).toEqual(await scanned(one, 3))
  await one.db.put('c', 'new', content(3))
  await untilFoundBy(one)
  await untilFoundBy(other)
  expect(await wrongEntries(one.engine, index)).toEqual([])
})

/** Returns the line that has the settings and the progress. */
async function lineOfSettings(prefix: string): Promise<number> {
  const { records } = lineKeys(prefix, lines)[0]!
  return Number(await redis.command('HEXISTS', records, '_settings\0c')) === 1 ? 0 : 1
}

/** Waits until a server finds members by the index again, all of them. */
async function untilFoundBy(one: SharedDatabase): Promise<void> {
  const endAtMs = performance.now() + 20_000
  for (;;) {
    const found = await find(one.db, 3)
    if (found.by !== null) {
      expect(found.keys).toEqual(await scanned(one, 3))
      return
    }
    expect(performance.now()).toBeLessThan(endAtMs)
    await Bun.sleep(5)
  }
}

test('whatever is lost on a line, and whenever: in the end entries and members agree', async () => {
  const chance = random(seedOfRun())
  const servers = [await open('any'), await open('any')]
  const [one, other] = servers as [SharedDatabase, SharedDatabase]
  for (let round = 0; round < rounds; round++) {
    let isRunning = true
    const write = async ({ db }: SharedDatabase) => {
      while (isRunning) {
        const key = `k${chance.int(300)}`
        const doing = chance.oneIn(3) ? db.delete('c', key) : db.put('c', key, content(chance.int(7)))
        await doing.catch((error: unknown) => {
          if (!(error instanceof KvistError)) throw error
        })
      }
    }
    const writers = [one, other].map(write)
    const goBack: (() => Promise<void>)[] = []
    for (let i = 0; i < 6; i++) {
      await Bun.sleep(chance.int(30))
      const kind = chance.int(5)
      if (kind < 2) goBack.push(await copyOf('any', chance.int(lines)))
      else if (kind < 3) await goBack.pop()?.()
      else {
        const settings = chance.oneIn(3) ? null : byA
        await chance.pick(servers).db.setSettings('c', settings)
      }
    }
    await chance.pick([async () => {}, ...goBack])()
    isRunning = false
    await Promise.all(writers)
    // The settings may be lost, too, and the servers hear of that after a second.
    await Bun.sleep(1100)
    await one.db.setSettings('c', byA)
    for (const server of servers) await untilFoundBy(server)
    for (const server of servers) await untilIndexes(server, 'c', 'ready')
    expect(await wrongEntries(one.engine, index)).toEqual([])
  }
}, 240_000)
