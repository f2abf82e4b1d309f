import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import { archiveOptions, basesOf, refuseStrayArchive } from './archive-options.ts'
import { backupOptions, refuseStrayBackups } from './backup-options.ts'
import { refuseUncacheable } from './cache-options.ts'
import type { Durability } from './core/engine.ts'
import { parseCollection } from './core/keys.ts'
import { maxClockAheadMs } from './core/limits.ts'
import { compilePattern } from './core/pattern.ts'
import { parseRate, type Rate, rateForm, showRate } from './core/rate.ts'
import { engineNames, type PagesMode, pagesModes } from './engines/engine-names.ts'
import { choice, duration, list, size, text, toggle, wholeNumber } from './option-kinds.ts'
import { type Environment, option, parseArguments, refuse, type Values } from './options.ts'
import { engineKind, redisOptions, redisUrlOf, refuseStrayRedis } from './redis-options.ts'
import { parseTarget, readServersFile, targetRange } from './servers-file.ts'
import { parseToken, tokenOf, tokenRange } from './token-file.ts'

/** Dialects that can be mounted at the root (http/dialects/all.ts). */
type DialectName = 'ozza' | 'keys' | 'reforg' | 'minstore' | 'tenantbase'

/** The options of `kvist serve`, by their name in Config, which ends with the unit. */
export const options = {
  port: option({
    ...wholeNumber(0, 65_535),
    flag: 'port',
    env: 'KVIST_PORT',
    default: 7070,
    help: 'port to listen on; 0 chooses a free one',
  }),
  host: option({
    ...text('HOST', 'a host name or an address', parseHost),
    flag: 'host',
    env: 'KVIST_HOST',
    default: '127.0.0.1',
    help: 'address to listen on; beyond this machine only with KVIST_TOKEN or --no-auth',
  }),
  engine: option({
    ...engineKind(...engineNames),
    flag: 'engine',
    env: 'KVIST_ENGINE',
    default: 'sqlite',
    help: 'sqlite: in files of the data folder; memory: lost when the server stops; redis://host:port,host:port: in a Redis or Valkey Cluster',
  }),
  hostNames: option<readonly string[]>({
    ...list(text('NAME', 'a host name without a port', parseHostName)),
    flag: 'allowed-host',
    env: 'KVIST_ALLOWED_HOST',
    default: [],
    help: 'host name that a server without a token accepts, beside localhost, --host and IP addresses',
  }),
  corsOrigins: option<readonly string[]>({
    ...list(text('ORIGIN', 'an origin like https://app.example.com, or *', parseOrigin)),
    flag: 'cors-origin',
    env: 'KVIST_CORS_ORIGIN',
    default: [],
    help: 'web pages that may use the server from a browser; * for all, with KVIST_TOKEN only',
  }),
  dataFolder: option({
    ...text('FOLDER', 'the path of a folder', parsePath),
    flag: 'data',
    env: 'KVIST_DATA',
    default: './kvist-data',
    help: 'data folder, created if missing',
  }),
  configFile: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'config',
    env: 'KVIST_CONFIG',
    default: null,
    help: 'settings of collections and files of processes, as TypeScript, JavaScript or JSON',
  }),
  dialect: option<DialectName | null>({
    ...choice<DialectName>('ozza', 'keys', 'reforg', 'minstore', 'tenantbase'),
    flag: 'dialect',
    env: 'KVIST_DIALECT',
    default: null,
    help: 'dialect to mount at the root; all are at /dialects/<name>',
  }),
  durability: option<Durability>({
    ...choice<Durability>('full', 'relaxed'),
    flag: 'durability',
    env: 'KVIST_DURABILITY',
    default: 'full',
    help: 'full: on disk before a write is acknowledged; relaxed: soon after',
  }),
  acceptDamagedLog: option<string | null>({
    ...text(
      'FILE:OFFSET',
      'a damage as kvist named it when it refused to start, log-00000001:64 say',
      parseDamage,
    ),
    flag: 'accept-damaged-log',
    default: null,
    help: 'start without the log after this damage; the lost part is kept in damaged-…',
  }),
  sqlitePages: option<PagesMode>({
    ...choice<PagesMode>(...pagesModes),
    flag: 'sqlite-pages',
    env: 'KVIST_SQLITE_PAGES',
    default: 'on',
    help: 'off: read members with SQLite only; checked: compare both ways of reading, and exit on a difference',
  }),
  memoryBytes: option<number | null>({
    ...size(2 ** 20, 2 ** 50),
    flag: 'memory',
    env: 'KVIST_MEMORY',
    default: null,
    help: 'memory that the server may use; default: the limit of its control group',
  }),
  cacheBytes: option({
    ...size(0, 2 ** 40),
    flag: 'cache-bytes',
    env: 'KVIST_CACHE_BYTES',
    default: 192 * 2 ** 20,
    help: 'memory for the read cache; 0 turns it off',
  }),
  tombstonesMs: option<number | null>({
    ...duration('ms', 60_000, 100 * 365 * 24 * 3_600_000),
    flag: 'keep-tombstones',
    env: 'KVIST_KEEP_TOMBSTONES',
    default: null,
    help: 'how long the feed keeps tombstones of deleted and expired members; default: 7d, in Redis 1h',
  }),
  idleTimeoutSeconds: option({
    ...duration('s', 1, 255),
    flag: 'idle-timeout',
    env: 'KVIST_IDLE_TIMEOUT',
    default: 30,
    help: 'time without data after which a slow client is disconnected',
  }),
  maxConnections: option<number | null>({
    ...wholeNumber(1, 1_000_000),
    flag: 'max-connections',
    env: 'KVIST_MAX_CONNECTIONS',
    default: null,
    help: 'maximum number of connections; default: what the limit on open files allows',
  }),
  maxConnectionsPerAddress: option<number | null>({
    ...wholeNumber(1, 1_000_000),
    flag: 'max-connections-per-address',
    env: 'KVIST_MAX_CONNECTIONS_PER_ADDRESS',
    default: null,
    help: 'maximum number of connections from one address, of IPv6 from one /64; default: half of all',
  }),
  rateLimit: option<Rate | null>({
    unit: 'RATE',
    range: rateForm,
    parse: parseRate,
    show: showRate,
    flag: 'rate-limit',
    env: 'KVIST_RATE_LIMIT',
    default: null,
    help: 'requests of a token, or of an address without one: 200/s, 6000/m, or 200/s:400 with bursts',
  }),
  stopTimeoutMs: option({
    ...duration('ms', 0, 3_600_000),
    flag: 'stop-timeout',
    env: 'KVIST_STOP_TIMEOUT',
    default: 10_000,
    help: 'how long a graceful stop waits for requests in flight',
  }),
  logLevel: option<'error' | 'warn' | 'info'>({
    ...choice<'error' | 'warn' | 'info'>('error', 'warn', 'info'),
    flag: 'log-level',
    env: 'KVIST_LOG_LEVEL',
    default: 'info',
    help: 'lowest level of events to log',
  }),
  accessLog: option({
    ...toggle(),
    flag: 'access-log',
    default: false,
    help: 'log a line for every request',
  }),
  auditLog: option<string | null>({
    ...text('FILE|-', 'the path of a file, or - for stdout', parsePath),
    flag: 'audit-log',
    env: 'KVIST_AUDIT_LOG',
    default: null,
    help: 'log a line for every write and every refused request; SIGHUP opens the file anew',
  }),
  memcachedPort: option<number | null>({
    ...wholeNumber(0, 65_535),
    flag: 'memcached-port',
    env: 'KVIST_MEMCACHED_PORT',
    default: null,
    help: 'port for memcached clients; 0 chooses a free one; default: none',
  }),
  memcachedHost: option({
    ...text('HOST', 'a host name or an address', parseHost),
    flag: 'memcached-host',
    env: 'KVIST_MEMCACHED_HOST',
    default: '127.0.0.1',
    help: 'address for memcached clients; beyond this machine as --host',
  }),
  memcachedCollection: option({
    ...text('COLLECTION', 'the name of a collection', parseCollectionName),
    flag: 'memcached-collection',
    env: 'KVIST_MEMCACHED_COLLECTION',
    default: 'cache',
    help: 'collection that memcached clients read and write',
  }),
  memcachedDurability: option<Durability | null>({
    ...choice<Durability>('full', 'relaxed'),
    flag: 'memcached-durability',
    env: 'KVIST_MEMCACHED_DURABILITY',
    default: null,
    help: 'durability of writes of memcached clients; default: that of --durability',
  }),
  memcachedIdleTimeoutSeconds: option({
    ...duration('s', 0, 365 * 24 * 3600),
    flag: 'memcached-idle-timeout',
    env: 'KVIST_MEMCACHED_IDLE_TIMEOUT',
    default: 0,
    help: 'idle time after which a memcached client is disconnected; 0: never',
  }),
  memcachedMaxConnections: option({
    ...wholeNumber(1, 1_000_000),
    flag: 'memcached-max-connections',
    env: 'KVIST_MEMCACHED_MAX_CONNECTIONS',
    default: 4096,
    help: 'maximum number of memcached connections',
  }),
  memcachedNoAuth: option({
    ...toggle(),
    flag: 'memcached-no-auth',
    default: false,
    help: 'allow every client that can reach the memcached port, without KVIST_TOKEN',
  }),
  memcachedNoTls: option({
    ...toggle(),
    flag: 'memcached-no-tls',
    default: false,
    help: 'let memcached clients connect without TLS, where --tls-cert is given',
  }),
  tlsCert: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'tls-cert',
    env: 'KVIST_TLS_CERT',
    default: null,
    help: 'TLS certificate with its chain, in PEM; read again when it changes',
  }),
  tlsKey: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'tls-key',
    env: 'KVIST_TLS_KEY',
    default: null,
    help: 'private key of --tls-cert, in PEM',
  }),
  tlsClientCa: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'tls-client-ca',
    env: 'KVIST_TLS_CLIENT_CA',
    default: null,
    help: 'authorities of client certificates, in PEM: clients may then present one',
  }),
  http2: option({
    ...toggle(),
    flag: 'http2',
    default: false,
    help: 'serve HTTP/2, too, to clients with TLS: for browsers with more than six streams',
  }),
  mirrorTo: option<readonly string[]>({
    ...list(text('URL', targetRange, parseTarget)),
    flag: 'mirror-to',
    env: 'KVIST_MIRROR_TO',
    default: [],
    help: 'server that gets every change of this one',
  }),
  servers: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'servers',
    env: 'KVIST_SERVERS',
    default: null,
    help: 'file with a URL on each line, as --mirror-to; a first line * means --bridge',
  }),
  bridge: option({
    ...toggle(),
    flag: 'bridge',
    default: false,
    help: 'pass on to the targets what other servers send here',
  }),
  mirrorOnly: option<readonly string[]>({
    ...list(text('PATTERN', 'a name of collections, with * and ?', parsePattern)),
    flag: 'mirror-only',
    env: 'KVIST_MIRROR_ONLY',
    default: [],
    help: 'collections that the targets get; default: all',
  }),
  mirrorTokens: option({
    ...toggle(),
    flag: 'mirror-tokens',
    default: false,
    help: 'send the tokens of this server to the targets too',
  }),
  mirrorTokenFile: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'mirror-token-file',
    env: 'KVIST_MIRROR_TOKEN_FILE',
    default: null,
    help: 'file that holds the token for the targets',
  }),
  mirrorCa: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'mirror-ca',
    env: 'KVIST_MIRROR_CA',
    default: null,
    help: 'authorities of the certificates of targets, in PEM; default: those of the system',
  }),
  follow: option<string | null>({
    ...text('URL', targetRange, parseTarget),
    flag: 'follow',
    env: 'KVIST_FOLLOW',
    default: null,
    help: 'leader that this server is a copy of, and to which it sends writes of clients',
  }),
  lookup: option({
    ...toggle(),
    flag: 'lookup',
    default: false,
    help: 'ask the other servers for a member that is read or deleted and is not here',
  }),
  lookupIn: option<readonly string[]>({
    ...list(text('URL', targetRange, parseTarget)),
    flag: 'lookup-in',
    env: 'KVIST_LOOKUP_IN',
    default: [],
    help: 'server that --lookup asks beside the targets',
  }),
  lookupTimeoutMs: option({
    ...duration('ms', 10, 60_000),
    flag: 'lookup-timeout',
    env: 'KVIST_LOOKUP_TIMEOUT',
    default: 1000,
    help: 'how long --lookup waits for the other servers',
  }),
  cacheOf: option<readonly string[]>({
    ...list(text('URL', targetRange, parseTarget)),
    flag: 'cache-of',
    env: 'KVIST_CACHE_OF',
    default: [],
    help: 'serve as a cache of this server, with nothing on disk; of several, the next if one is down',
  }),
  cacheStaleMs: option({
    ...duration('ms', 0, 30 * 24 * 3_600_000),
    flag: 'cache-stale',
    env: 'KVIST_CACHE_STALE',
    default: 600_000,
    help: 'how long a cache serves what it holds when no origin responds; 0: not at all',
  }),
  cacheTokenFile: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'cache-token-file',
    env: 'KVIST_CACHE_TOKEN_FILE',
    default: null,
    help: 'file that holds the token with which a cache reads the changes of its origin; it needs read on *',
  }),
  cacheCa: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'cache-ca',
    env: 'KVIST_CACHE_CA',
    default: null,
    help: 'authorities of the certificates of origins, in PEM; default: those of the system',
  }),
  healEveryMs: option<number | null>({
    ...duration('ms', 1000, 30 * 24 * 3_600_000),
    flag: 'heal-every',
    env: 'KVIST_HEAL_EVERY',
    default: null,
    help: 'how often to compare the store with each target, and to mend what the target has missed; default: never',
  }),
  newNodeId: option({
    ...toggle(),
    flag: 'new-node-id',
    default: false,
    help: 'give the store another id among servers: for the first start of a copied data folder',
  }),
  ...archiveOptions,
  ...redisOptions,
  ...backupOptions,
  maxClockAheadMs: option({
    ...duration('ms', 0, 30 * 24 * 3_600_000),
    flag: 'max-clock-ahead',
    env: 'KVIST_MAX_CLOCK_AHEAD',
    default: maxClockAheadMs,
    help: 'how far the clock of a server that sends changes may be ahead',
  }),
  noAuth: option({
    ...toggle(),
    flag: 'no-auth',
    default: false,
    help: 'allow every client that can reach the port, also from other machines',
  }),
  token: option<string | null>({
    ...text('TOKEN', tokenRange, parseToken),
    env: 'KVIST_TOKEN', // no flag: flags are visible in the process list
    default: null,
    help: 'the bearer token that requests must carry',
    secret: true,
  }),
  tokenFile: option<string | null>({
    ...text('FILE', 'the path of a file', parsePath),
    flag: 'token-file',
    env: 'KVIST_TOKEN_FILE',
    default: null,
    help: 'file that holds the token, in place of KVIST_TOKEN',
  }),
} as const

