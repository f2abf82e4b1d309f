import { readFileSync } from 'node:fs'
import type { EngineName } from './engines/engine-names.ts'
import { type Placement, placements, type RedisOptions } from './engines/redis/options.ts'
import { parseRedisUrl, type RedisUrl } from './engines/redis/servers.ts'
import { choice, duration, type Kind, text, wholeNumber } from './option-kinds.ts'
import { filePath } from './option-values.ts'
import { option, refuse } from './options.ts'

/** The options of the Redis engine, which keeps members in a Redis or Valkey Cluster, or a single server. */

const schemes = /^(redis|valkey)s?:\/\//

/** `--engine`: a name, or the URL of Redis servers, which `redisUrlOf` parses. */
export function engineKind(...names: readonly EngineName[]): Kind<string> {
  return {
    unit: `${names.join('|')}|URL`,
    range: `${names.join(' or ')} or redis://host:port,host:port`,
    choices: names,
    parse: (given) => (schemes.test(given) ? given : (names.find((name) => name === given) ?? null)),
    show: (value) => value,
  }
}

/** Returns the servers of `--engine`; null for another engine. Throws UsageError. */
export function redisUrlOf({ engine }: { readonly engine: string }): RedisUrl | null {
  if (!schemes.test(engine)) return null
  try {
    return parseRedisUrl(engine)
  } catch (error) {
    return refuse(`the URL of --engine ${(error as Error).message}`)
  }
}

export const redisOptions = {
  redisPassword: option<string | null>({
    ...text('PASSWORD', 'a text', (given) => (given === '' ? null : given)),
    env: 'KVIST_REDIS_PASSWORD', // no flag: flags are visible in the process list
    default: null,
    help: 'password for the Redis servers',
    secret: true,
  }),
  redisPasswordFile: option<string | null>({
    ...filePath,
    flag: 'redis-password-file',
    env: 'KVIST_REDIS_PASSWORD_FILE',
    default: null,
    help: 'file that holds the password for the Redis servers',
  }),
  redisCa: option<string | null>({
    ...filePath,
    flag: 'redis-ca',
    env: 'KVIST_REDIS_CA',
    default: null,
    help: 'authorities of the certificates of Redis servers, in PEM; default: those of the system',
  }),
  redisCert: option<string | null>({
    ...filePath,
    flag: 'redis-cert',
    env: 'KVIST_REDIS_CERT',
    default: null,
    help: 'certificate that the Redis servers ask for, in PEM',
  }),
  redisKey: option<string | null>({
    ...filePath,
    flag: 'redis-key',
    env: 'KVIST_REDIS_KEY',
    default: null,
    help: 'private key of --redis-cert, in PEM',
  }),
  redisPrefix: option({
    ...text('NAME', '1 to 64 letters, digits, or . _ : -', parsePrefix),
    flag: 'redis-prefix',
    env: 'KVIST_REDIS_PREFIX',
    default: 'kvist',
    help: 'beginning of all keys of the store, so that several can share a cluster',
  }),
  redisLines: option<number | null>({
    ...wholeNumber(1, 1024),
    flag: 'redis-lines',
    env: 'KVIST_REDIS_LINES',
    default: null,
    help: 'parts in which commits are ordered: 16 in a cluster, 4 on one server; fixed when the store is created',
  }),
  redisPlacement: option<Placement>({
    ...choice<Placement>(...placements),
    flag: 'redis-placement',
    env: 'KVIST_REDIS_PLACEMENT',
    default: 'spread',
    help: 'spread: each member on a line by its key; collection: by its collection; fixed at creation',
  }),
  redisWait: option({
    ...wholeNumber(0, 16),
    flag: 'redis-wait',
    env: 'KVIST_REDIS_WAIT',
    default: 0,
    help: 'replicas that must have a write before it is acknowledged',
  }),
  redisWaitTimeoutMs: option({
    ...duration('ms', 10, 60_000),
    flag: 'redis-wait-timeout',
    env: 'KVIST_REDIS_WAIT_TIMEOUT',
    default: 1000,
    help: 'how long a write waits for replicas before its outcome is unknown',
  }),
  redisTimeoutMs: option({
    ...duration('ms', 100, 60_000),
    flag: 'redis-timeout',
    env: 'KVIST_REDIS_TIMEOUT',
    default: 2000,
    help: 'time without a reply after which a Redis server is disconnected',
  }),
  redisPatienceMs: option({
    ...duration('ms', 0, 600_000),
    flag: 'redis-patience',
    env: 'KVIST_REDIS_PATIENCE',
    default: 10_000,
    help: 'how long requests wait for a failover before they get 503',
  }),
} as const

