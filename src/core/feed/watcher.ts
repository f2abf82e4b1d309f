import type { FeedCursor, MaybePromise } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { maxPageBytes } from '../limits.ts'
import { type Change, keyOf, revisionOf } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import { expireSkipped, expiryRef, type FeedSource, type FeedStep, feedStep } from './pages.ts'
import { type FeedEvent, matchesKey, type Scope, valueLength } from './scope.ts'

/**
 * Events in order; or `large`: the value of the next event does not fit in what was asked for, and `event` is that event
 * where it is in memory already; or `reset`: the reader's cursor is older than what the feed still has, so what it
 * knows may be stale, and everything that exists follows.
 */
export type WatchBatch =
  | { readonly type: 'events'; readonly events: readonly FeedEvent[] }
  | { readonly type: 'large'; readonly event: FeedEvent | null }
  | { readonly type: 'reset'; readonly oldest: FeedCursor }

/** A reader of the feed that is woken when there is news. It never buffers more than a bounded part of that. */
export interface Watcher {
  /**
   * Returns what is new, with values of at most `maxBytes`; null when there is nothing: `wake` is called, once, when there
   * is. Rejects or throws as reads do, and may be called again then. One call at a time.
   */
  read(maxBytes?: number): MaybePromise<WatchBatch | null>
  /**
   * The cursor of a reader that has handled all that it read. It advances while nothing in the scope changes, so that a
   * reader that resumes later has little to read.
   */
  cursor(): FeedCursor
  /** From here on `wake` is not called, and `read` returns null. */
  close(): void
}

export interface WatchStats {
  /** Open now. */
  watchers: number
  /** Delivered to all watchers. */
  events: number
  /** How often a watcher read too slowly for its queue and was sent to read from the store. */
  fallbacks: number
}

/** What may be queued; what is more is read from the store. */
export interface WatchBounds {
  /** Of one watcher. */
  readonly events: number
  /** Of one watcher; a single event may be larger. */
  readonly bytes: number
  /** Of all watchers together; an event in several queues counts once. */
  readonly totalBytes: number
}

/** About what an event takes beside its value and key, and a slot in a queue. */
const eventBytes = 400
const slotBytes = 8

/** Events on a page of the feed for a watcher that catches up. */
const pageEvents = 1000

/** An event that is queued, and in how many queues. */
interface Queued extends FeedEvent {
  readonly bytes: number
  queues: number
}

export function queuedEvent(change: Change, cursor: FeedCursor): Queued {
  return { change, cursor, bytes: valueLength(change) + keyOf(change).length + eventBytes, queues: 0 }
}

/**
 * `behind`: reads the feed as fast as its client reads, nothing is queued. `joining`: a page is being read that may be the last,
 * what is committed meanwhile is queued. `live`: everything not delivered yet is in the queue.
 */
type State = 'behind' | 'joining' | 'live' | 'closed'

/** `armed`: the last read returned nothing. `due`: it is about to be woken. */
type Signal = 'none' | 'armed' | 'due'

/** What the watchers of a hub share. */
export interface WatchContext {
  readonly source: FeedSource
  readonly bounds: WatchBounds
  readonly stats: WatchStats
  /** The cursor of a reader that has seen all commits. */
  head: FeedCursor
  /** Of all queues. */
  queuedBytes: number
  /** Watchers with something queued, the one that has waited the longest first. */
  readonly waiting: Set<QueuedWatcher>
  wake(watcher: QueuedWatcher): void
  remove(watcher: QueuedWatcher): void
}

/** A class, for there are many: an object with its methods in one place takes half of what closures do. */
export class QueuedWatcher implements Watcher {
  /** Neighbours in the list of those that watch the same. */
  previous: QueuedWatcher | null = null
  next: QueuedWatcher | null = null
  readonly scope: Scope
  private readonly context: WatchContext
  private readonly onWake: () => void
  private state: State
  private signal: Signal
  /** The reader's cursor; unused while it is live and nothing is queued: then it is the head. */
  private at: FeedCursor
  private queue: Queued[] | null = null
  private queueBytes = 0
  /** A page is being read: the cursor is still before it. */
  private isReading = false
  private hasRead = false

  constructor(context: WatchContext, scope: Scope, since: FeedCursor | null, onWake: () => void) {
    this.context = context
    this.scope = scope
    this.onWake = onWake
    this.state = since === null ? 'live' : 'behind'
    this.signal = since === null ? 'armed' : 'none'
    this.at = since ?? context.head
  }

  read(maxBytes = maxPageBytes): MaybePromise<WatchBatch | null> {
    this.signal = 'none'
    if (this.state === 'closed') return null
    return this.state === 'live' ? this.readQueue(maxBytes) : this.catchUp(maxBytes)
  }

  cursor(): FeedCursor {
    return this.state === 'live' && this.queue === null && !this.isReading ? this.context.head : this.at
  }

  close(): void {
    if (this.state === 'closed') return
    this.at = this.cursor()
    this.dropQueue()
    this.state = 'closed'
    this.signal = 'none'
    this.context.remove(this)
  }

  /** Whether it takes events of this key, which is in the collection that it watches. */
  matches(key: string): boolean {
    return (this.state === 'live' || this.state === 'joining') && matchesKey(this.scope, key)
  }

  enqueue(event: Queued): void {
    const { context } = this
    if (this.queue === null) {
      if (this.state === 'live' && !this.isReading) this.at = context.head
      this.queue = []
      context.waiting.add(this)
    } else if (
      this.queue.length >= context.bounds.events ||
      this.queueBytes + event.bytes > context.bounds.bytes
    ) {
      this.fallBehind()
      return
    }
    this.queue.push(event)
    this.queueBytes += event.bytes
    context.queuedBytes += event.queues++ === 0 ? event.bytes + slotBytes : slotBytes
    if (this.signal === 'armed') {
      this.signal = 'due'
      context.wake(this)
    }
    if (context.queuedBytes > context.bounds.totalBytes) dropSlowest(context)
  }

