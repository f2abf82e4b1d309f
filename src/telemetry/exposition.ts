import client from 'prom-client'
import type { Database } from '../core/database.ts'
import type { Histogram } from '../core/histogram.ts'
import { collectionLabels, type LabelledCollections } from './collection-labels.ts'
import { type MemcachedCounter, memcachedCounters } from './memcached-counts.ts'
import {
  type CacheNodeNumbers,
  type ConnectionNumbers,
  type Counted,
  type Exposed,
  type LimitNumbers,
  type MemoryNumbers,
  type MetricSources,
  statusesOf,
} from './metric-sources.ts'
import { SummedHistogram } from './summed-histogram.ts'
import type { WatchKind } from './watch-counts.ts'

/** The data of one scrape; each source is read once. */
interface Scrape {
  readonly sources: MetricSources
  readonly stats: ReturnType<Database['stats']>
  readonly collections: LabelledCollections
}

interface Sample<Value> {
  readonly labels: Record<string, string | number>
  readonly value: Value
}

interface Metric<Value> {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly read: (scrape: Scrape, counted: Counted) => Value | readonly Sample<Value>[]
}

const counters: readonly Metric<number>[] = [
  {
    name: 'request_count',
    help: 'Requests responded to; HEAD counts as GET, and 499 means that the client had gone',
    labels: ['method', 'route', 'status'],
    read: (_scrape, { routes }) =>
      routes.flatMap((counts) =>
        Array.from(statusesOf(counts), ([status, value]) => {
          return { labels: { method: counts.method, route: counts.route, status }, value }
        }),
      ),
  },
  {
    name: 'internal_error_count',
    help: "Errors that are kvist's fault, in requests or in the background",
    labels: ['code'],
    read: (_scrape, { errors }) => Array.from(errors, ([code, value]) => ({ labels: { code }, value })),
  },
  {
    name: 'kvist_damaged_reads_total',
    help: 'Reads refused because what is stored is not what was written; _store where it cannot be said whose it is',
    labels: ['collection'],
    read: (_scrape, { damagedReads }) =>
      Array.from(damagedReads, ([name, value]) => ofCollection(name, value)),
  },
  {
    name: 'kvist_commits_total',
    help: 'Commits made',
    read: ({ stats }) => stats.engine.commits,
  },
  {
    name: 'kvist_failed_checks_total',
    help: "Commits refused because a member had changed; many mean that writers get in each other's way",
    read: ({ stats }) => stats.engine.failedChecks,
  },
  {
    name: 'kvist_writes_total',
    help: 'Members written or deleted',
    read: ({ stats }) => stats.engine.writes,
  },
  {
    name: 'kvist_expired_total',
    help: 'Members taken away because their time was over',
    read: ({ stats }) => stats.swept,
  },
  {
    name: 'kvist_renewed_total',
    help: 'Members that live on because they were read, where expiry slides; they count as written as well',
    read: ({ stats }) => stats.renewed,
  },
  {
    name: 'kvist_watch_events_total',
    help: 'Events sent to watchers over HTTP; of polls, responses with something new',
    labels: ['kind'],
    read: ({ sources }) => ofKinds(sources.watches.events),
  },
  {
    name: 'kvist_watch_fallbacks_total',
    help: 'Times that a watcher read too slowly and was sent to read from the store',
    read: ({ stats }) => stats.watch.fallbacks,
  },
  { name: 'kvist_cache_hits_total', help: 'Reads that the cache had', read: ({ stats }) => stats.cache.hits },
  {
    name: 'kvist_cache_misses_total',
    help: 'Reads that the cache did not have',
    read: ({ stats }) => stats.cache.misses,
  },
  {
    name: 'kvist_cache_evictions_total',
    help: 'Members that left the cache to make room for others',
    read: ({ stats }) => stats.cache.evictions,
  },
  ...memcachedCounters.map(memcachedRow),
  {
    name: 'kvist_evicted_connections_total',
    help: 'Idle connections that were closed to make room for others',
    labels: ['protocol'],
    read: ({ sources }) => ofProtocols(sources, ({ evicted }) => evicted),
  },
  {
    name: 'kvist_rejected_connections_total',
    help: 'Connections that were turned away because there were too many and none was idle',
    labels: ['protocol'],
    read: ({ sources }) => ofProtocols(sources, ({ rejected }) => rejected),
  },
  {
    name: 'kvist_rate_limited_total',
    help: 'Requests and commands refused because their token or address sent too many of them',
    labels: ['protocol'],
    read: ({ sources }) => limitsOf(sources, ({ rateLimited }) => rateLimited),
  },
  {
    name: 'kvist_wrong_tokens_total',
    help: 'Requests and logins with a token that is not valid',
    labels: ['protocol'],
    read: ({ sources }) => limitsOf(sources, ({ wrongTokens }) => wrongTokens),
  },
  {
    name: 'kvist_wrong_tokens_limited_total',
    help: 'Those of them that were refused because their address had sent too many wrong tokens',
    labels: ['protocol'],
    read: ({ sources }) => limitsOf(sources, ({ wrongTokensLimited }) => wrongTokensLimited),
  },
  {
    name: 'kvist_audit_lines_total',
    help: 'Lines written to the audit log',
    read: ({ sources }) => sources.audit?.written ?? [],
  },
  {
    name: 'kvist_audit_lost_lines_total',
    help: 'Lines that the audit log lacks because its disk did not take them in time',
    read: ({ sources }) => sources.audit?.lost ?? [],
  },
  {
    name: 'kvist_backups_total',
    help: 'Backups to the folder of --backup-to, by outcome',
    labels: ['outcome'],
    read: ({ sources: { backups } }) =>
      backups === undefined
        ? []
        : [
            { labels: { outcome: 'success' }, value: backups.successes },
            { labels: { outcome: 'failure' }, value: backups.failures },
          ],
  },
  {
    name: 'kvist_archive_failures_total',
    help: 'Attempts to write to the archive that failed',
    read: ({ sources }) => sources.archive?.failures ?? [],
  },
  {
    name: 'kvist_archive_dropped_revisions_total',
    help: 'Changes that the archive lacks because it could not be written for too long',
    read: ({ sources }) => sources.archive?.droppedRevisions ?? [],
  },
  {
    name: 'kvist_mirror_sent_total',
    help: 'Changes sent to a target',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ sent }) => sent),
  },
  {
    name: 'kvist_mirror_failures_total',
    help: 'Attempts to send changes to a target that failed',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ failures }) => failures),
  },
  {
    name: 'kvist_cache_of_responses_total',
    help: 'Responses of a cache node, by what it did',
    labels: ['outcome'],
    read: ({ sources }) =>
      Object.entries(sources.cacheOf?.responses ?? {}).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      })),
  },
  {
    name: 'kvist_origin_failures_total',
    help: 'How often the changes of an origin could not be read',
    labels: ['origin'],
    read: ({ sources }) => ofOrigins(sources, ({ failures }) => failures),
  },
  {
    name: 'kvist_mirror_setbacks_total',
    help: 'How often a target had less than before, as after it was put back from an older copy',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ setbacks }) => setbacks),
  },
  {
    name: 'kvist_heal_mended_total',
    help: 'Members of a target that were mended',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ heal }) => heal?.mended ?? null),
  },
  {
    name: 'kvist_heal_failures_total',
    help: 'Comparisons with a target that failed',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ heal }) => heal?.failures ?? null),
  },
  {
    name: 'kvist_conflicts_total',
    help: 'Versions lost because two nodes wrote the same member at once',
    read: ({ sources }) => sources.nodes.conflicts,
  },
  {
    name: 'kvist_redis_events_total',
    help: 'Events between this server and those of Redis',
    labels: ['event'],
    read: ({ sources }) =>
      Object.entries(sources.redis ?? {}).map(([event, value]) => ({ labels: { event }, value })),
  },
  {
    name: 'kvist_following_received_total',
    help: 'Changes that a follower received from its leader',
    labels: ['leader'],
    read: ({ sources }) => ofLeader(sources, ({ received }) => received),
  },
  {
    name: 'kvist_lookups_total',
    help: 'Members that other nodes were asked for; unknown: not all of them answered',
    labels: ['outcome'],
    read: ({ sources }) =>
      Object.entries(sources.nodes.lookups ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
  },
]

