/** What is watched over HTTP; `poll` is a member in a long poll. */
export type WatchKind = 'member' | 'collection' | 'store' | 'poll'

/** The counters of watches over HTTP, shown by /metrics (exposition.ts). */
export interface WatchCounts {
  /** Open now. */
  readonly open: Record<WatchKind, number>
  /** Events sent in streams; for polls, responses with a new state. */
  readonly events: Record<WatchKind, number>
}

export function watchCounts(): WatchCounts {
  const zeros = () => ({ member: 0, collection: 0, store: 0, poll: 0 })
  return { open: zeros(), events: zeros() }
}
