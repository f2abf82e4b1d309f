import { describe } from 'bun:test'
import type { OpenEngine, Phase } from '../src/engines/conformance/store.ts'
import { conformance } from '../src/engines/conformance.ts'
import type { RedisOptions } from '../src/engines/redis/options.ts'
import { has, needing } from './support/needs.ts'
import {
  type RedisCluster,
  type RedisServer,
  startRedis,
  startRedisCluster,
} from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** The promises of the engine contract, on a single server and on a cluster. What they test does not depend on the disk. */

const { test, beforeAll, afterAll } = needing('redis')
const config = { appendfsync: 'no' }
/** Set by `npm run test:redis`; otherwise the one runs whose differences from other engines are greatest. */
const isFull = process.env.KVIST_TEST_REDIS_FULL !== undefined

/** Members stay where they are written. */
const phases: readonly Phase[] = isFull
  ? ['as written', 'with a restart midway', 'after a restart']
  : ['with a restart midway']

function on(servers: () => readonly RedisServer[], options: Partial<RedisOptions>): OpenEngine {
  return ({ store, onCommit, onSetback }) =>
    openTestRedis(servers(), { prefix: store, onCommit, onSetback, ...options })
}

function onSingleServer(): void {
  let server: Awaited<ReturnType<typeof startRedis>>
  beforeAll(async () => {
    server = await startRedis({ config })
  })
  afterAll(() => server?.stop())
  test('is needed', () => {})
  if (!has('redis')) return
  conformance(
    'the Redis engine of one line',
    on(() => [server], { lines: 1 }),
    {
      commitSpans: 'store',
      isDurable: true,
      phases,
    },
  )
}

if (isFull) describe('a single server', onSingleServer)

describe('a cluster', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster({ config })
  })
  afterAll(() => cluster?.stop())
  test('is needed', () => {})
  if (!has('redis')) return
  const servers = () => cluster.servers.slice(0, 1)
  if (isFull)
    conformance(
      'the Redis engine of eight lines by collection',
      on(servers, { lines: 8, placement: 'collection' }),
      { commitSpans: 'collection', isDurable: true, phases },
    )
  conformance('the Redis engine of sixteen lines, spread', on(servers, { lines: 16 }), {
    commitSpans: 'line',
    isDurable: true,
    phases,
  })
})
