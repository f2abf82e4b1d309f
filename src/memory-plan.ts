import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * How the server divides the memory that it may use. A container's limit kills a process that exceeds it, so under a
 * small limit the largest parts are made smaller: the segments of the log, of which ten may be in memory with their
 * keys, the read cache, and the memory of requests and responses.
 */
export interface MemoryPlan {
  /** Null without a limit. */
  readonly limitBytes: number | null
  readonly segmentBytes: number
  readonly cacheBytes: number
  /** The engine uses as little memory as it can, and is slower. */
  readonly isScarce: boolean
  /** The share of limits.ts' memory for requests and responses that they may use, from 0 to 1. */
  readonly requestShare: number
}

const mebibyte = 2 ** 20
const largestSegmentBytes = 16 * mebibyte
const smallestSegmentBytes = mebibyte
/** Below this limit the program itself leaves the store too little memory. */
const leastMemoryBytes = 128_000_000
/** Below this limit a mapped file and a thread's heap displace the pages of the program itself. */
const scarceBytes = 256 * mebibyte
/** From this limit on, requests and responses may use all of their memory. */
const fullRequestsBytes = 512 * mebibyte

export function planMemory(limitBytes: number | null, cacheBytes: number): MemoryPlan {
  if (limitBytes === null)
    return { limitBytes, segmentBytes: largestSegmentBytes, cacheBytes, isScarce: false, requestShare: 1 }
  const share = 2 ** Math.floor(Math.log2(limitBytes / 60))
  return {
    limitBytes,
    segmentBytes: Math.min(Math.max(share, smallestSegmentBytes), largestSegmentBytes),
    cacheBytes: Math.min(cacheBytes, Math.floor(limitBytes / 8)),
    isScarce: limitBytes < scarceBytes,
    requestShare: Math.min(1, limitBytes / fullRequestsBytes),
  }
}

/** Returns the log line about memory at the start, with the memory for large requests; null without a limit. */
export function memoryLine(
  { limitBytes, segmentBytes, cacheBytes }: MemoryPlan,
  requestBytes: number,
): string | null {
  if (limitBytes === null) return null
  const took = `segments of ${mebibytes(segmentBytes)}, a read cache of up to ${mebibytes(cacheBytes)}, large requests up to ${mebibytes(requestBytes)}`
  const line = `memory is limited to ${mebibytes(limitBytes)}: ${took}`
  if (limitBytes >= leastMemoryBytes) return line
  return `${line}; kvist needs ${mebibytes(leastMemoryBytes)}, and may be ended by the system with less`
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / mebibyte)} MiB`
}

/**
 * Returns the lowest memory limit of the process's control group and those above it; null without one. Only Linux has
 * them.
 */
export function cgroupLimitBytes(root = '/'): number | null {
  const groups = readText(join(root, 'proc/self/cgroup'))
  if (groups === null) return null
  const limits = groups
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
      if (controllers === '') return limitsAlong(join(root, 'sys/fs/cgroup'), path, 'memory.max')
      if (!controllers.split(',').includes('memory')) return []
      return limitsAlong(join(root, 'sys/fs/cgroup/memory'), path, 'memory.limit_in_bytes')
    })
  return limits.length === 0 ? null : Math.min(...limits)
}

/**
 * Returns the limits of a group and those above it. In a container the path may be that of the host, which does not
 * exist there.
 */
function limitsAlong(mount: string, path: string, file: string): number[] {
  const steps = path.split('/').filter((step) => step !== '')
  return steps
    .map((_, i) => join(mount, ...steps.slice(0, i + 1)))
    .concat(mount)
    .flatMap((folder) => {
      const bytes = Number(readText(join(folder, file)) ?? Number.NaN)
      // "max", or a number near 2^63, means no limit.
      return bytes > 0 && bytes < 2 ** 60 ? [bytes] : []
    })
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
