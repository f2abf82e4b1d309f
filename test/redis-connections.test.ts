import { describe, expect } from 'bun:test'
import { realTimers } from '../src/core/timers.ts'
import { type Channel, type Cluster, type ClusterOptions, RedisError } from '../src/engines/redis/cluster.ts'
import { openCluster } from '../src/engines/redis/open-cluster.ts'
import { slotOf } from '../src/engines/redis/slots.ts'
import { needing } from './support/needs.ts'
import { type RedisCluster, type RedisServer, startRedisCluster } from './support/redis-cluster.ts'

/**
 * Commands on a real cluster: they follow moved slots and broken connections, none is done twice, and what became of it is
 * reported. redis-faults.test.ts has the failovers.
 */

const { test, beforeAll, afterAll } = needing('redis')

const options: Omit<ClusterOptions, 'servers'> = {
  user: null,
  password: null,
  tls: null,
  timeoutMs: 1000,
  patienceMs: 20_000,
  replicas: 0,
  replicasTimeoutMs: 500,
  warn() {},
}

let redis: RedisCluster
let cluster: Cluster

beforeAll(async () => {
  redis = await startRedisCluster()
  cluster = await openCluster({ ...options, servers: [redis.servers[0]!] }, realTimers)
})
afterAll(async () => {
  await cluster?.close()
  await redis?.stop()
})

const key = 'a'
const slot = slotOf(key)

/** The server that has the slot, as the cluster's client sees it. */
function ownerOf(slot: number): RedisServer {
  const owner = cluster
    .primaries()
    .find(({ slots }) => slots.some(([from, to]) => from <= slot && slot <= to))!
  return redis.servers.find(({ port }) => port === owner.port)!
}

