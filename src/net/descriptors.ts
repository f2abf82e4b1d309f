import { readFileSync } from 'node:fs'
import { maxLingering } from './rejected.ts'

/**
 * Descriptors that connections leave to the rest of the process: the files of the store, its worker, listening sockets, and
 * clients that are being turned away. docs/design/http.md has what was counted.
 */
const reservedDescriptors = 48 + maxLingering
/** Fewer connections than this are no server. */
const minConnections = 16
/** Where the system sets no limit, or does not report it. */
const unlimitedConnections = 1_000_000

/** How many connections there may be in all, and from one address. */
export interface ConnectionCounts {
  readonly maxConnections: number
  readonly maxPerAddress: number
}

/**
 * What was asked for, or what the limit on open files (RLIMIT_NOFILE) allows. Throws one line when that is more, or when
 * the limit is too low to serve at all: a process without descriptors can neither write nor say why.
 */
export function connectionCounts(asked: number | null, limit: number = descriptorLimit()): ConnectionCounts {
  const allowed = Math.min(limit - reservedDescriptors, unlimitedConnections)
  if (allowed < minConnections) {
    const least = reservedDescriptors + minConnections
    throw new Error(`the limit on open files (ulimit -n) is ${limit}; kvist needs at least ${least}`)
  }
  if (asked !== null && asked > allowed) {
    const needed = asked + reservedDescriptors
    throw new Error(
      `--max-connections ${asked} needs a limit on open files (ulimit -n) of ${needed}, and it is ${limit}`,
    )
  }
  const maxConnections = asked ?? allowed
  return { maxConnections, maxPerAddress: Math.ceil(maxConnections / 2) }
}

/** How many files and sockets this process may have open. Bun raises the soft limit to the hard one when it starts. */
function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return parseLimit(soft)
  } catch {
    // Where there is no /proc a child inherits the limit and prints it.
    return parseLimit(Bun.spawnSync(['sh', '-c', 'ulimit -n']).stdout.toString().trim())
  }
}

function parseLimit(text: string | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY
}
