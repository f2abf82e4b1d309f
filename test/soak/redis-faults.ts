import { openRedis } from '../../src/engines/redis/engine.ts'
import type { Random } from '../support/random.ts'
import { type RedisCluster, type RedisServer, startRedisCluster } from '../support/redis-cluster.ts'
import { type FrontEnd, openFrontEnd, startLoad } from '../support/redis-load.ts'
import { type Fault, repeatFor } from './fault.ts'

/**
 * Two front ends read and write the members of a Redis cluster while its servers are killed, frozen, restarted one after
 * the other, and cut off, and slots move. What was acknowledged must be there, or its loss reported.
 */
export const redisFaults: Fault = {
  name: 'redis',
  does: 'faults of a Redis cluster under two front ends, checked for one history of each member',
  needs: 'redis',
  async round({ random, budgetMs }) {
    const redis = await startRedisCluster()
    const figures = { faults: 0, operations: 0, unknown: 0, unavailable: 0, setbacks: 0 }
    try {
      await repeatFor(budgetMs, async () => {
        const both = [await open(redis, figures.faults), await open(redis, figures.faults)] as const
        const load = startLoad(both, keys, random)
        await progress(load.counts, 200)
        await random.pick(faults)(redis, random)
        await progress(load.counts, 200)
        await load.stopAndCheck({ mayLose: true })
        await redis.settle()
        figures.faults++
        figures.operations += load.counts.done
        figures.unknown += load.counts.unknown
        figures.unavailable += load.counts.unavailable
        for (const { engine, setbacks } of both) {
          figures.setbacks += setbacks()
          await engine.close()
        }
      })
      return figures
    } finally {
      await redis.stop()
    }
  },
}

const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)

function open(redis: RedisCluster, round: number): Promise<FrontEnd> {
  return openFrontEnd((report) =>
    openRedis({
      servers: redis.servers,
      user: null,
      password: null,
      tls: null,
      timeoutMs: 1000,
      patienceMs: 20_000,
      replicas: 0,
      replicasTimeoutMs: 1000,
      prefix: `soak-${round}`,
      lines: 8,
      placement: 'spread',
      isDurable: true,
      now: Date.now,
      warn() {},
      ...report,
    }),
  )
}

async function progress(counts: { readonly done: number }, more: number): Promise<void> {
  const until = counts.done + more
  while (counts.done < until) await Bun.sleep(5)
}

async function primariesOf({ servers }: RedisCluster): Promise<RedisServer[]> {
  const roles = await Promise.all(servers.map((server) => server.command('ROLE')))
  return servers.filter((_, i) => String((roles[i] as Buffer[])[0]) === 'master')
}

const faults: readonly ((redis: RedisCluster, random: Random) => Promise<void>)[] = [
  async function kill(redis, random) {
    const killed = random.pick(await primariesOf(redis))
    await killed.kill()
    await Bun.sleep(random.int(6000))
    await killed.start()
  },
  async function freeze(redis, random) {
    const frozen = random.pick(redis.servers)
    frozen.freeze()
    await Bun.sleep(random.int(6000))
    frozen.thaw()
  },
  async function restartAll(redis, random) {
    // As in a rolling upgrade: the next one waits until this one is back.
    for (const server of redis.servers) {
      await server.kill()
      await Bun.sleep(random.int(200))
      await server.start()
      await redis.settle()
    }
  },
  async function killAll(redis, random) {
    await Promise.all(redis.servers.map((server) => server.kill()))
    await Bun.sleep(random.int(2000))
    await Promise.all(redis.servers.map((server) => server.start()))
  },
  async function cut(redis, random) {
    for (let i = 0; i < 10; i++) {
      const server = random.pick(redis.servers)
      await server.command('CLIENT', 'KILL', 'TYPE', random.pick(['normal', 'pubsub']))
      await Bun.sleep(random.int(50))
    }
  },
  async function moveSlots(redis, random) {
    const [from, to] = await primariesOf(redis)
    const names = (await from!.command('KEYS', '*')) as Buffer[]
    const slots = await Promise.all(
      names.map(async (name) => Number(await from!.command('CLUSTER', 'KEYSLOT', name))),
    )
    const some = [...new Set(slots)].filter(() => random.oneIn(2))
    await redis.moveSlots(some, from!, to!)
  },
]
