/** What a cache node has done with requests, since its start. */
export interface CacheCounts {
  /** Served from memory. */
  hits: number
  /** Members that the origin was asked for. */
  misses: number
  /** Asked for, and the origin said that what is held is still right. */
  revalidated: number
  /** Served from the response to another client's request that was on its way. */
  collapsed: number
  /** Served while no origin responded. */
  stale: number
  /** Passed on without the cache: writes, lists, watches. */
  passed: number
  /** Refused because no origin responded. */
  unavailable: number
}

export function cacheCounts(): CacheCounts {
  return { hits: 0, misses: 0, revalidated: 0, collapsed: 0, stale: 0, passed: 0, unavailable: 0 }
}