/** What is parsed of them and of `--engine`. */
interface RedisConfig {
  readonly engine: string
  readonly redisPassword: string | null
  readonly redisPasswordFile: string | null
  readonly redisCa: string | null
  readonly redisCert: string | null
  readonly redisKey: string | null
  readonly redisPrefix: string
  readonly redisLines: number | null
  readonly redisPlacement: Placement
  readonly redisWait: number
  readonly redisWaitTimeoutMs: number
  readonly redisTimeoutMs: number
  readonly redisPatienceMs: number
}

/** Refuses flags of this engine with another one, and those that lack others. Throws UsageError. */
export function refuseStrayRedis(config: RedisConfig, args: readonly string[]): void {
  const url = redisUrlOf(config)
  const flag = args.find((arg) => arg.startsWith('--redis-'))?.replace(/=.*/, '')
  if (url === null) {
    if (flag !== undefined) refuse(`${flag} is for servers of Redis: say --engine redis://host:port`)
    return
  }
  const { redisPassword, redisPasswordFile, redisCa, redisCert, redisKey } = config
  if (redisPassword !== null && redisPasswordFile !== null) {
    refuse('KVIST_REDIS_PASSWORD and --redis-password-file contradict each other: leave one of them out')
  }
  if (url.user !== null && redisPassword === null && redisPasswordFile === null) {
    refuse('a user in the URL of --engine needs a password: --redis-password-file')
  }
  if (redisCert !== null && redisKey === null) refuse('--redis-cert needs its private key: --redis-key')
  if (redisCert === null && redisKey !== null) refuse('--redis-key needs its certificate: --redis-cert')
  if (!url.isTls && (redisCa ?? redisCert) !== null) {
    refuse('--redis-ca and --redis-cert are for servers with TLS: say --engine rediss://host:port')
  }
}

/** Returns the options of the engine, with what their files hold; null for another engine. Throws UsageError. */
export function redisOptionsOf(config: RedisConfig): Omit<RedisOptions, 'isDurable'> | null {
  const url = redisUrlOf(config)
  if (url === null) return null
  const { redisCa, redisCert, redisKey, redisPasswordFile } = config
  const client =
    redisCert === null || redisKey === null
      ? null
      : { cert: textIn(redisCert, '--redis-cert'), key: textIn(redisKey, '--redis-key') }
  return {
    servers: url.servers,
    user: url.user,
    password: redisPasswordFile === null ? config.redisPassword : passwordIn(redisPasswordFile),
    tls: url.isTls ? { ca: redisCa === null ? null : textIn(redisCa, '--redis-ca'), client } : null,
    timeoutMs: config.redisTimeoutMs,
    patienceMs: config.redisPatienceMs,
    replicas: config.redisWait,
    replicasTimeoutMs: config.redisWaitTimeoutMs,
    prefix: config.redisPrefix,
    lines: config.redisLines,
    placement: config.redisPlacement,
  }
}

/** Without the line end that editors add. */
function passwordIn(path: string): string {
  const password = textIn(path, '--redis-password-file').replace(/\r?\n$/, '')
  if (password === '' || password.includes('\n')) {
    refuse(`${path} of --redis-password-file must hold a password in one line`)
  }
  return password
}

function textIn(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error
    return refuse(`${path} of ${flag} cannot be read: ${why}`)
  }
}

function parsePrefix(given: string): string | null {
  return /^[A-Za-z0-9._:-]{1,64}$/.test(given) ? given : null
}
