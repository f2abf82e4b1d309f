import { describe, expect } from 'bun:test'
import { openRedis, type RedisEngineOptions } from '../src/engines/redis/engine.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'
import { type RedisCluster, type RedisServer, startRedisCluster } from './support/redis-cluster.ts'
import { collection, type FrontEnd, openFrontEnd, startLoad, startPages } from './support/redis-load.ts'

/**
 * The faults of docs/cluster.md on a real cluster, with two front ends that read and write the same members meanwhile.
 * After each, what was acknowledged is there, what is there was written, once, and whoever listened knows it.
 */

const { test, beforeAll, afterAll } = needing('redis')
/** Of faults that are much like others, or in the soak: for `npm run test:redis` alone. */
const fullTest: (name: string, run: () => Promise<void>) => void =
  process.env.KVIST_TEST_REDIS_FULL === undefined ? () => {} : test

let redis: RedisCluster
let stores = 0
const opened: FrontEnd[] = []
const choices = random(seedOfRun())

beforeAll(async () => {
  redis = await startRedisCluster()
})
afterAll(async () => {
  for (const { engine } of opened) await engine.close()
  await redis?.stop()
})

/** Two front ends of a new store. */
async function frontEnds(options: Partial<RedisEngineOptions> = {}): Promise<readonly [FrontEnd, FrontEnd]> {
  const prefix = `faults-${++stores}`
  const open = () =>
    openFrontEnd((report) =>
      openRedis({
        servers: redis.servers,
        user: null,
        password: null,
        tls: null,
        timeoutMs: 1000,
        patienceMs: 20_000,
        replicas: 0,
        replicasTimeoutMs: 500,
        prefix,
        lines: 4,
        placement: 'spread',
        isDurable: true,
        now: Date.now,
        warn() {},
        ...options,
        ...report,
      }),
    )
  const both = [await open(), await open()] as const
  opened.push(...both)
  return both
}

const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)

/** Puts load on both front ends and does something to the servers meanwhile. */
async function under(
  both: readonly [FrontEnd, FrontEnd],
  fault: (progress: (more: number) => Promise<void>) => Promise<void>,
  options: { readonly mayLose?: boolean } = {},
) {
  const load = startLoad(both, keys, choices)
  const progress = async (more: number) => {
    const until = load.counts.done + more
    while (load.counts.done < until) await Bun.sleep(5)
  }
  await progress(100)
  await fault(progress)
  await progress(100)
  await load.stopAndCheck(options)
  return load.counts
}

async function replicaOf(primary: RedisServer): Promise<RedisServer> {
  const role = await primary.command('ROLE')
  const [[, port]] = (role as [string, number, [[Buffer, Buffer]]])[2]
  return redis.servers.find((server) => server.port === Number(port))!
}

async function primaries(): Promise<RedisServer[]> {
  const roles = await Promise.all(redis.servers.map((server) => server.command('ROLE')))
  return redis.servers.filter((_, i) => String((roles[i] as Buffer[])[0]) === 'master')
}

