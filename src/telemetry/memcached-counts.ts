/**
 * The counters of the memcached port, under their names in its `stats`; /metrics shows the same numbers
 * (exposition.ts). They only grow.
 */
export interface MemcachedCounts {
  total_connections: number
  /** Connections rejected because there were too many. */
  rejected_connections: number
  /** Connections closed because the client was idle for too long. */
  idle_kicks: number
  bytes_read: number
  bytes_written: number
  /** Keys read, by any command that returns values. */
  cmd_get: number
  get_hits: number
  get_misses: number
  /** Reads of members that have expired and were not swept yet, also those over HTTP. */
  get_expired: number
  /** Misses of flushed members that still exist: always 0, because kvist deletes them. */
  get_flushed: number
  cmd_set: number
  /** Values stored, including counters and members created by `mg`. */
  total_items: number
  /** Values rejected for their size. */
  store_too_large: number
  cmd_flush: number
  /** Keys named in `touch` and `gat`. */
  cmd_touch: number
  touch_hits: number
  touch_misses: number
  /** Meta commands; they also count under the operation that they perform. */
  cmd_meta: number
  delete_hits: number
  delete_misses: number
  incr_hits: number
  incr_misses: number
  decr_hits: number
  decr_misses: number
  cas_hits: number
  cas_misses: number
  /** `cas` commands whose revision was outdated. */
  cas_badval: number
  auth_cmds: number
  auth_errors: number
}

export function memcachedCounts(): MemcachedCounts {
  return {
    total_connections: 0,
    rejected_connections: 0,
    idle_kicks: 0,
    bytes_read: 0,
    bytes_written: 0,
    cmd_get: 0,
    get_hits: 0,
    get_misses: 0,
    get_expired: 0,
    get_flushed: 0,
    cmd_set: 0,
    total_items: 0,
    store_too_large: 0,
    cmd_flush: 0,
    cmd_touch: 0,
    touch_hits: 0,
    touch_misses: 0,
    cmd_meta: 0,
    delete_hits: 0,
    delete_misses: 0,
    incr_hits: 0,
    incr_misses: 0,
    decr_hits: 0,
    decr_misses: 0,
    cas_hits: 0,
    cas_misses: 0,
    cas_badval: 0,
    auth_cmds: 0,
    auth_errors: 0,
  }
}

/** A counter of /metrics: one of the numbers, or several under the label `command`. */
export interface MemcachedCounter {
  readonly name: string
  readonly help: string
  readonly of: keyof MemcachedCounts | Readonly<Record<string, keyof MemcachedCounts>>
}

export const memcachedCounters: readonly MemcachedCounter[] = [
  {
    name: 'kvist_memcached_commands_total',
    help: 'Commands of memcached clients; of get every key counts, meta counts beside what it does',
    of: { get: 'cmd_get', set: 'cmd_set', touch: 'cmd_touch', flush_all: 'cmd_flush', meta: 'cmd_meta' },
  },
  {
    name: 'kvist_memcached_hits_total',
    help: 'Keys of memcached commands that were there',
    of: {
      get: 'get_hits',
      touch: 'touch_hits',
      delete: 'delete_hits',
      incr: 'incr_hits',
      decr: 'decr_hits',
      cas: 'cas_hits',
    },
  },
  {
    name: 'kvist_memcached_misses_total',
    help: 'Keys of memcached commands that were not there',
    of: {
      get: 'get_misses',
      touch: 'touch_misses',
      delete: 'delete_misses',
      incr: 'incr_misses',
      decr: 'decr_misses',
      cas: 'cas_misses',
    },
  },
  {
    name: 'kvist_memcached_cas_conflicts_total',
    help: 'cas commands that came too late: somebody else had written',
    of: 'cas_badval',
  },
  {
    name: 'kvist_memcached_logins_total',
    help: 'Tries of memcached clients to log in',
    of: 'auth_cmds',
  },
  {
    name: 'kvist_memcached_failed_logins_total',
    help: 'Tries of memcached clients to log in with a wrong token',
    of: 'auth_errors',
  },
  {
    name: 'kvist_memcached_connections_total',
    help: 'Connections of memcached clients that were taken',
    of: 'total_connections',
  },
  {
    name: 'kvist_memcached_rejected_connections_total',
    help: 'Connections of memcached clients that were one too many',
    of: 'rejected_connections',
  },
  {
    name: 'kvist_memcached_timed_out_connections_total',
    help: 'Connections of memcached clients that were silent for too long',
    of: 'idle_kicks',
  },
  {
    name: 'kvist_memcached_received_bytes_total',
    help: 'Bytes from memcached clients',
    of: 'bytes_read',
  },
  {
    name: 'kvist_memcached_sent_bytes_total',
    help: 'Bytes to memcached clients',
    of: 'bytes_written',
  },
]
