import type { MaybePromise } from '../core/engine.ts'
import type { Answers } from './answers.ts'
import type { Port, Session } from './port.ts'
import { answers as lines } from './refusals.ts'

/**
 * `stats`: the numbers of /metrics under memcached's names. Of memcached's memory there is nothing to tell, so what
 * speaks of slabs is empty, and what kvist does not do is missing or 0.
 */

/** The memcached whose protocol this is, which clients ask for; what answers comes behind it. */
const protocolVersion = '1.6.18'

/** A third word that is no number of its own: clients read the second alone. */
export function versionText(version: string): string {
  return `${protocolVersion} kvist/${version}`
}

/** Writes its lines; the `END` behind them is not its own. */
type Report = (port: Port, out: Answers) => MaybePromise<void>

/** What can follow `stats`; all else is an error, as with memcached. */
const reports: Readonly<Record<string, Report>> = {
  '': general,
  settings,
  items: nothing,
  slabs: nothing,
  sizes: nothing,
}

export function answerStats({ port, out }: Session, [name = '']: readonly string[]): MaybePromise<void> {
  if (name === 'reset') {
    port.countsAtReset = new Map(Object.entries(port.counts))
    out.line('RESET')
    return
  }
  const report = Object.hasOwn(reports, name) ? reports[name] : undefined
  if (report === undefined) {
    out.line(lines.unknown)
    return
  }
  const reporting = report(port, out)
  if (reporting instanceof Promise) return reporting.then(() => out.endOfList())
  out.endOfList()
}

async function general(port: Port, out: Answers): Promise<void> {
  const { db, collection, counts, countsAtReset, settings } = port
  const all = await db.collections()
  const { members, bytes } = all.find(({ name }) => name === collection) ?? { members: 0, bytes: 0 }
  const { user, system } = process.cpuUsage()
  out.stat('pid', process.pid)
  out.stat('uptime', Math.floor(process.uptime()))
  out.stat('time', Math.floor(port.now() / 1000))
  out.stat('version', versionText(settings.version))
  out.stat('pointer_size', 64)
  out.stat('rusage_user', microseconds(user))
  out.stat('rusage_system', microseconds(system))
  out.stat('max_connections', settings.maxConnections)
  out.stat('curr_connections', port.openConnections())
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

function settings({ settings, collection, durability, mayEnter }: Port, out: Answers): void {
  out.stat('maxbytes', 0)
  out.stat('maxconns', settings.maxConnections)
  out.stat('tcpport', settings.port)
  out.stat('udpport', 0)
  out.stat('inter', settings.host)
  out.stat('verbosity', 0)
  out.stat('evictions', 'off')
  out.stat('cas_enabled', 'yes')
  out.stat('auth_enabled_ascii', mayEnter !== null ? 'yes' : 'no')
  out.stat('item_size_max', settings.maxValueBytes)
  out.stat('maxconns_fast', 'yes')
  out.stat('idle_timeout', settings.idleTimeoutSeconds)
  out.stat('flush_enabled', 'yes')
  out.stat('kvist_collection', collection)
  out.stat('kvist_durability', durability)
}

/** Of slabs, which kvist does not have. */
function nothing(): void {}