/** The configuration of `serve`. */
export type Config = Values<typeof options> & {
  /** The targets are asked to pass on what they get to their own targets: a servers file begins with `*`. */
  readonly asksToBridge: boolean
}

/** Parses the arguments after `serve` and the environment. Throws UsageError. */
export function parseConfig(args: readonly string[], env: Environment): Config {
  const parse = (from: Environment) => parseArguments('serve', options, [], args, from).values
  const given = parse(env)
  const parsed = given.dialect === 'ozza' ? parse(withOzzaData(env)) : given
  const values = { ...parsed, token: tokenOf(parsed), ...targetsOf(parsed), backupTo: basesOf(parsed) }
  refuseOpenDoor(values)
  refuseOpenMemcachedDoor(values)
  refuseUncacheable(values, Object.values(options), args)
  refuseAnyPage(values)
  refuseHalfTls(values)
  refuseSilence(values)
  refuseUnkept(values, args)
  refuseStrayRedis(values, args)
  refuseStrayArchive(values, args)
  refuseStrayBackups(values, args)
  return values
}

/** Returns the targets of `--mirror-to` and `--servers` together. Throws UsageError. */
function targetsOf({ mirrorTo, servers, bridge, mirrorOnly, mirrorTokens, ...rest }: Values<typeof options>) {
  const { follow, lookup, lookupIn, mirrorTokenFile, mirrorCa } = rest
  const file = servers === null ? null : readServersFile(servers, rest)
  const targets = [...new Set([...mirrorTo, ...(file?.targets ?? [])])]
  const isLoose = mirrorOnly.length > 0 || mirrorTokens || rest.healEveryMs !== null
  const reachesOthers = targets.length > 0 || lookupIn.length > 0
  const connects = reachesOthers || follow !== null
  if ((targets.length === 0 && isLoose) || (!connects && (mirrorTokenFile ?? mirrorCa) !== null))
    refuse('the options of mirrors need a target: --mirror-to or --servers')
  if (follow !== null && targets.includes(follow))
    refuse(`--follow ${follow} is a target of the mirror, too: a follower sends its leader what it lacks`)
  if (lookup && !reachesOthers) refuse('--lookup needs servers to ask: --mirror-to, --servers or --lookup-in')
  if (!lookup && lookupIn.length > 0) refuse('--lookup-in names servers for --lookup, which is missing')
  const asksToBridge = file?.isBridge === true
  return { mirrorTo: targets, bridge: bridge || asksToBridge, asksToBridge }
}