  wakeIfDue(): void {
    if (this.signal !== 'due') return
    this.signal = 'none'
    this.onWake()
  }

  fallBehind(): void {
    this.goBehind()
    this.context.stats.fallbacks++
  }

  /** The store lost changes that this reader may have seen: reads from the store, after the reader's cursor. */
  startOver(): void {
    // The head has moved: keep the cursor of before.
    if (this.state === 'live' && this.queue === null && !this.isReading) this.at = this.context.head
    this.goBehind()
    if (this.signal !== 'armed') return
    this.signal = 'due'
    this.context.wake(this)
  }

  /** Drops the queue: what follows the cursor is read from the store. */
  private goBehind(): void {
    this.dropQueue()
    if (this.state !== 'closed') this.state = 'behind'
  }

  private dropQueue(): Queued[] {
    return this.queue === null ? [] : this.dequeue(this.queue.length)
  }

  private dequeue(count: number): Queued[] {
    const { context } = this
    const queue = this.queue!
    const isAll = count === queue.length
    const taken = isAll ? queue : queue.splice(0, count)
    for (const event of taken) {
      context.queuedBytes -= --event.queues === 0 ? event.bytes + slotBytes : slotBytes
      this.queueBytes -= event.bytes
    }
    if (isAll) {
      this.queue = null
      context.waiting.delete(this)
    }
    return taken
  }

  private readQueue(maxBytes: number): MaybePromise<WatchBatch | null> {
    if (this.queue === null) {
      this.signal = 'armed'
      return null
    }
    const count = this.queueBytes <= maxBytes ? this.queue.length : countWithin(this.queue, maxBytes)
    if (count === 0) return { type: 'large', event: this.queue[0]! }
    const queued = this.dequeue(count)
    const next = queued[queued.length - 1]!.cursor
    const skipped = queued.filter(({ change }) => expiryRef(this.context.source, change) !== null)
    return skipped.length === 0
      ? this.deliver(queued, next)
      : this.deliverWithout(skipped, queued, next, maxBytes)
  }

  private async deliverWithout(
    skipped: readonly Queued[],
    queued: readonly Queued[],
    next: FeedCursor,
    maxBytes: number,
  ): Promise<WatchBatch | null> {
    this.isReading = true
    let batch: WatchBatch | null
    try {
      batch = this.deliver(await expireSkipped(this.context.source, queued, skipped), next)
    } catch (error) {
      this.goBehind()
      throw error
    } finally {
      this.isReading = false
    }
    return batch ?? this.read(maxBytes)
  }

  /** Null when there is nothing to deliver, or when the watcher was closed. */
  private deliver(events: readonly FeedEvent[], next: FeedCursor): WatchBatch | null {
    if (this.state === 'closed') return null
    this.at = next
    if (events.length === 0) return null
    this.context.stats.events += events.length
    return { type: 'events', events }
  }

  private async catchUp(maxBytes: number): Promise<WatchBatch | null> {
    this.isReading = true
    let batch: WatchBatch | null = null
    try {
      if (this.hasRead) await nextTick()
      this.hasRead = true
      while (batch === null && this.isBehind()) {
        const before = this.at
        const step = await this.nextStep(maxBytes)
        batch = this.deliver(step.events, step.next)
        if (step.isCut && step.next === before) batch ??= { type: 'large', event: null }
        if (batch === null && this.isBehind()) await nextTick()
      }
    } catch (error) {
      if (this.state === 'closed') return null
      this.goBehind()
      if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
      this.at = ''
      return { type: 'reset', oldest: String(error.extra.oldest) }
    } finally {
      this.isReading = false
    }
    return batch ?? this.read(maxBytes)
  }

  private isBehind(): boolean {
    return this.state === 'behind'
  }

  /** What is committed while the page is read is queued: if the page was the last, the queue goes on from there. */
  private async nextStep(maxBytes: number): Promise<FeedStep> {
    const { source } = this.context
    this.state = 'joining'
    const step = await feedStep(source, this.scope, this.at, pageEvents, maxBytes)
    this.join(step)
    const events = await expireSkipped(source, step.events, step.skipped)
    return { ...step, events }
  }

  private join({ atEnd, next }: FeedStep): void {
    // It was closed, or so much was committed that the queue overflowed.
    if (this.state !== 'joining') return
    const queued = this.dropQueue()
    this.state = atEnd ? 'live' : 'behind'
    if (!atEnd) return
    // The page may have been read after some of these were committed: it has them, or what came after them.
    const { engine } = this.context.source
    for (const event of queued) {
      const { change } = event
      const version = { collection: change.collection, key: keyOf(change), revision: revisionOf(change) }
      if (this.state === 'live' && !engine.hasSeen(next, version)) this.enqueue(event)
    }
  }
}

/** How many from the front have values that come to at most so many bytes. */
function countWithin(queue: readonly Queued[], maxBytes: number): number {
  let bytes = 0
  const end = queue.findIndex(({ change }) => {
    bytes += valueLength(change)
    return bytes > maxBytes
  })
  return end < 0 ? queue.length : end
}

/** Watchers that have let something wait the longest give way to the others. */
function dropSlowest(context: WatchContext): void {
  for (const watcher of context.waiting) {
    if (context.queuedBytes <= context.bounds.totalBytes) return
    watcher.fallBehind()
  }
}
