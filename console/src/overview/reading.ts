import { type Bucket, bucketsBetween, bucketsOf, quantileOf } from './histogram.ts'
import { type Labels, type Scrape, singleValue, sumOf } from './prometheus.ts'
import { type Safety, safetyOf } from './safety.ts'

/** What the overview takes from `/metrics`: numbers as they stand, and what lies between two scrapes. */

export interface Reading {
  readonly atMs: number
  /** When the server started; another one means that its counters began anew. */
  readonly startedMs: number
  readonly version: string
  readonly counters: Counters
  /** Of requests over HTTP, in seconds. */
  readonly latency: readonly Bucket[]
  readonly gauges: Gauges
  readonly membersByCollection: ReadonlyMap<string, number>
  readonly safety: Safety
}

/** What only grows while the server runs. */
interface Counters {
  readonly reads: number
  readonly writes: number
  /** Commands of memcached clients. */
  readonly commands: number
  readonly serverErrors: number
  readonly refused: number
  readonly cacheHits: number
  readonly cacheLookups: number
}

interface Gauges {
  readonly collections: number
  readonly members: number
  readonly bytes: number
  readonly memoryBytes: number | null
  readonly cacheBytes: number
  readonly connections: number
  readonly watches: number
}

/** What a chart shows of the time between two readings; null where that is not known. */
export interface Rates {
  readonly reads: number | null
  readonly writes: number | null
  readonly commands: number | null
  readonly serverErrors: number | null
  readonly refused: number | null
  /** From 0 to 1; null if nothing was read. */
  readonly hitShare: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

export interface Point {
  readonly atMs: number
  /** Null marks a gap: the page was hidden, or the server was started anew. */
  readonly reading: Reading | null
  readonly rates: Rates | null
}

/** What this page and machines that watch over the server ask for is no load. */
const ownRoutes =
  /^\/(console|metrics|healthz|readyz|docs|openapi\.json)(\/|$)|^\/v1\/_(nodes|engine|whoami)$/
const isOfClients = ({ route = '' }: Labels) => !ownRoutes.test(route)
const isRead = ({ method }: Labels) => method === 'GET' || method === 'HEAD'

/** That a member is missing is an ordinary response, and 499 is of a client that had gone. */
const ordinary = new Set(['404', '499'])
const isRefused = ({ status = '' }: Labels) => status.startsWith('4') && !ordinary.has(status)
const isServerError = ({ status = '' }: Labels) => status.startsWith('5')

export function readingOf(scrape: Scrape, atMs: number): Reading {
  return {
    atMs,
    startedMs: (singleValue(scrape, 'process_start_time_seconds') ?? 0) * 1000,
    version: scrape.get('kvist_info')?.[0]?.labels.version ?? '',
    counters: countersOf(scrape),
    latency: bucketsOf(scrape, 'request_latency_seconds', isOfClients),
    gauges: {
      collections: singleValue(scrape, 'kvist_collections') ?? 0,
      members: singleValue(scrape, 'kvist_members') ?? 0,
      bytes: singleValue(scrape, 'kvist_bytes') ?? 0,
      memoryBytes: singleValue(scrape, 'process_resident_memory_bytes'),
      cacheBytes: singleValue(scrape, 'kvist_cache_bytes') ?? 0,
      connections: sumOf(scrape, 'kvist_open_connections'),
      watches: sumOf(scrape, 'kvist_open_watches'),
    },
    membersByCollection: new Map(
      (scrape.get('kvist_collection_members') ?? []).map(({ labels, value }) => [
        labels.collection ?? '',
        value,
      ]),
    ),
    safety: safetyOf(scrape),
  }
}

function countersOf(scrape: Scrape): Counters {
  const requests = (counts: (labels: Labels) => boolean) =>
    sumOf(scrape, 'request_count', (labels) => isOfClients(labels) && counts(labels))
  const ofCacheNode = scrape.get('kvist_cache_of_responses_total')
  const hits = (name: string) => sumOf(scrape, name, ({ outcome }) => outcome === 'hits')
  const cacheHits =
    ofCacheNode === undefined
      ? sumOf(scrape, 'kvist_cache_hits_total')
      : hits('kvist_cache_of_responses_total')
  return {
    reads: requests(isRead),
    writes: requests((labels) => !isRead(labels)),
    // A meta command also counts under what it does.
    commands: sumOf(scrape, 'kvist_memcached_commands_total', ({ command }) => command !== 'meta'),
    serverErrors: requests(isServerError),
    refused: requests(isRefused),
    cacheHits,
    cacheLookups:
      ofCacheNode === undefined
        ? cacheHits + sumOf(scrape, 'kvist_cache_misses_total')
        : sumOf(scrape, 'kvist_cache_of_responses_total'),
  }
}

const unknown: Rates = {
  reads: null,
  writes: null,
  commands: null,
  serverErrors: null,
  refused: null,
  hitShare: null,
  p50Ms: null,
  p99Ms: null,
}

/** Readings that lie further apart than this say too little of the time in between. */
export const maxGapMs = 15_000

/** Returns what happened between two readings. All is unknown if the server was started anew, or too much time lies between. */
export function ratesBetween(before: Reading | undefined, after: Reading): Rates {
  if (before === undefined || isRestarted(before, after)) return unknown
  const seconds = (after.atMs - before.atMs) / 1000
  if (seconds <= 0 || seconds * 1000 > maxGapMs) return unknown
  const grown = (name: keyof Counters) => after.counters[name] - before.counters[name]
  const perSecond = (name: keyof Counters) => grown(name) / seconds
  const latency = bucketsBetween(before.latency, after.latency)
  const lookups = grown('cacheLookups')
  return {
    reads: perSecond('reads'),
    writes: perSecond('writes'),
    commands: perSecond('commands'),
    serverErrors: perSecond('serverErrors'),
    refused: perSecond('refused'),
    hitShare: lookups === 0 ? null : grown('cacheHits') / lookups,
    p50Ms: inMs(quantileOf(latency, 0.5)),
    p99Ms: inMs(quantileOf(latency, 0.99)),
  }
}

/** The time of the start is exact to a second, so a counter that shrank says it, too. */
export function isRestarted(before: Reading, after: Reading): boolean {
  const names = Object.keys(before.counters) as (keyof Counters)[]
  return (
    before.startedMs !== after.startedMs || names.some((name) => after.counters[name] < before.counters[name])
  )
}

function inMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1000
}