/**
 * Adds the data folder that Ozza's own environment variables name, unless kvist's do: the folder has the name of Ozza's
 * file. Used with that dialect only, because other programs have variables with these names too.
 */
function withOzzaData(env: Environment): Environment {
  const { DATA_DIRECTORY: directory, DATA_FILENAME: name } = env
  if (!directory && !name) return env
  return { KVIST_DATA: join(directory || '.', name || 'kvist-data'), ...env }
}

/** Refuses to listen beyond loopback without a token or `--no-auth`. */
function refuseOpenDoor(config: Config): void {
  if (config.noAuth && config.token !== null) {
    const name = config.tokenFile === null ? 'KVIST_TOKEN' : '--token-file'
    refuse(`--no-auth and ${name} contradict each other: leave one of them out`)
  }
  if (config.noAuth || config.token !== null || isLoopback(config.host)) return
  if (config.cacheOf.length > 0)
    refuse(
      `--host ${config.host} lets in other machines: the origins check their tokens, so say --no-auth if they need one`,
    )
  refuse(
    `--host ${config.host} lets in other machines: set KVIST_TOKEN or --token-file, or say --no-auth to do without`,
  )
}

function refuseOpenMemcachedDoor(config: Config): void {
  const { memcachedPort, memcachedHost, memcachedNoAuth, noAuth, token } = config
  if (memcachedPort === null || noAuth || memcachedNoAuth || token !== null) return
  if (isLoopback(memcachedHost)) return
  refuse(
    `--memcached-host ${memcachedHost} lets in other machines: set KVIST_TOKEN or --token-file, which their clients then log in with, or say --memcached-no-auth to do without`,
  )
}

