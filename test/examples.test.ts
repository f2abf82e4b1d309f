import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { apiCache } from '../examples/api-cache.ts'
import { type Flag, followFlags } from '../examples/feature-flags.ts'
import { jobQueue } from '../examples/job-queue.ts'
import { rateLimiter } from '../examples/rate-limiter.ts'
import { type Session, sessionStore } from '../examples/session-store.ts'
import { Kvist } from '../sdk/client.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { startRedis } from './support/redis-cluster.ts'
import { outputOf } from './support/spawn.ts'
import { until } from './support/until.ts'

/** The examples are exact when many use them at once, and print what they say. */

const folder = join(import.meta.dir, '../examples')
let server: ServerInProcess
let kvist: Kvist
let nowMs = Date.now()
beforeAll(async () => {
  server = await serveInProcess({ now: () => nowMs })
  kvist = new Kvist(server.url)
})
afterAll(() => server.stop())

test('a session keeps what every request has changed, and ends when it is not used', async () => {
  const store = sessionStore(kvist.collection<Session>('sessions'))
  const id = await store.create({ visits: 0 })
  const count = (session: Session) => ({ ...session, visits: Number(session.visits) + 1 })
  await Promise.all(Array.from({ length: 20 }, () => store.update(id, count)))
  expect(await store.load(id)).toEqual({ visits: 20 })
  for (let minutes = 0; minutes < 60; minutes += 20) {
    nowMs += 20 * 60_000
    expect(await store.load(id)).toEqual({ visits: 20 })
  }
  nowMs += 31 * 60_000
  expect(await store.load(id)).toBeNull()
  expect(await store.update(id, count)).toBeNull()
})

test('a rate limiter lets exactly so many in, and again in the next window', async () => {
  const ask = rateLimiter(kvist.collection<number>('windows'), 10, '1m')
  const verdicts = await Promise.all(Array.from({ length: 50 }, () => ask('ada')))
  expect(verdicts.filter(({ isAllowed }) => isAllowed)).toHaveLength(10)
  expect(Math.abs(verdicts[0]!.resetsAt.getTime() - nowMs - 60_000)).toBeLessThan(1000)
  expect((await ask('bob')).left).toBe(9)
  nowMs += 61_000
  expect(await ask('ada')).toMatchObject({ isAllowed: true, left: 9 })
})

test('flags are known from the start and change at once, for the same users', async () => {
  const collection = kvist.collection<Flag>('flags')
  await collection.put('old', { percent: 100 })
  let changes = 0
  const flags = await followFlags(collection, () => changes++)
  expect([flags.isOn('old', 'ada'), flags.isOn('new', 'ada')]).toEqual([true, false])
  const users = Array.from({ length: 1000 }, (_, i) => `user ${i}`)
  await collection.put('new', { percent: 10 })
  await until(() => changes === 1, 'the flag is there')
  const tenth = users.filter((user) => flags.isOn('new', user))
  expect(tenth.length).toBeGreaterThan(50)
  expect(tenth.length).toBeLessThan(150)
  await collection.put('new', { percent: 50 })
  await collection.delete('old')
  await until(() => changes === 3, 'both changes are there')
  expect(tenth.every((user) => flags.isOn('new', user))).toBe(true)
  expect(flags.isOn('old', 'ada')).toBe(false)
  flags.stop()
})

/** Expects that 8 workers finish each of 30 jobs once. */
async function expectEachOnce(queue: ReturnType<typeof jobQueue<number>>): Promise<void> {
  for (let i = 0; i < 30; i++) await queue.add(i)
  const finished: number[] = []
  async function work(worker: string) {
    let job = await queue.take(worker)
    while (job !== null) {
      if (await queue.finish(job)) finished.push(job.task)
      job = await queue.take(worker)
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, i) => work(`worker ${i}`)))
  expect(finished.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i))
}

needing('redis').test('a queue does so on a cluster, where members are apart', async () => {
  const redis = await startRedis()
  try {
    const store = ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-placement', 'spread']
    const apart = await serveInProcess({ store })
    await expectEachOnce(jobQueue<number>(new Kvist(apart.url), 'jobs'))
    await apart.stop()
  } finally {
    await redis.stop()
  }
})

test('each job of a queue is finished once, and one whose worker died is taken by another', async () => {
  const queue = jobQueue<number>(kvist, 'jobs')
  await expectEachOnce(queue)

  await queue.add(100)
  const job = (await queue.take('slow'))!
  nowMs += 20_000
  expect(await queue.renew(job)).toBe(true)
  nowMs += 20_000
  expect(await queue.take('quick')).toBeNull()
  nowMs += 20_000
  const again = (await queue.take('quick'))!
  expect(again).toMatchObject({ id: job.id, task: 100 })
  expect([await queue.renew(job), await queue.finish(job)]).toEqual([false, false])
  expect(await queue.finish(again)).toBe(true)
  expect(await queue.take('quick')).toBeNull()
})

test('what many ask a cache for at once is fetched once, and again when it has expired or could not be fetched', async () => {
  let loads = 0
  let fails = true
  const cached = apiCache(
    kvist.collection<number>('values'),
    kvist.collection<true>('locks'),
    async () => {
      if (fails) throw new Error('the API is down')
      return ++loads
    },
    { expireIn: '5m' },
  )
  await expect(cached('a')).rejects.toThrow('the API is down')
  fails = false
  const values = await Promise.all(Array.from({ length: 20 }, () => cached('a')))
  expect(values).toEqual(Array(20).fill(1))
  nowMs += 301_000
  expect(await cached('a')).toBe(2)
  expect((await kvist.collection('locks').page()).members).toEqual([])
})

const printed: Readonly<Record<string, string>> = {
  'api-cache.ts': '10 times sunny in Uppsala with at most 1 fetch\n',
  'feature-flags.ts': 'new cart for ada: false\nnew cart for ada: true\n',
  'job-queue.ts': 'welcome ada while others get null\nfinished: true\n',
  'rate-limiter.ts': 'let in\nlet in\nlet in\ntoo many\n',
  'session-store.ts': '{\n  user: "ada",\n  cart: [ "tea" ],\n}\nnull\n',
}

test('each example prints what it does, and is short', async () => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.ts'))
  expect(files.toSorted()).toEqual(Object.keys(printed))
  const runs = files.map(async (name) => {
    const env = { PATH: process.env.PATH, KVIST_URL: server.url }
    const output = await outputOf([process.execPath, '--no-env-file', join(folder, name)], { env })
    return [name, output]
  })
  expect(Object.fromEntries(await Promise.all(runs))).toEqual(printed)
  for (const name of files)
    expect(readFileSync(join(folder, name), 'utf8').split('\n').length).toBeLessThanOrEqual(100)
})
