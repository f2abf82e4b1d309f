import type { Timers } from '../../core/timers.ts'
import { type Cluster, type Primary, RedisError } from './cluster.ts'
import { openCluster } from './open-cluster.ts'
import type { RedisOptions } from './options.ts'
import { ErrorReply, type Reply } from './resp.ts'
import { addressText } from './servers.ts'

/** What is wrong, or dangerous, about how the servers are configured. */
export interface Finding {
  /** `error`: kvist must not start. `warning`: the operator's choice, said aloud. */
  readonly level: 'error' | 'warning'
  /** One line. */
  readonly text: string
}

export interface StartChecks {
  /** A commit must be on the disk of the primary before it is acknowledged. */
  readonly isDurable: boolean
  /** Replicas that must acknowledge a write. */
  readonly replicas: number
}

/** Sharded channels, on which commits are published, came with version 7. */
const minMajorVersion = 7
/** With a shorter one a slow server is taken for dead, and its replica takes over without the last writes. */
const minNodeTimeoutMs = 2000

/** Settings that decide whether what is acknowledged is kept. */
interface ServerSettings {
  readonly info: ReadonlyMap<string, string>
  readonly config: ReadonlyMap<string, string>
}

/**
 * Connects to the servers and checks how they are configured. Warns of what is the operator's choice. Throws an Error of
 * one line when the store could lose what it acknowledges.
 */
export async function openCheckedCluster(
  options: RedisOptions,
  warn: (line: string) => void,
  timers: Timers,
): Promise<Cluster> {
  const cluster = await openCluster({ ...options, warn }, timers)
  try {
    const findings = await checkServers(cluster, options)
    const fault = findings.find(({ level }) => level === 'error')
    if (fault !== undefined) throw new Error(`redis: ${fault.text}`)
    for (const { text } of findings) warn(`redis: ${text}`)
    return cluster
  } catch (error) {
    await cluster.close()
    throw error instanceof RedisError ? new Error(`redis: ${error.message}`) : error
  }
}

/** Inspects every primary. Rejects with a `RedisError` when one cannot be reached. */
export async function checkServers(cluster: Cluster, needs: StartChecks): Promise<Finding[]> {
  const all = await Promise.all(
    cluster.primaries().map(async (primary) => {
      const settings = await settingsOf(cluster, primary)
      return [...versionFindings(settings), ...memoryFindings(settings), ...diskFindings(settings, needs)]
        .concat(
          replicaFindings(primary, needs),
          cluster.isSingle ? [] : await clusterFindings(cluster, primary, settings),
        )
        .map(({ level, text }): Finding => ({ level, text: `${addressText(primary)}: ${text}` }))
    }),
  )
  return all.flat()
}

async function settingsOf(cluster: Cluster, primary: Primary): Promise<ServerSettings> {
  const [info, config] = await Promise.all([
    cluster.ask(primary, ['INFO', 'server', 'memory', 'persistence', 'replication']),
    configOf(cluster, primary),
  ])
  return { info: fieldsOf(info), config }
}

const configNames = [
  'maxmemory-policy',
  'appendonly',
  'appendfsync',
  'cluster-node-timeout',
  'cluster-allow-reads-when-down',
]

/** Empty where the server forbids `CONFIG`, as managed ones do. */
async function configOf(cluster: Cluster, primary: Primary): Promise<ReadonlyMap<string, string>> {
  const fields = new Map<string, string>()
  try {
    const reply = await cluster.ask(primary, ['CONFIG', 'GET', ...configNames])
    if (!Array.isArray(reply)) return fields
    for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]))
  } catch {
    // Settings that cannot be read are reported as such.
  }
  return fields
}

/** `name:value` lines. */
export function fieldsOf(reply: Reply): Map<string, string> {
  const fields = new Map<string, string>()
  if (reply === null || reply instanceof ErrorReply) return fields
  for (const line of String(reply).split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return fields
}

function versionFindings({ info }: ServerSettings): Finding[] {
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? ''
  if (Number.parseInt(version, 10) >= minMajorVersion) return []
  return [
    { level: 'error', text: `is version ${version || 'unknown'}; kvist needs ${minMajorVersion} or later` },
  ]
}

function memoryFindings({ info, config }: ServerSettings): Finding[] {
  const policy = info.get('maxmemory_policy') ?? config.get('maxmemory-policy')
  if (policy === 'noeviction') return []
  return [
    {
      level: 'error',
      text: `maxmemory-policy is ${policy ?? 'unknown'}: it would delete members when memory is full; set noeviction`,
    },
  ]
}

function diskFindings({ info, config }: ServerSettings, { isDurable }: StartChecks): Finding[] {
  if (!isDurable) return []
  if (info.get('aof_enabled') !== '1') {
    const text =
      'keeps nothing on disk as it goes: set appendonly yes, or start kvist with --durability relaxed'
    return [{ level: 'error', text }]
  }
  const fsync = config.get('appendfsync')
  if (fsync === 'always') return []
  if (fsync === undefined) {
    return [
      { level: 'warning', text: 'does not say when it syncs its log to disk (CONFIG GET is forbidden)' },
    ]
  }
  const text = `appendfsync is ${fsync}: a power cut can take back what was acknowledged; set always, or start kvist with --durability relaxed`
  return [{ level: 'error', text }]
}

/** Only warnings: a server that starts while a replica is away must be able to serve reads. */
function replicaFindings({ replicas }: Primary, needs: StartChecks): Finding[] {
  const { length } = replicas
  if (needs.replicas === 0 || length > needs.replicas) return []
  const text =
    length < needs.replicas
      ? `has ${length} replicas, and every write waits for ${needs.replicas} (--redis-wait): until it has them no write is confirmed`
      : `has ${length} replicas, and every write waits for as many: without one of them no write is confirmed`
  return [{ level: 'warning', text }]
}

async function clusterFindings(
  cluster: Cluster,
  primary: Primary,
  { config }: ServerSettings,
): Promise<Finding[]> {
  const findings: Finding[] = []
  const state = fieldsOf(await cluster.ask(primary, ['CLUSTER', 'INFO'])).get('cluster_state')
  if (state !== 'ok') findings.push({ level: 'error', text: `the cluster's state is ${state ?? 'unknown'}` })
  if (primary.replicas.length === 0) {
    findings.push({ level: 'warning', text: 'has no replica: its slots are lost with it' })
  }
  const timeoutMs = Number(config.get('cluster-node-timeout') ?? minNodeTimeoutMs)
  if (timeoutMs < minNodeTimeoutMs) {
    const text = `cluster-node-timeout is ${timeoutMs} ms: below ${minNodeTimeoutMs} a slow server is taken for dead, and its last writes are lost`
    findings.push({ level: 'warning', text })
  }
  if (config.get('cluster-allow-reads-when-down') === 'yes') {
    const text =
      'cluster-allow-reads-when-down is yes: a primary that is cut off would return old members; set no'
    findings.push({ level: 'error', text })
  }
  return findings
}
