import type { ArchiveNumbers } from '../core/archive.ts'
import type { Database } from '../core/database.ts'
import type { Histogram } from '../core/histogram.ts'
import type { MemcachedCounts } from './memcached-counts.ts'
import type { WatchCounts } from './watch-counts.ts'

/** The sources of `/metrics`: counters of requests and errors, and the subsystems that have the other numbers. */

/** The subsystems whose numbers exist without metrics. */
export interface MetricSources {
  readonly version: string
  readonly cacheLimitBytes: number
  readonly database: Pick<Database, 'collections' | 'stats'>
  /** Returns the number of HTTP requests whose response is not complete yet. */
  openRequests(): number
  readonly watches: WatchCounts
  readonly requestMemory: Readonly<Record<string, MemoryNumbers>>
  readonly maxConnections: number
  /** By protocol. */
  readonly connections: Readonly<Record<string, ConnectionNumbers>>
  /** By protocol. */
  readonly limits: Readonly<Record<string, LimitNumbers>>
  /** Missing without an audit log. */
  readonly audit?: AuditNumbers
  /** Backups that the server takes by itself; missing without `--backup-to`. */
  readonly backups?: BackupNumbers
  /** Mirrors to other nodes. */
  readonly nodes: NodeNumbers
  /** Missing unless this node is a cache of others. */
  readonly cacheOf?: CacheNodeNumbers
  /** What happened between this server and those of Redis, by event; missing with another engine. */
  readonly redis?: Readonly<Record<string, number>>
  /** Missing without an archive. */
  readonly archive?: ArchiveNumbers
  /** Missing without a memcached port. */
  readonly memcached?: MemcachedCounts
}

/** Scheduled backups. */
export interface BackupNumbers {
  /** Where they are. */
  readonly folder: string
  /** When the newest backup was taken, in milliseconds since 1970; 0 for none. */
  readonly lastSuccessMs: number
  /** Of the last backup that this server took; 0 for none. */
  readonly lastSeconds: number
  readonly lastBytes: number
  readonly successes: number
  readonly failures: number
}

/** Memory of requests and responses for one purpose. */
export interface MemoryNumbers {
  readonly limitBytes: number
  readonly usedBytes: number
  /** Requests that wait for memory. */
  readonly waiting: number
}

/** Connections of one protocol. */
export interface ConnectionNumbers {
  readonly open: number
  /** Connections that were closed to make room for new ones. */
  readonly evicted: number
  /** Connections that were rejected because none could be closed. */
  readonly rejected: number
}

/** What this node sends to others, and what it lost to them. */
export interface NodeNumbers {
  readonly conflicts: number
  /** Lookups by outcome; missing without `--lookup`. */
  readonly lookups?: Readonly<Record<string, number>>
  /** Of a follower; null for others. */
  readonly following: { readonly url: string; readonly state: string; readonly received: number } | null
  readonly targets: readonly {
    readonly url: string
    readonly state: string
    readonly lagChanges: number | null
    readonly lagSeconds: number
    readonly sent: number
    readonly failures: number
    readonly setbacks: number
    /** Null where the target is not compared with this node. */
    readonly heal: HealNumbers | null
  }[]
}

/** A cache node: its responses, and its origins. What it holds is among the numbers of the read cache. */
export interface CacheNodeNumbers {
  /** By what the cache did. */
  readonly responses: Readonly<Record<string, number>>
  /** Seconds since it knew of all changes; infinite if it never did. */
  readonly lagSeconds: number
  readonly origins: readonly { readonly url: string; readonly state: string; readonly failures: number }[]
}

/** Comparisons with a target. */
interface HealNumbers {
  readonly failures: number
  readonly mended: number
  readonly undecided: number
  readonly lastRunMs: number | null
}

/** Lines of the audit log. */
export interface AuditNumbers {
  readonly written: number
  readonly lost: number
  readonly waitingBytes: number
}

/** What limits on clients of one protocol refused. */
export interface LimitNumbers {
  readonly rateLimited: number
  readonly wrongTokens: number
  /** Wrong tokens that were too many of one address. */
  readonly wrongTokensLimited: number
}

export interface Exposed {
  readonly contentType: string
  readonly text: string
}

/** The counters of requests and errors. */
export interface Counted {
  readonly routes: readonly RouteCounts[]
  /** By error code. */
  readonly errors: ReadonlyMap<string, number>
  /** By collection, at most `maxLabels` of them. */
  readonly damagedReads: ReadonlyMap<string, number>
  readonly loopDelaySeconds: Histogram
}

export interface RouteCounts {
  readonly method: string
  readonly route: string
  /** Responses by status, from 100 on. */
  readonly responses: Float64Array
  readonly seconds: Histogram
}

/** The first status and the length of the arrays of a route's responses. */
export const firstStatus = 100
export const statuses = 500

/** Yields the statuses of a route's responses with their counts, except those with 0. */
export function* statusesOf({ responses }: RouteCounts): Generator<[status: number, count: number]> {
  for (const [i, count] of responses.entries()) if (count > 0) yield [i + firstStatus, count]
}
