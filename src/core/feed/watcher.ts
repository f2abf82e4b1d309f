import type { FeedCursor, MaybePromise } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { maxPageBytes } from '../limits.ts'
import { type Change, keyOf, revisionOf } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import { expireSkipped, expiryRef, type FeedSource, type FeedStep, feedStep } from './pages.ts'
import { type FeedEvent, matchesKey, type Scope, valueLength, withLeaving } from './scope.ts'

/**
 * Events in order; or `large`: the value of the next event exceeds `maxBytes`, and `event` is that event if it is
 * already in memory; or `reset`: the reader's cursor is older than the feed, so what the reader knows may be stale, and
 * everything that exists follows.
 */
export type WatchBatch =
  | { readonly type: 'events'; readonly events: readonly FeedEvent[] }
  | { readonly type: 'large'; readonly event: FeedEvent | null }
  | { readonly type: 'reset'; readonly oldest: FeedCursor }

/** A reader of the feed that is woken when there are new events. It buffers a bounded number of them. */
export interface Watcher {
  /**
   * Returns new events, with values of at most `maxBytes` together; null if there are none: then `wake` is called once,
   * at the next. Rejects or throws as reads do, and may be called again afterwards. One call at a time.
   */
  read(maxBytes?: number): MaybePromise<WatchBatch | null>
  /**
   * Returns the cursor of a reader that has handled everything it read. It advances even while nothing in scope
   * changes, so that a reader that resumes later has little to read.
   */
  cursor(): FeedCursor
  /** Ends the watch: `wake` is not called any more, and `read` returns null. */
  close(): void
}

export interface WatchStats {
  /** Watchers that are open now. */
  watchers: number
  /** Events delivered to all watchers. */
  events: number
  /** How often a watcher read too slowly, lost its queue, and went on reading from the store. */
  fallbacks: number
}

/** Bounds of the queues. A watcher that exceeds one reads from the store instead. */
export interface WatchBounds {
  /** Events in the queue of one watcher. */
  readonly events: number
  /** Bytes in the queue of one watcher; a single event may be larger. */
  readonly bytes: number
  /** Bytes in all queues together; an event in several queues counts once. */
  readonly totalBytes: number
}

/** Estimated memory of an event beside its value and key, and of a slot in a queue. */
const eventBytes = 400
const slotBytes = 8

/** Events in a page of the feed that a watcher reads to catch up. */
const pageEvents = 1000

/** A queued event, with the number of queues that hold it. */
interface Queued extends FeedEvent {
  readonly bytes: number
  queues: number
}

export function queuedEvent(change: Change, cursor: FeedCursor): Queued {
  return { change, cursor, bytes: valueLength(change) + keyOf(change).length + eventBytes, queues: 0 }
}

/**
 * `behind`: reads the feed at the speed of its client, and queues nothing. `joining`: reads a page that may be the
 * last, and queues commits meanwhile. `live`: every undelivered event is in the queue.
 */
type State = 'behind' | 'joining' | 'live' | 'closed'

/** `armed`: the last read returned nothing. `due`: the watcher is about to be woken. */
type Signal = 'none' | 'armed' | 'due'

/** The state that the watchers of a hub share. */
export interface WatchContext {
  readonly source: FeedSource
  readonly bounds: WatchBounds
  readonly stats: WatchStats
  /** The cursor of a reader that has seen all commits. */
  head: FeedCursor
  /** Bytes in all queues. */
  queuedBytes: number
  /** Watchers with queued events, the longest waiting first. */
  readonly waiting: Set<QueuedWatcher>
  wake(watcher: QueuedWatcher): void
  remove(watcher: QueuedWatcher): void
}

/** A watcher with a queue. It is a class because there are many: its instances take half the memory of closures. */
export class QueuedWatcher implements Watcher {
  /** Neighbours in the list of watchers of the same scope. */
  previous: QueuedWatcher | null = null
  next: QueuedWatcher | null = null
  readonly scope: Scope
  private readonly context: WatchContext
  private readonly onWake: () => void
  private state: State
  private signal: Signal
  /** The reader's cursor. While the watcher is live with nothing queued, its cursor is the head instead. */
  private at: FeedCursor
  private queue: Queued[] | null = null
  private queueBytes = 0
  /** A page is being read, and the cursor is still before it. */
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

  /** Returns whether the watcher queues events of this key, which is in its collection. */
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

  /** Reads from the store after the reader's cursor, because the store lost changes that the reader may have seen. */
  startOver(): void {
    // The head has moved: keep the previous one as the cursor.
    if (this.state === 'live' && this.queue === null && !this.isReading) this.at = this.context.head
    this.goBehind()
    if (this.signal !== 'armed') return
    this.signal = 'due'
    this.context.wake(this)
  }

  /** Drops the queue; events after the cursor are read from the store. */
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

  /** Advances the cursor and returns a batch; null when there is nothing to deliver, or when the watcher was closed. */
  private deliver(events: readonly FeedEvent[], next: FeedCursor): WatchBatch | null {
    if (this.state === 'closed') return null
    const shown = this.shown(events)
    this.at = next
    if (events.length === 0) return null
    this.context.stats.events += events.length
    return { type: 'events', events: shown }
  }

  /** Returns events as the reader gets them. If that fails, they stay in the store, after the reader's cursor. */
  private shown(events: readonly FeedEvent[]): readonly FeedEvent[] {
    try {
      return withLeaving(this.scope, events)
    } catch (error) {
      this.goBehind()
      throw error
    }
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

  /** Reads one page. Commits are queued meanwhile: if the page was the last, the watcher continues with the queue. */
  private async nextStep(maxBytes: number): Promise<FeedStep> {
    const { source } = this.context
    this.state = 'joining'
    const step = await feedStep(source, this.scope, this.at, pageEvents, maxBytes)
    this.join(step)
    const events = await expireSkipped(source, step.events, step.skipped)
    return { ...step, events }
  }

  private join({ atEnd, next }: FeedStep): void {
    // The watcher was closed, or its queue overflowed.
    if (this.state !== 'joining') return
    const queued = this.dropQueue()
    this.state = atEnd ? 'live' : 'behind'
    if (!atEnd) return
    // The page may already have some of these events, or later ones of the same members.
    const { engine } = this.context.source
    for (const event of queued) {
      const { change } = event
      const version = { collection: change.collection, key: keyOf(change), revision: revisionOf(change) }
      if (this.state === 'live' && !engine.hasSeen(next, version)) this.enqueue(event)
    }
  }
}

/** Returns how many events at the front have values of at most `maxBytes` together. */
function countWithin(queue: readonly Queued[], maxBytes: number): number {
  let bytes = 0
  const end = queue.findIndex(({ change }) => {
    bytes += valueLength(change)
    return bytes > maxBytes
  })
  return end < 0 ? queue.length : end
}

/** Drops the queues of the watchers that have been waiting longest, until the total is within bounds. */
function dropSlowest(context: WatchContext): void {
  for (const watcher of context.waiting) {
    if (context.queuedBytes <= context.bounds.totalBytes) return
    watcher.fallBehind()
  }
}
