import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { expectToPass } from './support/test-run.ts'

/** Tests of HTTP, the dialects and access once more, with the members in Redis. */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

const files = [
  'test/access.test.ts',
  'test/v1-collections.test.ts',
  'test/v1-conditions.test.ts',
  'test/v1-idempotency.test.ts',
  'test/v1-lists.test.ts',
  'test/v1-members.test.ts',
  'test/v1-read.test.ts',
]

/** What differs with several lines (support/line-differences.ts) is in these. */
const moreFiles = [
  'test/dialects',
  'test/v1-batch.test.ts',
  'test/v1-changes.test.ts',
  'test/v1-content.test.ts',
  'test/v1-encoded-bodies.test.ts',
  'test/v1-expiry-words.test.ts',
  'test/v1-expiry.test.ts',
  'test/v1-long-poll.test.ts',
  'test/v1-origin.test.ts',
  'test/v1-patch.test.ts',
  'test/v1-quotas.test.ts',
  'test/v1-ranges.test.ts',
  'test/v1-sliding.test.ts',
  'test/v1-text-values.test.ts',
  'test/v1-watch.test.ts',
]

/** Tests of the core and of memcached, which open an engine themselves. */
const ofEngines = [
  'src/core/jobs',
  'src/core/quota.test.ts',
  'src/core/replay.test.ts',
  'src/core/sliding.test.ts',
  'src/core/unmirrored.test.ts',
  'src/core/writes.test.ts',
  'src/http/v1/bulk.test.ts',
  'src/http/v1/collections.test.ts',
  'src/replication',
  'test/memcached',
]

const ofFinding = ['test/v1-find.test.ts', 'src/core/find/find.test.ts']

interface RunOnRedis {
  readonly name: string
  readonly run: readonly string[]
  readonly env: (port: number) => Readonly<Record<string, string>>
  /** How many tests there are at least; 121 when left out. */
  readonly least?: number
}

function ofServers(lines: number, placement: string): RunOnRedis['env'] {
  return (port) => ({
    KVIST_TEST_SERVER: 'in-process',
    KVIST_TEST_REDIS: `--engine redis://127.0.0.1:${port} --redis-lines ${lines} --redis-placement ${placement}`,
  })
}

function ofEngine(lines: number): RunOnRedis['env'] {
  return (port) => ({
    KVIST_TEST_ENGINE: 'redis',
    KVIST_TEST_REDIS_PORT: `${port}`,
    KVIST_TEST_REDIS_LINES: `${lines}`,
  })
}

/** `npm run test:redis` runs all; `npm test` the first. */
const runs: readonly RunOnRedis[] = [
  { name: 'of HTTP with one line', run: files, env: ofServers(1, 'spread') },
  { name: 'of more of HTTP with one line', run: moreFiles, env: ofServers(1, 'spread') },
  {
    name: 'of all of HTTP with sixteen lines',
    run: [...files, ...moreFiles],
    env: ofServers(16, 'spread'),
  },
  { name: 'of HTTP with eight lines, by collection', run: files, env: ofServers(8, 'collection') },
  {
    name: 'of the core and of memcached',
    run: ofEngines,
    env: ofEngine(1),
  },
  {
    name: 'of indexes with one line',
    run: ['test/v1-indexes.test.ts', ...ofFinding],
    env: ofEngine(1),
    least: 80,
  },
  { name: 'of finding with sixteen lines', run: ofFinding, env: ofEngine(16), least: 50 },
  { name: 'of quotas with sixteen lines', run: ['src/core/quota.test.ts'], env: ofEngine(16), least: 35 },
].slice(0, process.env.KVIST_TEST_REDIS_FULL === undefined ? 1 : undefined)

test.each(runs)('tests $name see no difference', ({ run, env, least = 121 }) =>
  expectToPass(run, env(redis.port), least),
)
