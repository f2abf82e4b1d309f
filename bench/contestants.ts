import { join } from 'node:path'
import { exportFromKvist, importIntoEtcd, importIntoKvist, importIntoRedis } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { jsonOf, writtenValue } from './members.ts'
import { type Server, startServer, waitUntilReady, withFront } from './process.ts'
import type { RawRequest } from './wrk.ts'

/** The contestants: how to start each, what to request from it, and how to recognize its responses. */

export interface Ask extends RawRequest {
  /** Returns the text of a value in the response. */
  readonly shows: (value: string) => string
}

export interface Contestant {
  readonly name: string
  readonly title: string
  readonly port: number
  /** The kinds of load it takes part in. */
  readonly kinds: readonly Kind[]
  /** The programs that it needs: names on the PATH, or paths. */
  readonly programs: readonly string[]
  /** Debian packages whose versions are reported. */
  readonly packages: readonly string[]
  /** Settings of which the best is used for each load; a single one if there is no choice. */
  readonly variants: readonly string[]
  /** Starts it on the folder and waits until it serves. */
  start(dataDir: string, variant: string): Promise<Server>
  /** What it is asked, for each of its kinds of load. */
  readonly asks: Readonly<Partial<Record<AskKind, Ask>> & Record<'get' | 'put' | 'list', Ask>>
  /** Stores the members from 0 on, by its quickest method. */
  import(members: number): Promise<void>
  /** Reads all members and counts them. */
  export(members: number): Promise<void>
  /** Called with the headers of its responses to GET. */
  readonly notified?: (headers: Headers) => void
}

export type AskKind = 'get' | 'put' | 'list' | 'read100' | 'read1000'
export type Kind = AskKind | 'import' | 'export'

const kvistProgram = join(import.meta.dir, '../bin/kvist')
const redisPort = 17010

/** Headers that Bun adds itself. */
const headersOfBun = ['date', 'content-length', 'connection', 'keep-alive']

const membersApi: Contestant['asks'] = {
  get: { ...kvistRequests.get, shows: plain },
  put: { ...kvistRequests.put, shows: plain },
  list: { ...kvistRequests.page, shows: plain },
  read100: { ...kvistRequests.read100, shows: plain },
  read1000: { ...kvistRequests.read1000, shows: plain },
}

export const contestants: readonly Contestant[] = [
  {
    ...kvist('kvist', 17000, 'full'),
    kinds: ['get', 'put', 'list', 'read100', 'read1000', 'import', 'export'],
    // The bare server sends the headers that kvist sent.
    notified: (headers) => {
      bareHeaders = [...headers].filter(([name]) => !headersOfBun.includes(name))
    },
  },
  { ...kvist('relaxed', 17001, 'relaxed'), title: 'kvist, relaxed', kinds: ['put'] },
  {
    name: 'webdis',
    title: 'webdis + Redis',
    port: 17011,
    kinds: ['get', 'put', 'list', 'read100', 'read1000', 'import'],
    programs: ['redis-server', 'redis-cli', 'webdis'],
    packages: ['redis-server', 'webdis'],
    variants: ['1/20', '2/20', '4/20', '1/64', '4/64'],
    start: startWebdis,
    asks: {
      get: { method: 'GET', path: '/GET/{key}.txt', shows: plain },
      put: { method: 'PUT', path: '/SET/{key}', body: writtenValue, shows: plain },
      list: { method: 'GET', path: '/MGET/{keys}', shows: JSON.stringify },
      read100: { method: 'POST', path: '/', body: 'MGET/{names:100}', shows: JSON.stringify },
      read1000: { method: 'POST', path: '/', body: 'MGET/{names:1000}', shows: JSON.stringify },
    },
    import: (members) => importIntoRedis(redisPort, members),
    export: hasNone,
  },
  {
    name: 'etcd',
    title: 'etcd over HTTP',
    port: 17020,
    kinds: ['get', 'put', 'list', 'import'],
    programs: ['etcd'],
    packages: ['etcd-server'],
    variants: [''],
    start: startEtcd,
    asks: {
      get: { method: 'POST', path: '/v3/kv/range', body: '{"key":"{key64}"}', shows: base64 },
      put: {
        method: 'POST',
        path: '/v3/kv/put',
        body: `{"key":"{key64}","value":"${base64(writtenValue)}"}`,
        shows: base64,
      },
      list: {
        method: 'POST',
        path: '/v3/kv/range',
        body: `{"key":"{key64}","range_end":"${base64('kez')}","limit":100}`,
        shows: base64,
      },
    },
    import: (members) => importIntoEtcd(17020, members),
    export: hasNone,
  },
  {
    name: 'bare',
    title: 'bare Bun.serve',
    port: 17030,
    kinds: ['get'],
    programs: [],
    packages: [],
    variants: [''],
    start: startBare,
    asks: membersApi,
    import: async () => {},
    export: hasNone,
  },
]

