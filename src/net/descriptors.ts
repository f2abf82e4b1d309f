import { readFileSync } from 'node:fs'
import { maxLingering } from './rejected.ts'

/**
 * File descriptors reserved for the rest of the process: the files of the store, its worker, listening sockets, and
 * clients that are being rejected. The count is explained in docs/design/http.md.
 */
const reservedDescriptors = 48 + maxLingering
/** The server refuses to start with fewer connections. */
const minConnections = 16
/** The number of connections when the system sets no limit, or does not report it. */
const unlimitedConnections = 1_000_000

/** The maximum number of connections in total, and from one address. */
export interface ConnectionCounts {
  readonly maxConnections: number
  readonly maxPerAddress: number
  /** Whether addresses of this machine are exempt from it: unless the option sets a number. */
  readonly exemptsLoopback: boolean
}

/**
 * Returns the number of connections asked for, or else as many as the limit on open files (RLIMIT_NOFILE) allows; from
 * one address those asked for, or else half of all.
 * Throws an error of one line when more are asked for, or when the limit is too low to serve: without descriptors a
 * process can neither write nor report why.
 */
export function connectionCounts(
  asked: number | null,
  askedPerAddress: number | null,
  limit: number = descriptorLimit(),
): ConnectionCounts {
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
  return {
    maxConnections,
    maxPerAddress: askedPerAddress ?? Math.ceil(maxConnections / 2),
    exemptsLoopback: askedPerAddress === null,
  }
}

/**
 * Returns how many files and sockets this process may have open. Bun raises the soft limit to the hard one when it
 * starts.
 */
function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return parseLimit(soft)
  } catch {
    // Without /proc, a child process inherits the limit and prints it.
    return parseLimit(Bun.spawnSync(['sh', '-c', 'ulimit -n']).stdout.toString().trim())
  }
}

function parseLimit(text: string | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY
}