/**
 * Refuses `--cors-origin '*'` without a token: any page in a browser that reaches the port could read and delete
 * everything.
 */
function refuseAnyPage({ corsOrigins, token }: Config): void {
  if (token !== null || !corsOrigins.includes('*')) return
  refuse("--cors-origin '*' lets in every web page: set KVIST_TOKEN or --token-file, or name the origins")
}

/** Refuses TLS options that are missing the others they need. */
function refuseHalfTls({ tlsCert, tlsKey, tlsClientCa, http2, memcachedNoTls }: Config): void {
  if (tlsCert !== null && tlsKey === null) refuse('--tls-cert needs its private key: --tls-key')
  if (tlsCert === null && tlsKey !== null) refuse('--tls-key needs its certificate: --tls-cert')
  if (tlsCert !== null) return
  if (tlsClientCa !== null) refuse('--tls-client-ca is for a server with TLS: say --tls-cert and --tls-key')
  if (http2) refuse('--http2 is for a server with TLS: say --tls-cert and --tls-key')
  if (memcachedNoTls) refuse('--memcached-no-tls is for a server with TLS: say --tls-cert and --tls-key')
}

function refuseSilence({ accessLog, logLevel }: Config): void {
  if (!accessLog || logLevel === 'info') return
  refuse(`--access-log writes events of level info, which --log-level ${logLevel} leaves out`)
}