/** The headers of the bare server until a kvist has responded: those that /v1 gives a member. */
let bareHeaders: [string, string][] = [
  ['content-type', 'application/json'],
  ['etag', '"1"'],
  ['last-modified', 'Thu, 01 Jan 2026 00:00:00 GMT'],
]

export function kvist(name: string, port: number, durability: 'full' | 'relaxed'): Contestant {
  return {
    name,
    title: name,
    port,
    kinds: [],
    programs: [kvistProgram],
    packages: [],
    variants: [''],
    async start(dataDir) {
      const options = ['--port', `${port}`, '--data', join(dataDir, 'store'), '--durability', durability]
      const server = startServer('kvist', [kvistProgram, 'serve', ...options], dataDir)
      await waitUntilReady(server, `http://127.0.0.1:${port}/readyz`, '')
      return server
    },
    asks: membersApi,
    import: (members) => importIntoKvist(port, members),
    export: (members) => exportFromKvist(port, members),
  }
}

/** Starts webdis. The variant is its number of threads and the connections to Redis of each. */
export async function startWebdis(dataDir: string, variant: string): Promise<Server> {
  const [threads, poolSize] = variant.split('/').map(Number)
  const common = ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--dir', dataDir]
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const redis = startServer('redis', ['redis-server', ...common, ...durable], dataDir)
  const config = join(dataDir, 'webdis.json')
  await Bun.write(
    config,
    JSON.stringify({
      ...{ redis_host: '127.0.0.1', redis_port: redisPort, http_host: '127.0.0.1', http_port: 17011 },
      ...{ threads, pool_size: poolSize, daemonize: false, websockets: false, database: 0 },
      ...{ verbosity: 0, logfile: join(dataDir, 'webdis-own.log') },
    }),
  )
  await waitUntilRedisResponses()
  const webdis = startServer('webdis', ['webdis', config], dataDir)
  await waitUntilReady(webdis, 'http://127.0.0.1:17011/PING.txt', 'PONG')
  return withFront(redis, webdis)
}

/**
 * Waits until Redis accepts commands, which it refuses while it loads its file; a webdis started before that would keep
 * failing.
 */
async function waitUntilRedisResponses(): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const reply = Bun.spawnSync(['redis-cli', '-p', `${redisPort}`, 'ping'], { stderr: 'ignore' })
    if (reply.stdout.toString().trim() === 'PONG') return
    await Bun.sleep(100)
  }
  throw new Error('Redis was not ready in 60 s')
}

async function startEtcd(dataDir: string): Promise<Server> {
  const client = 'http://127.0.0.1:17020'
  const peer = 'http://127.0.0.1:17021'
  const server = startServer(
    'etcd',
    [
      ...['etcd', '--data-dir', join(dataDir, 'store'), '--logger', 'zap', '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      // etcd keeps every version; its default quota would be full within the run.
      ...['--initial-cluster', `default=${peer}`, '--quota-backend-bytes', `${32 * 2 ** 30}`],
      ...['--max-txn-ops', '1000'],
    ],
    dataDir,
  )
  await waitUntilReady(server, `${client}/health`, '"true"')
  return server
}

async function startBare(dataDir: string): Promise<Server> {
  const program = [process.execPath, '--no-env-file', join(import.meta.dir, 'bare.ts')]
  const server = startServer('bare', [...program, '17030', jsonOf(1), JSON.stringify(bareHeaders)], dataDir)
  await waitUntilReady(server, 'http://127.0.0.1:17030/', '')
  return server
}

async function hasNone(): Promise<void> {
  throw new Error('it has no export')
}

function plain(value: string): string {
  return value
}

function base64(value: string): string {
  return Buffer.from(value).toString('base64')
}
