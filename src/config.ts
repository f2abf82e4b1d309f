import { isIPv4 } from 'node:net'
import { join } from 'node:path'
import { basesOf, refuseStrayArchive } from './archive-options.ts'
import { refuseStrayBackups } from './backup-options.ts'
import { refuseUncacheable } from './cache-options.ts'
import { type Environment, parseArguments, refuse, type Values } from './options.ts'
import { redisUrlOf, refuseStrayRedis } from './redis-options.ts'
import { options } from './server-options.ts'
import { readServersFile } from './servers-file.ts'
import { refuseHalfTls } from './tls-options.ts'
import { tokenOf } from './token-file.ts'

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
