import { isIPv4 } from 'node:net'
import { parseArgs } from 'node:util'
import { choice, duration, type Kind, size, text, toggle, wholeNumber } from './config-kinds.ts'
import type { Durability } from './core/engine.ts'

/**
 * Every option of `kvist serve`, one row each. The flag wins over the environment, the environment over the default.
 * A row is all that a new option needs: parsing, refusals, help and completion come from here.
 *
 * Nothing past this file sees a text that has not been parsed.
 */

interface Option<T> extends Kind<T> {
  /** Without the dashes; null for what only the environment can set. */
  readonly flag: string | null
  /** Null for what only a flag can set. */
  readonly env: string | null
  readonly default: T
  readonly help: string
  /** A refusal must not repeat the value. */
  readonly secret?: true
}

/** The rows, under their names in Config. A name ends with its unit. */
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
  durability: option({
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
    default: 64 * 2 ** 20,
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
  noAuth: option({
    ...toggle(),
    flag: 'no-auth',
    env: null,
    default: false,
    help: 'let in whoever can reach the port, also from beyond this machine',
  }),
  token: option<string | null>({
    ...text<string | null>('TOKEN', 'one or more visible ASCII characters, without spaces', parseToken),
    flag: null, // everybody can see flags in the list of processes
    env: 'KVIST_TOKEN',
    default: null,
    help: 'the bearer token that requests must carry',
    secret: true,
  }),
} as const

/** What `serve` runs with. */
export type Config = {
  readonly [Name in keyof typeof options]: (typeof options)[Name] extends Option<infer T> ? T : never
}

/** What was asked for cannot be done: the message is one line for people, and the program ends with 2. */
export class UsageError extends Error {}

/** The configuration that the arguments after `serve` and the environment ask for; throws UsageError. */
export function parseConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Config {
  const flags = parseFlags(args)
  const entries = Object.entries(options).map(([name, row]) => [name, resolve<unknown>(row, flags, env)])
  const config = Object.fromEntries(entries) as Config // each value has its row's type: the row parsed it
  refuseOpenDoor(config)
  return config
}

/** Closed by default: beyond loopback somebody must have said who may come in. */
function refuseOpenDoor(config: Config): void {
  if (config.noAuth && config.token !== null) {
    refuse('--no-auth and KVIST_TOKEN contradict each other: leave one of them out')
  }
  if (config.noAuth || config.token !== null || isLoopback(config.host)) return
  refuse(`--host ${config.host} lets in other machines: set KVIST_TOKEN, or say --no-auth to do without`)
}

/** 127.0.0.0/8, ::1 and localhost. */
function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIPv4(host) && host.startsWith('127.'))
}

function resolve<T>(
  row: Option<T>,
  flags: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>,
): T {
  const flag = row.flag === null ? undefined : flags.get(row.flag)
  if (flag !== undefined) return accept(row, `--${row.flag}`, flag)
  const variable = row.env === null ? undefined : env[row.env]
  if (variable !== undefined) return accept(row, `${row.env}`, variable)
  return row.default
}

function accept<T>(row: Option<T>, source: string, given: string): T {
  const value = row.parse(given)
  if (value !== null) return value
  if (given === '') refuse(`${source} is empty: it must be ${row.range}`)
  refuse(`${source} must be ${row.range}${row.secret ? '' : `, not ${quote(given)}`}`)
}

/** The flags as they were given, by name; a switch has the text 'true'. The last of several counts. */
function parseFlags(args: readonly string[]): ReadonlyMap<string, string> {
  const rows = Object.values(options).filter((row) => row.flag !== null)
  const types = rows.map((row) => [row.flag, { type: row.unit === null ? 'boolean' : 'string' } as const])
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(types),
    strict: false,
    tokens: true,
  })
  const flags = new Map<string, string>()
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') refuse(`serve takes options only, not ${quote(token.value)}`)
    const { name, rawName, value } = token
    const row = rows.find((candidate) => candidate.flag === name)
    if (row === undefined) refuse(`serve has no option ${quote(rawName)}: see kvist serve --help`)
    if (row.unit === null && value !== undefined) refuse(`${rawName} takes no value`)
    if (row.unit !== null && value === undefined) refuse(`${rawName} needs a value: ${row.range}`)
    flags.set(name, value ?? 'true')
  }
  return flags
}

function refuse(why: string): never {
  throw new UsageError(why)
}

/** One line whatever was given, and not a long one. */
function quote(given: string): string {
  return JSON.stringify(given.length > 80 ? `${given.slice(0, 80)}…` : given)
}

function option<T>(row: Option<T>): Option<T> {
  return row
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
