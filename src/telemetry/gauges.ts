import {
  type Metric,
  ofCollection,
  ofKinds,
  ofLeader,
  ofOrigins,
  ofProtocols,
  ofPurposes,
  ofTargets,
} from './metric.ts'

/** The metrics that rise and fall. */
export const gauges: readonly Metric<number>[] = [
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
    name: 'kvist_indexes',
    help: 'Indexes of all collections by state; failed: members have the same values in a unique one',
    labels: ['state'],
    read: ({ stats: { indexes } }) =>
      (['building', 'ready', 'failed'] as const).map((state) => ({
        labels: { state },
        value: indexes[state],
      })),
  },
  {
    name: 'kvist_index_examined_members',
    help: 'Members that the builds of indexes under way have examined',
    read: ({ stats }) => stats.indexes.examined,
  },
  {
    name: 'kvist_origin_followed',
    help: '1 if the changes of the origin are followed: requests go there',
    ...ofOrigins(({ state }) => (state === 'followed' ? 1 : 0)),
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
    ...ofProtocols(({ open }) => open),
  },
  {
    name: 'kvist_request_memory_bytes',
    help: 'Memory that large values, pages and bodies on their way to and from clients use',
    ...ofPurposes(({ usedBytes }) => usedBytes),
  },
  {
    name: 'kvist_request_memory_limit_bytes',
    help: 'Memory that they may use; a request that would pass it waits',
    ...ofPurposes(({ limitBytes }) => limitBytes),
  },
  {
    name: 'kvist_requests_waiting_for_memory',
    help: 'Requests that wait for their turn to have such memory',
    ...ofPurposes(({ waiting }) => waiting),
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
    ...ofTargets(({ lagChanges }) => lagChanges),
  },
  {
    name: 'kvist_mirror_lag_seconds',
    help: 'Age of the oldest change that a target lacks',
    ...ofTargets(({ lagSeconds }) => lagSeconds),
  },
  {
    name: 'kvist_heal_undecided',
    help: 'Members that only a target or this node has, and that the other may have deleted',
    ...ofTargets(({ heal }) => heal?.undecided ?? null),
  },
  {
    name: 'kvist_heal_last_run_timestamp_seconds',
    help: 'When a target was last compared with this node; missing for never since the start',
    ...ofTargets(({ heal }) => (heal?.lastRunMs == null ? null : heal.lastRunMs / 1000)),
  },
  {
    name: 'kvist_mirror_current',
    help: '1 if a target has every change, 0 otherwise',
    ...ofTargets(({ state }) => (state === 'current' ? 1 : 0)),
  },
  {
    name: 'kvist_following_current',
    help: '1 if a follower has every change of its leader, 0 otherwise',
    ...ofLeader(({ state }) => (state === 'current' ? 1 : 0)),
  },
]
