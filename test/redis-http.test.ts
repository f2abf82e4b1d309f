import { expect } from 'bun:test'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'

/** Tests of HTTP, the dialects and access once more, with the members in Redis. */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

const files = [
  'test/access.test.ts',
  'test/dialects/ozza.test.ts',
  'test/dialects/reforg.test.ts',
  'test/v1-collections.test.ts',
  'test/v1-conditions.test.ts',
  'test/v1-idempotency.test.ts',
  'test/v1-lists.test.ts',
  'test/v1-members.test.ts',
  'test/v1-read.test.ts',
]

/** They write to several collections in a batch. */
const acrossCollections = ['test/v1-batch.test.ts', 'test/v1-patch.test.ts']

/** `npm run test:redis` runs all. */
const runs = [
  { lines: '1', placement: 'spread', run: [...files, ...acrossCollections] },
  { lines: '8', placement: 'collection', run: files },
].slice(0, process.env.KVIST_TEST_REDIS_FULL === undefined ? 1 : 2)

test.each(runs)(
  'clients see no difference with $lines lines, placed by $placement',
  async ({ lines, placement, run }) => {
    const flags = ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-lines', lines]
    const child = Bun.spawn(
      [process.execPath, '--no-env-file', 'test', '--only-failures', '--timeout=30000', ...run],
      {
        cwd: `${import.meta.dir}/..`,
        env: {
          ...process.env,
          KVIST_TEST_SERVER: 'in-process',
          KVIST_TEST_REDIS: [...flags, '--redis-placement', placement].join(' '),
        },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      },
    )
    const [stdout, stderr, exitCode] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ])
    const output = `${stdout}${stderr}`
    if (exitCode !== 0) console.log(output)
    expect(exitCode).toBe(0)
    // All of the files were found, and their tests run.
    expect(Number(/^\s*(\d+) pass$/m.exec(output)?.[1])).toBeGreaterThan(150)
  },
)
