import type { Maybe, ResumePoint } from './engine.ts'
import type { Change } from './member.ts'
import type { Pattern } from './pattern.ts'

/** What a reader of the feed asks for; everything null is the whole store. Collections of kvist's own are never in it. */
export interface Scope {
  readonly collection: string | null
  /** One member of the collection; prefix and filter are null then. */
  readonly key: string | null
  readonly prefix: string | null
  /** On the key. */
  readonly filter: Pattern | null
}

/** A change as readers are told of it. Watchers share these objects, so that what is made of one is made once. */
export interface WatchEvent {
  readonly change: Change
  /** Where a reader stands who has seen it. */
  readonly point: ResumePoint
}

/**
 * Events in order; or `reset`: the point that the reader stood at is older than what the feed still has, so what it
 * knows may be stale, and everything that exists follows.
 */
export type WatchBatch =
  | { readonly type: 'events'; readonly events: readonly WatchEvent[] }
  | { readonly type: 'reset'; readonly oldest: ResumePoint }

/** One who watches. Never holds more than a bounded part of what it was not asked for yet. */
export interface Watcher {
  /**
   * What is new, at most a page. Null when there is nothing: `wake` is called, once, when there is. Rejects or throws
   * as reads do.
   */
  read(): Maybe<WatchBatch | null>
  /** Where the reader stands that has handled all that it read. */
  point(): ResumePoint
  close(): void
}
