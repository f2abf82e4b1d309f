import { expect } from 'bun:test'
import type { Settings } from '../sdk/settings-types.ts'
import { indexOf, parseIndexes } from '../src/core/indexes/definition.ts'
import { wrongEntries } from './support/index-entries.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis, startRedisCluster } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'
import { jsonOf, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/**
 * Servers of a store in Redis that are killed while they build an index, and a Redis server that is. Part of `npm run test:redis` alone:
 * another server waits some seconds before it goes on with what one has left, and so does a cluster.
 */

const { test } = needing('redis', 'process')

const members = 6000
const definitions = parseIndexes([{ name: 'by-a', on: ['@.a'] }])
const index = indexOf('c', definitions[0]!)
const valueText = (a: number) => `{"a":${a}}`

function start(redis: RedisServer): Promise<TestServer> {
  return startServer({
    store: 'none',
    flags: ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-prefix', 'k'],
  })
}

async function fill(url: string): Promise<void> {
  const text = Array.from({ length: members }, (_, i) => `{"key":"k${i}","value":${valueText(i % 9)}}\n`)
  const headers = { 'content-type': 'application/x-ndjson' }
  await jsonOf(fetch(`${url}/v1/c`, { method: 'POST', body: text.join(''), headers }))
}

async function stateAt(url: string): Promise<{ state: string | undefined; examined: number }> {
  const { indexes } = await jsonOf<Settings>(fetch(`${url}/v1/_collections/c`))
  const [one] = indexes as readonly { state: string; examined: number }[]
  return { state: one?.state, examined: one?.examined ?? 0 }
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const endAtMs = performance.now() + 60_000
  while (!(await isTrue().catch(() => false))) {
    expect(performance.now()).toBeLessThan(endAtMs)
    await Bun.sleep(20)
  }
}

async function findBy(url: string, a: number): Promise<string | null> {
  const where = encodeURIComponent(`@.a == ${a}`)
  const page = await jsonOf<{ explain: { index: string | null } }>(
    fetch(`${url}/v1/c?where=${where}&limit=1&explain=true`),
  )
  return page.explain.index
}

/** Has servers build an index while they are written to, does something to them meanwhile, and compares entries and members. */
async function buildThrough(
  redis: RedisServer,
  cut: (servers: TestServer[]) => Promise<void>,
): Promise<void> {
  const chance = random(seedOfRun())
  const servers = [await start(redis), await start(redis)]
  try {
    await fill(servers[0]!.url)
    let isRunning = true
    const write = async () => {
      while (isRunning) {
        const at = `${chance.pick(servers).url}/v1/c/k${chance.int(members + 500)}`
        const doing = chance.oneIn(4) ? fetch(at, { method: 'DELETE' }) : put(at, valueText(chance.int(9)))
        await doing.then((response) => response.body?.cancel()).catch(() => Bun.sleep(5))
      }
    }
    const writers = Array.from({ length: 4 }, write)
    await put(
      `${servers[0]!.url}/v1/_collections/c`,
      JSON.stringify({ indexes: [{ name: 'by-a', on: ['@.a'] }] }),
    )
    await until(async () => (await stateAt(servers[1]!.url)).examined > 0)
    expect((await stateAt(servers[1]!.url)).state).toBe('building')
    await cut(servers)
    await until(async () => (await stateAt(servers[1]!.url)).state === 'ready')
    isRunning = false
    await Promise.all(writers)
    await until(async () => (await findBy(servers[1]!.url, 3)) === 'by-a')
    const engine = await openTestRedis([redis], { prefix: 'k', lines: null, onCommit() {} })
    expect(await wrongEntries(engine, index)).toEqual([])
    await engine.close()
  } finally {
    for (const server of servers) await server.remove()
  }
}

test('another server goes on with what the one that is killed has begun', async () => {
  const redis = await startRedis()
  try {
    await buildThrough(redis, async ([builder]) => builder!.crash())
  } finally {
    await redis.stop()
  }
}, 120_000)

test('a primary that is killed during a build, with writes that its replica lacks', async () => {
  const cluster = await startRedisCluster()
  const [primary, , asked, replica] = cluster.servers
  try {
    await buildThrough(asked!, async () => {
      replica!.freeze()
      await Bun.sleep(500)
      await primary!.kill()
      replica!.thaw()
    })
  } finally {
    await cluster.stop()
  }
}, 240_000)
