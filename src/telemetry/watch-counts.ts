/** What is watched over HTTP; `poll` is a member that somebody waits for without a stream. */
export type WatchKind = 'member' | 'collection' | 'store' | 'poll'

/** What the watches over HTTP count; /metrics shows it (exposition.ts). */
export interface WatchCounts {
  /** Open now. */
  readonly open: Record<WatchKind, number>
  /** Events that went into streams; of polls, those that returned something new. */
  readonly events: Record<WatchKind, number>
}

export function watchCounts(): WatchCounts {
  const zeros = () => ({ member: 0, collection: 0, store: 0, poll: 0 })
  return { open: zeros(), events: zeros() }
}
