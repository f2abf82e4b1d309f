import { type MemcachedCounter, memcachedCounters } from './memcached-counts.ts'
import {
  type Metric,
  ofCollection,
  ofKinds,
  ofLeader,
  ofLimits,
  ofOrigins,
  ofProtocols,
  ofTargets,
} from './metric.ts'
import { statusesOf } from './metric-sources.ts'

/** The metrics that only grow. */
export const counters: readonly Metric<number>[] = [
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
    ...ofProtocols(({ evicted }) => evicted),
  },
  {
    name: 'kvist_rejected_connections_total',
    help: 'Connections that were turned away because there were too many and none was idle',
    ...ofProtocols(({ rejected }) => rejected),
  },
  {
    name: 'kvist_rate_limited_total',
    help: 'Requests and commands refused because their token or address sent too many of them',
    ...ofLimits(({ rateLimited }) => rateLimited),
  },
  {
    name: 'kvist_wrong_tokens_total',
    help: 'Requests and logins with a token that is not valid',
    ...ofLimits(({ wrongTokens }) => wrongTokens),
  },
  {
    name: 'kvist_wrong_tokens_limited_total',
    help: 'Those of them that were refused because their address had sent too many wrong tokens',
    ...ofLimits(({ wrongTokensLimited }) => wrongTokensLimited),
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
    ...ofTargets(({ sent }) => sent),
  },
  {
    name: 'kvist_mirror_failures_total',
    help: 'Attempts to send changes to a target that failed',
    ...ofTargets(({ failures }) => failures),
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
    ...ofOrigins(({ failures }) => failures),
  },
  {
    name: 'kvist_mirror_setbacks_total',
    help: 'How often a target had less than before, as after it was put back from an older copy',
    ...ofTargets(({ setbacks }) => setbacks),
  },
  {
    name: 'kvist_heal_mended_total',
    help: 'Members of a target that were mended',
    ...ofTargets(({ heal }) => heal?.mended ?? null),
  },
  {
    name: 'kvist_heal_failures_total',
    help: 'Comparisons with a target that failed',
    ...ofTargets(({ heal }) => heal?.failures ?? null),
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
    ...ofLeader(({ received }) => received),
  },
  {
    name: 'kvist_lookups_total',
    help: 'Members that other nodes were asked for; unknown: not all of them responded',
    labels: ['outcome'],
    read: ({ sources }) =>
      Object.entries(sources.nodes.lookups ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
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