describe('two front ends of one cluster', () => {
  test('see one history of each member, and report each other’s commits', async () => {
    const both = await frontEnds()
    const counts = await under(both, (progress) => progress(300))
    expect([counts.unknown, counts.unavailable]).toEqual([0, 0])
    expect(both.map(({ setbacks }) => setbacks())).toEqual([0, 0])
  })

  test('connections are cut: nothing is done twice', async () => {
    const both = await frontEnds()
    const counts = await under(both, async (progress) => {
      for (let i = 0; i < 8; i++) {
        for (const server of await primaries()) {
          await server.command('CLIENT', 'KILL', 'TYPE', 'normal')
          await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        }
        await progress(25)
      }
    })
    expect(counts.unavailable).toBe(0)
    expect(both.map(({ setbacks }) => setbacks())).toEqual([0, 0])
  })

  test('scripts are flushed: they are loaded again', async () => {
    const both = await frontEnds()
    const counts = await under(both, async (progress) => {
      for (let i = 0; i < 5; i++) {
        for (const server of await primaries()) await server.command('SCRIPT', 'FLUSH')
        await progress(25)
      }
    })
    expect([counts.unknown, counts.unavailable]).toEqual([0, 0])
  })

  test('slots move: nothing is refused', async () => {
    const both = await frontEnds()
    const counts = await under(both, async (progress) => {
      for (let round = 0; round < 2; round++) {
        for (const from of await primaries()) {
          const slots = await slotsWithKeys(from)
          const to = (await primaries()).find((one) => one !== from)!
          await redis.moveSlots(slots.slice(0, 3), from, to)
          await progress(25)
        }
      }
    })
    expect([counts.unknown, counts.unavailable]).toEqual([0, 0])
    expect(both.map(({ setbacks }) => setbacks())).toEqual([0, 0])
  })

  test('a primary is killed, whose replica has every write: nothing is lost', async () => {
    const both = await frontEnds({ replicas: 1, replicasTimeoutMs: 5000 })
    const [killed] = await primaries()
    await under(both, async () => {
      await killed!.kill()
      await Bun.sleep(1000)
      // With one replica, and one that must have each write, its slots wait for it to come back.
      await killed!.start()
    })
    await redis.settle()
  })

  test('a primary is killed while its replica lags: what is lost is reported', async () => {
    const both = await frontEnds()
    const [killed] = await primaries()
    const replica = await replicaOf(killed!)
    const pages = startPages(both[1])
    await under(
      both,
      async (progress) => {
        replica.freeze()
        // It gets nothing any more, not even what is on its way.
        await killed!.command('CLIENT', 'KILL', 'TYPE', 'replica')
        await progress(300)
        await killed!.kill()
        replica.thaw()
        await progress(100)
      },
      { mayLose: true },
    )
    expect(both.every(({ setbacks }) => setbacks() > 0)).toBe(true)
    expect(pages.resets()).toBeGreaterThan(0)
    await pages.stopAndCheck()
    await killed!.start()
    await redis.settle()
  })

  fullTest('a primary freezes: its replica takes over', async () => {
    const both = await frontEnds()
    const [frozen] = await primaries()
    await under(
      both,
      async (progress) => {
        frozen!.freeze()
        await Bun.sleep(3000)
        await progress(100)
        frozen!.thaw()
      },
      { mayLose: true },
    )
    await redis.settle()
  })

  fullTest('a primary restarts at once: nothing is lost', async () => {
    const both = await frontEnds({ replicas: 1, replicasTimeoutMs: 5000 })
    const [restarted] = await primaries()
    await under(both, async () => {
      await restarted!.kill()
      await restarted!.start()
    })
    await redis.settle()
  })

  test('a write that no replica has in time is of unknown outcome, and was done once', async () => {
    const [{ engine }, other] = await frontEnds({
      lines: 1,
      replicas: 1,
      replicasTimeoutMs: 100,
      patienceMs: 500,
    })
    const put = { op: 'put', collection, key: 'w', contentType: 'application/json', flags: 0 } as const
    const write = (value: string) =>
      engine.commit({ checks: [], writes: [{ ...put, value, expiresAtMs: null }], nowMs: Date.now() })
    const first = await write('1')
    const live = await primaries()
    const replicas = redis.servers.filter((server) => !live.includes(server))
    for (const replica of replicas) replica.freeze()
    await expect(write('2')).rejects.toMatchObject({ code: 'outcome_unknown' })
    for (const replica of replicas) replica.thaw()
    expect(first).toMatchObject({ ok: true })
    expect(await other.engine.read(collection, 'w')).toMatchObject({ value: '2' })
    expect(await write('3')).toMatchObject({ ok: true })
    await redis.settle()
  })

  fullTest('all six are restarted, one after the other: no operation fails', async () => {
    const both = await frontEnds()
    const restart = async () => {
      for (const server of redis.servers) {
        await server.kill()
        await server.start()
        await redis.settle()
      }
    }
    const counts = await under(both, restart, { mayLose: true })
    expect(counts.unavailable).toBe(0)
  })

  test('all servers are killed and come back: nothing is lost', async () => {
    const both = await frontEnds({ replicas: 1, replicasTimeoutMs: 5000 })
    await under(both, async () => {
      await Promise.all(redis.servers.map((server) => server.kill()))
      await Promise.all(redis.servers.map((server) => server.start()))
    })
    await redis.settle()
  })

  test('a primary is gone together with its replica: its lines are out of reach, others go on, and all is there when they are back', async () => {
    const [{ engine }, other] = await frontEnds({ patienceMs: 500 })
    const put = {
      op: 'put',
      collection,
      contentType: 'application/json',
      flags: 0,
      expiresAtMs: null,
    } as const
    const write = (front: FrontEnd['engine'], key: string, value: string) =>
      front.commit({ checks: [], writes: [{ ...put, key, value }], nowMs: Date.now() }).then(
        () => 'done',
        (error) => String(error.code),
      )
    for (const key of keys) expect(await write(engine, key, '1')).toBe('done')
    const covers = async (value: string) => {
      for (const server of redis.servers) {
        await server.command('CONFIG', 'SET', 'cluster-require-full-coverage', value)
      }
    }
    await covers('no')
    const [gone] = await primaries()
    const replica = await replicaOf(gone!)
    await Promise.all([gone!.kill(), replica.kill()])
    const outcomes = await Promise.all(keys.map((key, i) => write(i % 2 ? engine : other.engine, key, '2')))
    const isDone = (i: number) => outcomes[i] === 'done'
    expect(outcomes.some((one) => one === 'done')).toBe(true)
    expect(outcomes.some((one) => one !== 'done')).toBe(true)
    for (const [i, key] of keys.entries()) {
      const read = Promise.try(() => engine.read(collection, key)).then(
        (member) => member?.value ?? null,
        (error) => String(error.code),
      )
      expect([key, await read]).toEqual([key, isDone(i) ? '2' : 'unavailable'])
    }
    await Promise.all([gone!.start(), replica.start()])
    await redis.settle()
    await covers('yes')
    for (const [i, key] of keys.entries()) {
      expect(await other.engine.read(collection, key)).toMatchObject({
        value: isDone(i) ? '2' : '1',
      })
      expect(await write(engine, key, '3')).toBe('done')
    }
  })

  test('memory is full: writes are refused, deletes are done, and nothing is changed by what is refused', async () => {
    const [{ engine }] = await frontEnds({ lines: 1 })
    const key = 'large'
    const put = {
      op: 'put',
      collection,
      key,
      contentType: 'text/plain',
      flags: 0,
      expiresAtMs: null,
    } as const
    const write = (value: Uint8Array) =>
      engine.commit({ checks: [], writes: [{ ...put, value }], nowMs: Date.now() })
    await write(new Uint8Array(100))
    const all = await primaries()
    for (const server of all) await server.command('CONFIG', 'SET', 'maxmemory', '1mb')
    const before = await engine.read(collection, key)
    await expect(write(new Uint8Array(2000))).rejects.toMatchObject({ code: 'storage_full' })
    expect(await engine.read(collection, key)).toEqual(before)
    const writes = [{ op: 'delete', collection, key, cause: 'delete' } as const]
    expect(await engine.commit({ checks: [], writes, nowMs: Date.now() })).toMatchObject({ ok: true })
    for (const server of all) await server.command('CONFIG', 'SET', 'maxmemory', '0')
    expect(await write(new Uint8Array(2000))).toMatchObject({ ok: true })
  })

  test('a clock is an hour off: its commits are not done', async () => {
    const put = { op: 'put', collection, key: 'clock', value: '1', contentType: 'application/json' } as const
    const writes = [{ ...put, flags: 0, expiresAtMs: null }]
    for (const offMs of [-3_600_000, 3_600_000]) {
      const now = () => Date.now() + offMs
      const [{ engine }] = await frontEnds({ now, patienceMs: 500 })
      const commit = engine.commit({ checks: [], writes, nowMs: now() })
      await expect(commit).rejects.toMatchObject({ code: 'unavailable' })
      expect(await engine.read(collection, 'clock')).toBeNull()
    }
  })

  test('two sweepers take out what has expired once', async () => {
    const both = await frontEnds()
    const expiresAtMs = Date.now() + 50
    const puts = keys.map(
      (key) => ({ op: 'put', collection, key, value: '1', contentType: 'application/json' }) as const,
    )
    await both[0].engine.commit({
      checks: [],
      apart: true,
      writes: puts.map((put) => ({ ...put, flags: 0, expiresAtMs })),
      nowMs: Date.now(),
    })
    await Bun.sleep(60)
    const done = await Promise.all(
      both.map(async ({ engine }) => {
        const due = await engine.expiring(Date.now(), 100)
        const writes = due.map(
          ({ key, revision, expiresAtMs }) =>
            ({
              op: 'delete',
              collection,
              key,
              cause: 'expire',
              ifRevision: revision,
              ifExpiresAtMs: expiresAtMs,
            }) as const,
        )
        const result = await engine.commit({ checks: [], writes, apart: true, nowMs: Date.now() })
        return result.ok ? result.written.filter(({ revision }) => revision > 0).length : 0
      }),
    )
    expect(done[0]! + done[1]!).toBe(keys.length)
  })
})

async function slotsWithKeys(server: RedisServer): Promise<number[]> {
  const found: number[] = []
  const keys = (await server.command('KEYS', `*faults-${stores}*`)) as Buffer[]
  for (const key of keys) {
    const slot = Number(await server.command('CLUSTER', 'KEYSLOT', key))
    if (!found.includes(slot)) found.push(slot)
  }
  return found
}