const gauges: readonly Metric<number>[] = [
  {
    name: 'kvist_info',
    help: 'Which kvist this is',
    labels: ['version'],
    read: ({ sources }) => [{ labels: { version: sources.version }, value: 1 }],
  },
  { name: 'kvist_collections', help: 'Collections', read: ({ collections }) => collections.count },
  {
    name: 'kvist_members',
    help: 'Members in all collections',
    read: ({ collections }) => collections.members,
  },
  {
    name: 'kvist_bytes',
    help: 'Bytes of the keys and values of all members',
    read: ({ collections }) => collections.bytes,
  },
  {
    name: 'kvist_collection_members',
    help: 'Members of a collection; of the first 100 that were met, and of _others together',
    labels: ['collection'],
    read: ({ collections }) => collections.labelled.map(({ name, members }) => ofCollection(name, members)),
  },
  {
    name: 'kvist_collection_bytes',
    help: 'Bytes of the keys and values of a collection; labels as of kvist_collection_members',
    labels: ['collection'],
    read: ({ collections }) => collections.labelled.map(({ name, bytes }) => ofCollection(name, bytes)),
  },
  {
    name: 'kvist_origin_followed',
    help: '1 if the changes of the origin are followed: requests go there',
    labels: ['origin'],
    read: ({ sources }) => ofOrigins(sources, ({ state }) => (state === 'followed' ? 1 : 0)),
  },
  {
    name: 'kvist_cache_of_lag_seconds',
    help: 'Seconds since a cache node knew of all changes of its origin',
    read: ({ sources }) => sources.cacheOf?.lagSeconds ?? [],
  },
  {
    name: 'kvist_cache_entries',
    help: 'Members in the cache',
    read: ({ stats }) => stats.cache.entries,
  },
  { name: 'kvist_cache_bytes', help: 'Bytes that the cache takes', read: ({ stats }) => stats.cache.bytes },
  {
    name: 'kvist_cache_limit_bytes',
    help: 'Bytes that the cache may take',
    read: ({ sources }) => sources.cacheLimitBytes,
  },
  {
    name: 'kvist_open_requests',
    help: 'Requests being handled, watchers among them',
    read: ({ sources }) => sources.openRequests(),
  },
  {
    name: 'kvist_open_watches',
    help: 'Who watches over HTTP: streams of a member, of a collection, or of all there is, and long polls',
    labels: ['kind'],
    read: ({ sources }) => ofKinds(sources.watches.open),
  },
  {
    name: 'kvist_open_connections',
    help: 'Connections of clients',
    labels: ['protocol'],
    read: ({ sources }) => ofProtocols(sources, ({ open }) => open),
  },
  {
    name: 'kvist_request_memory_bytes',
    help: 'Memory that large values, pages and bodies on their way to and from clients use',
    labels: ['purpose'],
    read: ({ sources }) => ofPurposes(sources, ({ usedBytes }) => usedBytes),
  },
  {
    name: 'kvist_request_memory_limit_bytes',
    help: 'Memory that they may use; a request that would pass it waits',
    labels: ['purpose'],
    read: ({ sources }) => ofPurposes(sources, ({ limitBytes }) => limitBytes),
  },
  {
    name: 'kvist_requests_waiting_for_memory',
    help: 'Requests that wait for their turn to have such memory',
    labels: ['purpose'],
    read: ({ sources }) => ofPurposes(sources, ({ waiting }) => waiting),
  },
  {
    name: 'kvist_max_connections',
    help: 'Connections that there may be in all',
    read: ({ sources }) => sources.maxConnections,
  },
  {
    name: 'kvist_audit_waiting_bytes',
    help: 'Bytes that wait to be written to the audit log',
    read: ({ sources }) => sources.audit?.waitingBytes ?? [],
  },
  {
    name: 'kvist_backup_last_success_timestamp_seconds',
    help: 'When the newest backup of the folder was taken, in seconds since 1970; 0 for never',
    labels: ['folder'],
    read: ({ sources: { backups } }) =>
      backups === undefined
        ? []
        : [{ labels: { folder: backups.folder }, value: backups.lastSuccessMs / 1000 }],
  },
  {
    name: 'kvist_backup_last_duration_seconds',
    help: 'How long the last backup of this server took',
    read: ({ sources: { backups } }) => backups?.lastSeconds ?? [],
  },
  {
    name: 'kvist_backup_last_bytes',
    help: 'Size of the last backup of this server',
    read: ({ sources: { backups } }) => backups?.lastBytes ?? [],
  },
  {
    name: 'kvist_archive_revision',
    help: 'The last change that the archive has',
    read: ({ sources }) => sources.archive?.archivedRevision ?? [],
  },
  {
    name: 'kvist_archive_lag_seconds',
    help: 'Age of the oldest change that the archive lacks',
    read: ({ sources }) => sources.archive?.lagSeconds ?? [],
  },
  {
    name: 'kvist_archive_waiting_bytes',
    help: 'Bytes of the log that wait in the data folder for the archive',
    read: ({ sources }) => sources.archive?.waitingBytes ?? [],
  },
  {
    name: 'kvist_archive_waiting_segments',
    help: 'Segments of the log that wait in the data folder for the archive',
    read: ({ sources }) => sources.archive?.waitingSegments ?? [],
  },
  {
    name: 'kvist_archive_failing',
    help: '1 while the archive cannot be written',
    read: ({ sources }) => (sources.archive === undefined ? [] : sources.archive.isFailing ? 1 : 0),
  },
  {
    name: 'kvist_mirror_lag_changes',
    help: 'Changes that a target lacks; missing until it has had everything once since the start',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ lagChanges }) => lagChanges),
  },
  {
    name: 'kvist_mirror_lag_seconds',
    help: 'Age of the oldest change that a target lacks',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ lagSeconds }) => lagSeconds),
  },
  {
    name: 'kvist_heal_undecided',
    help: 'Members that only a target or this node has, and that the other may have deleted',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ heal }) => heal?.undecided ?? null),
  },
  {
    name: 'kvist_heal_last_run_timestamp_seconds',
    help: 'When a target was last compared with this node; missing for never since the start',
    labels: ['target'],
    read: ({ sources }) =>
      ofTargets(sources, ({ heal }) => (heal?.lastRunMs == null ? null : heal.lastRunMs / 1000)),
  },
  {
    name: 'kvist_mirror_current',
    help: '1 if a target has every change, 0 otherwise',
    labels: ['target'],
    read: ({ sources }) => ofTargets(sources, ({ state }) => (state === 'current' ? 1 : 0)),
  },
  {
    name: 'kvist_following_current',
    help: '1 if a follower has every change of its leader, 0 otherwise',
    labels: ['leader'],
    read: ({ sources }) => ofLeader(sources, ({ state }) => (state === 'current' ? 1 : 0)),
  },
]

