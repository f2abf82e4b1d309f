import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * How much memory the server may use, and what it makes of that. A container's limit ends the process that passes it, so
 * the parts of the store that take most are made smaller under a small one: the segments of the log, of which seven may be
 * in memory with their keys, the read cache, and what is in memory of requests and responses on their way.
 */
export interface MemoryPlan {
  /** Null where there is no limit. */
  readonly limitBytes: number | null
  readonly segmentBytes: number
  readonly cacheBytes: number
  /** The engine does with as little as it can, and is slower. */
  readonly isScarce: boolean
  /** How much of the memory that limits.ts gives to requests and responses they may use, from 0 to 1. */
  readonly requestShare: number
}

const mebibyte = 2 ** 20
const largestSegmentBytes = 16 * mebibyte
const smallestSegmentBytes = mebibyte
/** Below this the program itself leaves the store too little. */
const leastMemoryBytes = 128_000_000
/** Below this a mapped file and a thread's heap take what the pages of the program itself need. */
const scarceBytes = 256 * mebibyte
/** From here on requests and responses have all of their memory. */
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

/** What the server says of its memory at the start, with that of large requests; null where nothing limits it. */
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

/** The limit of the control group that the process is in, or of one above it; null for none. Linux alone has them. */
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

/** The limits of a group and those above it. In a container the path may be that of the host, which is not there. */
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
