import type { Database } from '../core/database.ts'
import type { Histogram } from '../core/histogram.ts'
import type { MemcachedCounts } from './memcached-counts.ts'
import type { WatchCounts } from './watch-counts.ts'

/** What `/metrics` is made from: what was counted of requests and errors, and what knows the rest. */

/** Sources of numbers that exist without metrics. */
export interface MetricSources {
  readonly version: string
  readonly cacheLimitBytes: number
  readonly database: Pick<Database, 'collections' | 'stats'>
  /** HTTP requests whose responses are not complete yet. */
  openRequests(): number
  readonly watches: WatchCounts
  readonly requestMemory: Readonly<Record<string, MemoryNumbers>>
  readonly maxConnections: number
  /** By protocol. */
  readonly connections: Readonly<Record<string, ConnectionNumbers>>
  /** Missing where there is no memcached port. */
  readonly memcached?: MemcachedCounts
}

/** Memory of requests and responses for one purpose. */
export interface MemoryNumbers {
  readonly limitBytes: number
  readonly usedBytes: number
  /** Requests that wait for some. */
  readonly waiting: number
}

/** Connections of one protocol. */
export interface ConnectionNumbers {
  readonly open: number
  /** Idle ones that were closed to make room for others. */
  readonly evicted: number
  /** Those that were turned away because none was idle. */
  readonly rejected: number
}

export interface Exposed {
  readonly contentType: string
  readonly text: string
}

/** What has been counted. */
export interface Counted {
  readonly routes: readonly RouteCounts[]
  /** By error code. */
  readonly errors: ReadonlyMap<string, number>
  /** By collection, of a bounded number of them. */
  readonly damagedReads: ReadonlyMap<string, number>
}

export interface RouteCounts {
  readonly method: string
  readonly route: string
  /** Of each status, from 100 on. */
  readonly responses: Float64Array
  readonly seconds: Histogram
}

/** Of the arrays of a route's responses. */
export const firstStatus = 100
export const statuses = 500

/** The statuses that were responded to, with how often. */
export function* statusesOf({ responses }: RouteCounts): Generator<[status: number, count: number]> {
  for (const [i, count] of responses.entries()) if (count > 0) yield [i + firstStatus, count]
}