const histograms: readonly Metric<Histogram>[] = [
  {
    name: 'request_latency_seconds',
    help: 'Time from a request to its response; of a streamed response, to its beginning',
    labels: ['method', 'route'],
    read: (_scrape, { routes }) =>
      routes
        .filter(({ seconds }) => seconds.counts.some((count) => count > 0))
        .map(({ method, route, seconds }) => ({ labels: { method, route }, value: seconds })),
  },
  {
    name: 'kvist_commit_group_size',
    help: 'Commits that went to disk together',
    read: ({ stats }) => stats.engine.groupCommits,
  },
  {
    name: 'kvist_fsync_seconds',
    help: 'Time that a sync to disk took',
    read: ({ stats }) => stats.engine.syncSeconds,
  },
  {
    name: 'kvist_eventloop_delay_seconds',
    help: 'How late a timer was, every 20 ms since the first scrape: requests wait as long',
    read: (_scrape, { loopDelaySeconds }) => loopDelaySeconds,
  },
]

/** Returns a metric of the memcached port, without samples when there is none. */
function memcachedRow({ name, help, of }: MemcachedCounter): Metric<number> {
  const labels = typeof of === 'string' ? [] : ['command']
  return {
    name,
    help,
    labels,
    read({ sources: { memcached } }) {
      if (memcached === undefined) return []
      if (typeof of === 'string') return memcached[of]
      return Object.entries(of).map(([command, count]) => ({ labels: { command }, value: memcached[count] }))
    },
  }
}

