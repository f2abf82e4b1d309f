import { isIPv4 } from 'node:net'
import type { Durability } from './core/engine.ts'
import { choice, duration, size, text, toggle, wholeNumber } from './option-kinds.ts'
import { type Environment, option, parseArguments, refuse, type Values } from './options.ts'

/** Every option of `kvist serve`, one row each, under its name in Config: a name ends with its unit. */
export const options = {
  port: option({
    ...wholeNumber(0, 65_535),
    flag: 'port',
    env: 'KVIST_PORT',
    default: 7070,
    help: 'port to listen on; 0 takes a free one',
  }),
  host: option({
    ...text('HOST', 'a host name or an address', parseHost),
    flag: 'host',
    env: 'KVIST_HOST',
    default: '127.0.0.1',
    help: 'address to listen on; beyond this machine only with KVIST_TOKEN or --no-auth',
  }),
  dataFolder: option({
    ...text('FOLDER', 'the path of a folder', parsePath),
    flag: 'data',
    env: 'KVIST_DATA',
    default: './kvist-data',
    help: 'folder of the data, made when it is missing',
  }),
  durability: option<Durability>({
    ...choice<Durability>('full', 'relaxed'),
    flag: 'durability',
    env: 'KVIST_DURABILITY',
    default: 'full',
    help: 'full: on disk before a write is answered; relaxed: soon after',
  }),
  cacheBytes: option({
    ...size(0, 2 ** 40),
    flag: 'cache-bytes',
    env: 'KVIST_CACHE_BYTES',
    default: 192 * 2 ** 20,
    help: 'memory for the read cache; 0 turns it off',
  }),
  idleTimeoutSeconds: option({
    ...duration('s', 1, 255),
    flag: 'idle-timeout',
    env: 'KVIST_IDLE_TIMEOUT',
    default: 30,
    help: 'how long a slow client may be silent',
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
    help: 'the least that an event must be to be logged',
  }),
  accessLog: option({
    ...toggle(),
    flag: 'access-log',
    default: false,
    help: 'log a line for every request',
  }),
  noAuth: option({
    ...toggle(),
    flag: 'no-auth',
    default: false,
    help: 'let in whoever can reach the port, also from beyond this machine',
  }),
  token: option<string | null>({
    ...text('TOKEN', 'one or more visible ASCII characters, without spaces', parseToken),
    env: 'KVIST_TOKEN', // no flag: everybody can see those in the list of processes
    default: null,
    help: 'the bearer token that requests must carry',
    secret: true,
  }),
} as const

/** What `serve` runs with. */
export type Config = Values<typeof options>

/** The configuration that the arguments after `serve` and the environment ask for; throws UsageError. */
export function parseConfig(args: readonly string[], env: Environment): Config {
  const { values } = parseArguments('serve', options, [], args, env)
  refuseOpenDoor(values)
  refuseSilence(values)
  return values
}

/** Closed by default: beyond loopback somebody must have said who may come in. */
function refuseOpenDoor(config: Config): void {
  if (config.noAuth && config.token !== null) {
    refuse('--no-auth and KVIST_TOKEN contradict each other: leave one of them out')
  }
  if (config.noAuth || config.token !== null || isLoopback(config.host)) return
  refuse(`--host ${config.host} lets in other machines: set KVIST_TOKEN, or say --no-auth to do without`)
}

function refuseSilence({ accessLog, logLevel }: Config): void {
  if (!accessLog || logLevel === 'info') return
  refuse(`--access-log writes events of level info, which --log-level ${logLevel} leaves out`)
}

/** 127.0.0.0/8, ::1 and localhost. */
function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIPv4(host) && host.startsWith('127.'))
}

/** An IPv6 address may be written in brackets, as in a URL. */
function parseHost(given: string): string | null {
  const host = given.startsWith('[') && given.endsWith(']') ? given.slice(1, -1) : given
  return /^[A-Za-z0-9._:%-]{1,253}$/.test(host) ? host : null
}

function parsePath(given: string): string | null {
  return given === '' || given.includes('\0') ? null : given
}

function parseToken(given: string): string | null {
  return /^[\x21-\x7e]{1,4096}$/.test(given) ? given : null
}
