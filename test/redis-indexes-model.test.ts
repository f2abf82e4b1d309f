import { expect } from 'bun:test'
import { KvistError } from '../src/core/errors.ts'
import { parseWhere } from '../src/core/find/expressions.ts'
import { indexOf, parseIndexes } from '../src/core/indexes/definition.ts'
import { everything } from '../src/core/list.ts'
import { noSettings } from '../src/core/settings.ts'
import { emptyQuery } from './support/find-model.ts'
import { allMembers, wrongEntries } from './support/index-entries.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openShared, type SharedDatabase } from './support/redis-databases.ts'

/**
 * Random operations at two servers of one store, which now and then are not notified of each other's commits, while indexes are added and
 * removed: what is found is what a model has, and in the end entries and members agree.
 */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  redis = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => redis?.stop())

const isFull = process.env.KVIST_TEST_REDIS_FULL !== undefined
const rounds = Number(process.env.KVIST_INDEX_ROUNDS ?? (isFull ? 40 : 3))
const stepsOfRound = 30
const tagged = '{tagged}'
const plain = parseIndexes([{ name: 'by-a', on: ['@.a'] }])
const both = parseIndexes([
  { name: 'by-a', on: ['@.a'] },
  { name: 'by-b', on: ['@.b', '@.a'] },
])
const unique = parseIndexes([{ name: 'one-b', on: ['@.b'], unique: true }])

class Model {
  readonly members = new Map<string, { a: number; b: number }>()

  keys(a: number): string[] {
    return [...this.members].flatMap(([key, value]) => (value.a === a ? [key] : [])).toSorted()
  }
}

test('finds what a model has, whoever knows of what', async () => {
  const chance = random(seedOfRun())
  const options = { prefix: 'model', lines: chance.pick([2, 4]) }
  const servers = [await openShared([redis], options), await openShared([redis], options)]
  const models = { spread: new Model(), [tagged]: new Model() }

  async function put(server: SharedDatabase, collection: keyof typeof models): Promise<void> {
    const model = models[collection]!
    const key = `k${chance.int(40)}`
    const value = { a: chance.int(4), b: chance.int(60) }
    const content = { contentType: 'application/json', flags: 0, expiresAtMs: null }
    try {
      await server.db.put(collection, key, { value: JSON.stringify(value), ...content })
      model.members.set(key, value)
    } catch (error) {
      if (!(error instanceof KvistError) || error.code !== 'not_unique') throw error
      const others = [...model.members].filter(([other, { b }]) => other !== key && b === value.b)
      expect(others.length).toBeGreaterThan(0)
    }
  }

  async function putSome({ db }: SharedDatabase): Promise<void> {
    const values = Array.from({ length: 10 }, () => ({
      key: `k${chance.int(40)}`,
      value: { a: chance.int(4), b: chance.int(60) },
    }))
    const content = { contentType: 'application/json', flags: 0, expiresAtMs: null }
    await db.putAll(
      'spread',
      values.map(({ key, value }) => ({ key, value: JSON.stringify(value), ...content })),
    )
    for (const { key, value } of values) models.spread.members.set(key, value)
  }

  async function find({ db }: SharedDatabase, collection: keyof typeof models): Promise<void> {
    const a = chance.int(4)
    const query = { ...emptyQuery, where: parseWhere(`@.a == ${a}`), limit: 1000, count: true }
    const { members, count: found } = await db.find(collection, query)
    expect(members.map(({ key }) => key).toSorted()).toEqual(models[collection]!.keys(a))
    expect(found).toBe(members.length)
  }

  async function step(): Promise<void> {
    const server = chance.pick(servers)
    const collection = chance.pick(['spread', tagged] as const)
    const model = models[collection]!
    const kind = chance.int(16)
    if (kind < 5) await put(server, collection)
    else if (kind < 6) await putSome(server)
    else if (kind < 8) {
      const key = `k${chance.int(40)}`
      await server.db.delete(collection, key)
      model.members.delete(key)
    } else if (kind < 12) await find(server, collection)
    else if (kind < 13) {
      const indexes =
        collection === tagged ? chance.pick([unique, plain, []]) : chance.pick([plain, both, []])
      await server.db.setSettings(collection, { ...noSettings, indexes })
    } else if (kind < 14) server.hold()
    else if (kind < 15) server.release()
    else {
      const prefix = `k${chance.int(40)}`
      // A drop leaves what its server was not notified of yet; of what is read it was.
      await allMembers(server.engine, collection)
      await server.db.drop(collection, { ...everything, prefix })
      for (const key of model.members.keys()) if (key.startsWith(prefix)) model.members.delete(key)
    }
  }

  async function isAtRest({ db }: SharedDatabase): Promise<boolean> {
    const known = ['spread', tagged].flatMap((collection) => [...db.indexesOf(collection)])
    const names = (await db.collections('own')).map(({ name }) => name)
    const entries = names.filter((name) => name.startsWith('_index-'))
    const kept = known.filter(({ state }) => state !== 'failed').map((one) => one.entries)
    return known.every(({ state }) => state !== 'building') && entries.every((name) => kept.includes(name))
  }

  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < stepsOfRound; i++) await step()
    for (const one of servers) one.release()
    const endAtMs = performance.now() + 20_000
    while (!(await isAtRest(servers[0]!)) || !(await isAtRest(servers[1]!))) {
      expect(performance.now()).toBeLessThan(endAtMs)
      await Bun.sleep(5)
    }
    for (const collection of ['spread', tagged] as const) {
      const [one, other] = servers.map(({ db }) => db.indexesOf(collection))
      expect(one!.map(({ id, state }) => [id, state])).toEqual(other!.map(({ id, state }) => [id, state]))
      for (const index of one!.filter(({ state }) => state === 'ready')) {
        expect(await wrongEntries(servers[0]!.engine, indexOf(collection, index))).toEqual([])
      }
    }
  }
  await Promise.all(servers.map(({ db }) => db.close()))
})
