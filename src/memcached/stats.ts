import type { MaybePromise } from '../core/engine.ts'
import { responses as lines } from './error-lines.ts'
import type { Responses } from './responses.ts'
import type { MemcachedState, Session } from './state.ts'

/**
 * `stats`: the counters of /metrics under memcached's names. Statistics of slabs are empty, and those of features that
 * kvist lacks are missing or 0.
 */

/** The memcached version whose protocol is implemented. Clients check it; kvist's own version follows it. */
const protocolVersion = '1.6.18'

/** Returns the version with kvist's as a third word: clients read only the second. */
export function versionText(version: string): string {
  return `${protocolVersion} kvist/${version}`
}

/** Writes the lines of a report, without the final `END`. */
type Report = (server: MemcachedState, out: Responses) => MaybePromise<void>

/** The arguments of `stats`; any other is an error, as in memcached. */
const reports: Readonly<Record<string, Report>> = {
  '': general,
  settings,
  items: nothing,
  slabs: nothing,
  sizes: nothing,
}

export function respondStats({ server, out }: Session, [name = '']: readonly string[]): MaybePromise<void> {
  if (name === 'reset') {
    server.countsAtReset = new Map(Object.entries(server.counts))
    out.line('RESET')
    return
  }
  const report = Object.hasOwn(reports, name) ? reports[name] : undefined
  if (report === undefined) {
    out.line(lines.unknown)
    return
  }
  const reporting = report(server, out)
  if (reporting instanceof Promise) return reporting.then(() => out.endOfList())
  out.endOfList()
}

async function general(server: MemcachedState, out: Responses): Promise<void> {
  const { db, collection, counts, countsAtReset, settings } = server
  const all = await db.collections()
  const { members, bytes } = all.find(({ name }) => name === collection) ?? { members: 0, bytes: 0 }
  const { user, system } = process.cpuUsage()
  out.stat('pid', process.pid)
  out.stat('uptime', Math.floor(process.uptime()))
  out.stat('time', Math.floor(server.now() / 1000))
  out.stat('version', versionText(settings.version))
  out.stat('pointer_size', 64)
  out.stat('rusage_user', microseconds(user))
  out.stat('rusage_system', microseconds(system))
  out.stat('max_connections', settings.maxConnections)
  out.stat('curr_connections', server.openConnections())
  for (const [name, count] of Object.entries(counts)) {
    out.stat(name, count - (countsAtReset.get(name) ?? 0))
  }
  out.stat('threads', 1)
  out.stat('accepting_conns', 1)
  out.stat('curr_items', members)
  out.stat('bytes', bytes)
  out.stat('evictions', 0)
  out.stat('limit_maxbytes', 0)
}

function microseconds(sum: number): string {
  return `${Math.floor(sum / 1e6)}.${String(sum % 1e6).padStart(6, '0')}`
}

function settings(server: MemcachedState, out: Responses): void {
  const { settings, collection, durability, authenticator } = server
  out.stat('maxbytes', 0)
  out.stat('maxconns', settings.maxConnections)
  out.stat('tcpport', server.port())
  out.stat('udpport', 0)
  out.stat('inter', settings.host)
  out.stat('verbosity', 0)
  out.stat('evictions', 'off')
  out.stat('cas_enabled', 'yes')
  out.stat('auth_enabled_ascii', !authenticator.stranger.isAuthenticated ? 'yes' : 'no')
  out.stat('item_size_max', settings.maxValueBytes)
  out.stat('maxconns_fast', 'yes')
  out.stat('idle_timeout', settings.idleTimeoutSeconds)
  out.stat('flush_enabled', 'yes')
  out.stat('kvist_collection', collection)
  out.stat('kvist_durability', durability)
}

/** The report on slabs, which kvist does not have. */
function nothing(): void {}