function ofCollection(collection: string, value: number): Sample<number> {
  return { labels: { collection }, value }
}

function ofProtocols(
  { connections }: MetricSources,
  select: (numbers: ConnectionNumbers) => number,
): Sample<number>[] {
  return byProtocol(connections, select)
}

function ofTargets(
  { nodes }: MetricSources,
  read: (target: MetricSources['nodes']['targets'][number]) => number | null,
) {
  return nodes.targets.flatMap((target) => {
    const value = read(target)
    return value === null ? [] : [{ labels: { target: target.url }, value }]
  })
}

function ofLeader(
  { nodes: { following } }: MetricSources,
  read: (following: NonNullable<MetricSources['nodes']['following']>) => number,
): Sample<number>[] {
  return following === null ? [] : [{ labels: { leader: following.url }, value: read(following) }]
}

function ofOrigins(
  { cacheOf }: MetricSources,
  read: (origin: CacheNodeNumbers['origins'][number]) => number,
): Sample<number>[] {
  return (cacheOf?.origins ?? []).map((origin) => ({ labels: { origin: origin.url }, value: read(origin) }))
}

function limitsOf({ limits }: MetricSources, select: (numbers: LimitNumbers) => number): Sample<number>[] {
  return byProtocol(limits, select)
}

function byProtocol<Numbers>(
  all: Readonly<Record<string, Numbers>>,
  select: (numbers: Numbers) => number,
): Sample<number>[] {
  return Object.entries(all).map(([protocol, numbers]) => ({ labels: { protocol }, value: select(numbers) }))
}

