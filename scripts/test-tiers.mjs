import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const testFolders = ['src', 'sdk', 'test', 'bench', 'scripts']

/**
 * What `npm run test:fast` leaves to `npm test`, by the beginning of its path. All else runs in the process of the test on
 * the memory engine, `startServer` included, waits for no time to pass, and is soon done.
 */
export const slow = {
  'the store on disk': [
    'src/backup/',
    'src/engines/sqlite/',
    'test/archive',
    'test/engine-crash',
    'test/full-disk',
    'test/nodes-full-disk',
    'test/model',
    'test/v1-large-ranges',
  ],
  'programs and processes of their own': [
    'scripts/setup',
    'src/cli/commands',
    'src/cli/connection',
    'src/cli/health',
    'src/cli/help',
    'src/cli/nodes-',
    'src/cli/serve',
    'src/cli/terminal',
    'src/cli/tls',
    'src/cli/token',
    'src/cli/transfer',
    'src/cli/watch',
    'src/cli/writes',
    'src/memcached/live',
    'test/access-crash',
    'test/access-docs',
    'test/backup',
    'test/checked-pages',
    'test/audit-log-files',
    'test/cli-docs',
    'test/crash',
    'test/deploy-',
    'test/docs-page',
    'test/executable',
    'test/redis-',
    'test/examples-browser',
    'test/failover-docs',
    'test/http-wire-limits',
    'test/http-wire-stop',
    'test/http-wire-unread',
    'test/import-cities',
    'test/import-process',
    'test/import-redis',
    'test/import-servers',
    'test/late-results',
    'test/log',
    'test/memcached/clients',
    'test/memcached/crash',
    'test/memcached/many-connections',
    'test/memcached/numbers',
    'test/mcp',
    'test/metrics',
    'test/minstore-nodes',
    'test/move-store',
    'test/net-descriptors',
    'test/nodes-compare',
    'test/nodes-heal',
    'test/nodes-moves',
    'test/nodes-network',
    'test/nodes-process',
    'test/nodes-tls',
    'test/origins-browser',
    'test/packages',
    'test/processes',
    'test/sdk-',
    'test/small-memory',
    'test/soak',
    'test/tls-wire',
    'test/v1-idempotency-crash',
    'test/v1-start-stop',
    'test/v1-streams',
    'test/watch-',
  ],
  'values of many megabytes': ['test/http-memory', 'test/v1-encoded-bodies'],
  'time that passes': [
    'sdk/collection',
    'sdk/request',
    'sdk/watch',
    'src/memcached/listener',
    'test/cache-node',
    'test/http-wire-time',
    'test/http2',
    'test/nodes-conflicts',
    'test/nodes-faults',
    'test/tls-renewal',
    'test/v1-cache',
    'test/v1-long-poll',
    'test/v1-slow-clients',
    'test/v1-watch',
  ],
}

/** The files that take longest, and so are begun first: none of them is then left to run alone in the end. */
export const longest = [
  'src/engines/sqlite/engine.test.ts',
  'src/engines/sqlite/wal/power-loss.test.ts',
  'test/watch-faults.test.ts',
  'test/redis-faults.test.ts',
  'test/packages.test.ts',
  'test/redis-conformance.test.ts',
  'test/redis-http.test.ts',
  'test/v1-streams.test.ts',
  'test/docs-page.test.ts',
  'test/http-wire-time.test.ts',
  'test/http-memory-process.test.ts',
  'test/v1-start-stop.test.ts',
  'test/import-cities.test.ts',
  'src/engines/sqlite/wal/recovery.test.ts',
  'test/soak.test.ts',
  'test/v1-slow-clients.test.ts',
  'test/watch-model.test.ts',
  'test/origins-browser.test.ts',
  'test/v1-watch.test.ts',
  'src/engines/sqlite/btree/pages.test.ts',
  'test/late-results.test.ts',
  'test/tls-wire.test.ts',
  'test/processes.test.ts',
  'src/engines/sqlite/table/damage.test.ts',
  'test/full-disk.test.ts',
  'test/model.test.ts',
  'src/cli/watch.test.ts',
  'src/memcached/listener.test.ts',
  'test/sdk-runtimes.test.ts',
  'sdk/request.test.ts',
  'test/crash.test.ts',
]

/** Every test file, or those of the fast tier. */
export function testFiles(root, isFast) {
  const left = Object.values(slow).flat()
  return readdirSync(root)
    .filter((name) => testFolders.includes(name))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true }).map((name) => `${folder}/${name}`),
    )
    .filter((path) => /\.(test|spec)\.[cm]?[jt]sx?$/.test(path))
    .filter((path) => !isFast || !left.some((start) => path.startsWith(start)))
}