/**
 * Refuses flags about files with an engine that has none. Environment variables are ignored instead, as they may be set
 * for the whole machine.
 */
function refuseUnkept(config: Config, args: readonly string[]): void {
  const isGiven = (flag: string) => args.some((arg) => arg === flag || arg.startsWith(`${flag}=`))
  if (redisUrlOf(config) !== null) {
    const flag = ['--data', '--sqlite-pages', '--accept-damaged-log', '--new-node-id'].find(isGiven)
    if (flag !== undefined) refuse(`${flag} is for the engine sqlite: leave it out, or the URL of --engine`)
    if (isGiven('--cache-bytes')) refuse('--engine redis://… has no read cache: leave out --cache-bytes')
  }
  if (config.engine !== 'memory') return
  const flag = ['--data', '--durability'].find(isGiven)
  if (flag !== undefined) {
    refuse(`--engine memory keeps nothing on disk: leave out ${flag}, or --engine memory`)
  }
}

/** Whether a host is in 127.0.0.0/8, ::1 or localhost. */
function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIPv4(host) && host.startsWith('127.'))
}

/** Returns a host without the brackets that an IPv6 address may have, as in a URL; null when invalid. */
function parseHost(given: string): string | null {
  const host = given.startsWith('[') && given.endsWith(']') ? given.slice(1, -1) : given
  return /^[A-Za-z0-9._:%-]{1,253}$/.test(host) ? host : null
}

/** Returns a host name in lower case, without a final dot; null when invalid. */
function parseHostName(given: string): string | null {
  const name = given.toLowerCase().replace(/\.$/, '')
  return /^[a-z0-9._-]{1,253}$/.test(name) ? name : null
}

/**
 * Returns an origin as browsers send it, in lower case and without the default port of its scheme; null when invalid.
 */
function parseOrigin(given: string): string | null {
  if (given === '*') return given
  const [, scheme = '', host] =
    /^([a-z][a-z0-9+.-]*):\/\/([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.exec(given) ?? []
  if (host === undefined || !URL.canParse(given)) return null
  return /^https?$/i.test(scheme) ? new URL(given).origin : given.toLowerCase()
}

function parseCollectionName(given: string): string | null {
  try {
    return parseCollection(given)
  } catch {
    return null
  }
}

function parsePattern(given: string): string | null {
  try {
    compilePattern(given)
    return given === '' ? null : given
  } catch {
    return null
  }
}

function parsePath(given: string): string | null {
  return given === '' || given.includes('\0') ? null : given
}

function parseDamage(given: string): string | null {
  return /^log-\d{8,15}:\d{1,15}$/.test(given) ? given : null
}