/** Pushes numbered entries to lists, one at a time for each, until it is stopped. */
function load(keys: readonly string[]) {
  const done = new Map(keys.map((one) => [one, [] as number[]]))
  const uncertain = new Map(keys.map((one) => [one, [] as number[]]))
  let isStopped = false
  const work = async (one: string) => {
    for (let n = 0; !isStopped; n++) {
      try {
        await cluster.write(slotOf(one), ['RPUSH', one, n])
        done.get(one)!.push(n)
      } catch (error) {
        if (!(error instanceof RedisError) || error.outcome !== 'maybe_done') throw error
        uncertain.get(one)!.push(n)
      }
    }
  }
  const workers = Promise.allSettled(keys.map(work))
  return {
    done: () => [...done.values()].reduce((sum, { length }) => sum + length, 0),
    uncertain: () => [...uncertain.values()].reduce((sum, { length }) => sum + length, 0),
    /** Throws unless what was acknowledged is there, in order and once, and what is uncertain at most once. */
    async stopAndCheck() {
      isStopped = true
      for (const worker of await workers) if (worker.status === 'rejected') throw worker.reason
      for (const one of keys) {
        const found = await cluster.read(slotOf(one), ['LRANGE', one, 0, -1])
        const numbers = (found as Buffer[]).map(Number)
        expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
        const unexpected = new Set(numbers)
        for (const n of done.get(one)!) {
          if (!unexpected.delete(n)) throw new Error(`${one} lacks ${n}, which was acknowledged`)
        }
        for (const n of uncertain.get(one)!) unexpected.delete(n)
        expect([...unexpected]).toEqual([])
      }
    },
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(5)
}

describe('a cluster', () => {
  test('commands reach the primary of their slot; scripts are loaded where they are needed', async () => {
    expect(cluster.primaries().map(({ slots }) => slots.map((range) => range.join('-')))).toEqual([
      ['0-5460'],
      ['5461-10921'],
      ['10922-16383'],
    ])
    expect(cluster.primaries().every(({ replicas }) => replicas.length === 1)).toBe(true)
    const sha = cluster.script('return redis.call("INCRBY", KEYS[1], ARGV[1])')
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `n${name}`)
    const all = await Promise.all(keys.map((one) => cluster.write(slotOf(one), ['EVALSHA', sha, 1, one, 7])))
    expect(all.map(({ reply }) => reply)).toEqual(keys.map(() => 7))
    await ownerOf(slot).command('SCRIPT', 'FLUSH')
    expect(await cluster.write(slotOf('na'), ['EVALSHA', sha, 1, 'na', 1])).toEqual({
      reply: 8,
      isReplicated: true,
    })
    expect(String(await cluster.read(slotOf('na'), ['GET', 'na']))).toBe('8')
  })

  test('what a server refuses is reported, with its code', async () => {
    const error = await cluster.write(slot, ['INCR']).catch((reason) => reason)
    expect(error).toBeInstanceOf(RedisError)
    expect([error.outcome, error.code]).toEqual(['refused', 'ERR'])
  })

  test('a write waits for replicas, and says when they do not have it', async () => {
    const waiting = await openCluster(
      { ...options, servers: redis.servers.slice(0, 1), replicas: 1, replicasTimeoutMs: 300 },
      realTimers,
    )
    const write = () => waiting.write(slot, ['SET', `{${key}}w`, 'x'])
    expect(await write()).toEqual({ reply: 'OK', isReplicated: true })
    const owner = waiting
      .primaries()
      .find(({ slots }) => slots.some(([from, to]) => from <= slot && slot <= to))!
    const replica = redis.servers.find(({ port }) => port === owner.replicas[0]!.port)!
    replica.freeze()
    expect(await Promise.all([write(), write()])).toEqual([
      { reply: 'OK', isReplicated: false },
      { reply: 'OK', isReplicated: false },
    ])
    replica.thaw()
    await waiting.close()
  })

  test('messages follow slots, and each new subscription is reported', async () => {
    const channels = ['a', 'b', 'c'].map((name): Channel => ({ slot: slotOf(name), name: `{${name}}` }))
    const received: string[] = []
    const subscribed: string[] = []
    const listening = await openCluster({ ...options, servers: redis.servers.slice(1, 2) }, realTimers)
    listening.subscribe(channels, {
      onMessage: ({ name }, payload) => void received.push(`${name} ${payload}`),
      onSubscribed: ({ name }) => void subscribed.push(name),
    })
    await until(() => subscribed.length === 3)
    for (const { slot, name } of channels) await cluster.write(slot, ['SPUBLISH', name, 'x'])
    await until(() => received.length === 3)
    expect(received.sort()).toEqual(['{a} x', '{b} x', '{c} x'])

    const from = ownerOf(slot)
    const to = redis.servers.find((one, i) => i < 3 && one !== from)!
    await redis.moveSlots([slot], from, to)
    await until(() => subscribed.length > 3)
    expect(subscribed.slice(3)).toContain('{a}')
    await cluster.write(slot, ['SPUBLISH', '{a}', 'y'])
    await until(() => received.length === 4)
    expect(received[3]).toBe('{a} y')
    await redis.moveSlots([slot], to, from)
    await listening.close()
  })

  test('slots move under load: nothing is refused, lost or doubled', async () => {
    const keys = Array.from({ length: 16 }, (_, i) => `{m${i % 8}}${i}`)
    const running = load(keys)
    await until(() => running.done() > 200)
    const slots = keys.map(slotOf)
    for (const slot of new Set(slots)) {
      const from = ownerOf(slot)
      const to = redis.servers.find((one, i) => i < 3 && one !== from)!
      await redis.moveSlots([slot], from, to)
      const done = running.done()
      await until(() => running.done() > done + 20)
    }
    await running.stopAndCheck()
    expect(running.uncertain()).toBe(0)
    expect(cluster.stats().redirects).toBeGreaterThan(0)
  })

  test('connections that are cut under load double nothing', async () => {
    const running = load(['c1', 'c2', 'c3', 'c4', 'c5', 'c6'])
    for (let i = 0; i < 10; i++) {
      const done = running.done()
      await until(() => running.done() > done + 50)
      for (const server of redis.servers.slice(0, 3)) await server.command('CLIENT', 'KILL', 'TYPE', 'normal')
    }
    await running.stopAndCheck()
    expect(running.uncertain()).toBeGreaterThan(0)
  })

  test('without a primary commands are given up in time, and nothing was done', async () => {
    const impatient = await openCluster({ ...options, servers: redis.servers, patienceMs: 300 }, realTimers)
    const owner = ownerOf(slot)
    const replica = redis.servers.find(({ port }) =>
      impatient.primaries().some((one) => one.port === owner.port && one.replicas[0]!.port === port),
    )!
    await Promise.all([owner.kill(), replica.kill()])
    const error = await impatient.read(slot, ['GET', key]).catch((reason) => reason)
    expect([error.name, error.outcome]).toEqual(['RedisError', 'not_done'])
    // The first write may be on its way when the connection ends.
    await impatient.write(slot, ['INCR', key]).catch(() => null)
    const written = await impatient.write(slot, ['INCR', key]).catch(({ outcome }) => outcome)
    expect(written).toBe('not_done')
    await Promise.all([owner.start(), replica.start()])
    await redis.settle()
    await impatient.close()
  })
})