function ofPurposes(
  { requestMemory }: MetricSources,
  select: (numbers: MemoryNumbers) => number,
): Sample<number>[] {
  return Object.entries(requestMemory).map(([purpose, numbers]) => ({
    labels: { purpose },
    value: select(numbers),
  }))
}

function ofKinds(counts: Readonly<Record<WatchKind, number>>): Sample<number>[] {
  return Object.entries(counts).map(([kind, value]) => ({ labels: { kind }, value }))
}

/** prom-client's own metrics that are meaningless or wrong under Bun. */
const sayNothing = [
  'process_heap_bytes', // address space, gigabytes of which are reserved and never used
  'process_virtual_memory_bytes',
  'nodejs_gc_duration_seconds',
  ...['', '_min', '_max', '_mean', '_stddev', '_p50', '_p90', '_p99'].map(
    (part) => `nodejs_eventloop_lag${part}_seconds`,
  ),
  'nodejs_active_resources',
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  'nodejs_heap_space_size_total_bytes',
  'nodejs_heap_space_size_used_bytes',
  'nodejs_heap_space_size_available_bytes',
]

/** Registers all metrics, and prom-client's own of process and event loop. Returns a function that renders them. */
export function exposition(counted: Counted): (sources: MetricSources) => Promise<Exposed> {
  const registry = new client.Registry()
  const labelsOf = collectionLabels()
  let scrape: Scrape | undefined

  function samplesOf<Value>({ read }: Metric<Value>): readonly Sample<Value>[] {
    if (scrape === undefined) return []
    const found = read(scrape, counted)
    return isSamples(found) ? found : [{ labels: {}, value: found }]
  }

  function shared(metric: Metric<unknown>) {
    return {
      name: metric.name,
      help: metric.help,
      labelNames: [...(metric.labels ?? [])],
      registers: [registry],
    }
  }

  for (const metric of counters) {
    new client.Counter({
      ...shared(metric),
      collect() {
        this.reset()
        for (const { labels, value } of samplesOf(metric)) this.inc(labels, value)
      },
    })
  }
  for (const metric of gauges) {
    new client.Gauge({
      ...shared(metric),
      collect() {
        this.reset()
        for (const { labels, value } of samplesOf(metric)) this.set(labels, value)
      },
    })
  }
  for (const metric of histograms) new SummedHistogram(shared(metric), () => samplesOf(metric))
  client.collectDefaultMetrics({ register: registry })
  for (const name of sayNothing) registry.removeSingleMetric(name)

  return async (sources) => {
    const collections = await labelsOf(() => sources.database.collections())
    scrape = { sources, stats: sources.database.stats(), collections }
    return { contentType: registry.contentType, text: await registry.metrics() }
  }
}

function isSamples<Value>(found: Value | readonly Sample<Value>[]): found is readonly Sample<Value>[] {
  return Array.isArray(found)
}
