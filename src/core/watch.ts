import {
  endedBy,
  type FeedSource,
  type FeedStep,
  feedStep,
  isWanted,
  settled,
  valueLength,
} from './changes.ts'
import type { MaybePromise, OnCommit, ResumePoint } from './engine.ts'
import { KvistError } from './errors.ts'
import { isOwnCollection } from './keys.ts'
import { type Change, keyOf, revisionOf } from './member.ts'
import type { Pattern } from './pattern.ts'
import { nextTurn } from './turn.ts'

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
   * as reads do, and may be asked again then. One question at a time.
   */
  read(): MaybePromise<WatchBatch | null>
  /**
   * Where the reader stands that has handled all that it read. It moves on while nothing that it watches changes, so
   * that one who comes back later has little to go through.
   */
  point(): ResumePoint
  /** `wake` is not called any more, and `read` says null. */
  close(): void
}

/** Who watches what, and what each has not read yet (docs/design/watch.md). */
export interface WatchHub {
  /** See `Database.watch`. */
  watch(scope: Scope, since: ResumePoint | null, wake: () => void): Watcher
  readonly hear: OnCommit
  readonly stats: Readonly<WatchStats>
}

export interface WatchStats {
  /** Open now. */
  watchers: number
  /** Handed out to all watchers. */
  events: number
  /** How often one read too slowly for its queue and was sent to read from the store. */
  fallbacks: number
}

/** What may wait to be read; what is more is read from the store. */
export interface WatchBounds {
  /** Of one watcher. */
  readonly events: number
  /** Of one watcher; a single event may be larger. */
  readonly bytes: number
  /** Of all watchers together, what several wait for counted once. */
  readonly totalBytes: number
}

const defaultBounds: WatchBounds = { events: 512, bytes: 1 << 20, totalBytes: 64 << 20 }

/** About what an event takes beside its value and key, and a place in a queue. */
const eventBytes = 400
const placeBytes = 8

/** Pages of the feed for one who catches up: as many events as come to about this many bytes. */
const pageBytes = 1 << 20
const firstPageEvents = 100
const maxPageEvents = 1000

/** So many are woken before everybody else has a turn. */
const wokenAtOnce = 500

/** An event that waits, and in how many queues. */
interface Queued extends WatchEvent {
  readonly bytes: number
  queues: number
}

/**
 * `behind`: reads the feed at its own pace, nothing is queued. `joining`: a page is being read that may be the last,
 * what is committed meanwhile is queued. `live`: all that is not handed out yet is in the queue.
 */
type State = 'behind' | 'joining' | 'live' | 'closed'

/** `armed`: the reader was told that there is nothing. `due`: it is about to be woken. */
type Signal = 'none' | 'armed' | 'due'

/** What watchers share. */
interface Shared {
  readonly source: FeedSource
  readonly bounds: WatchBounds
  readonly stats: WatchStats
  /** Where one stands who has heard all commits. */
  head: ResumePoint
  /** All that waits in queues. */
  queuedBytes: number
  /** Those that something waits for, the one that has waited the longest first. */
  readonly waiting: Set<QueuedWatcher>
  wake(watcher: QueuedWatcher): void
}

export function watchHub(source: FeedSource, bounds: WatchBounds = defaultBounds): WatchHub {
  const stats: WatchStats = { watchers: 0, events: 0, fallbacks: 0 }
  const shared: Shared = { source, bounds, stats, head: '', queuedBytes: 0, waiting: new Set(), wake }
  const ofMembers = new Map<string, Map<string, QueuedWatcher>>()
  const ofCollections = new Map<string, QueuedWatcher>()
  const ofAll = new Map<string, QueuedWatcher>()
  let due: QueuedWatcher[] = []

  /** Where watchers of this scope are found: a list that begins under that name. */
  function placeOf({ collection, key }: Scope): { lists: Map<string, QueuedWatcher>; name: string } {
    if (collection === null) return { lists: ofAll, name: '' }
    if (key === null) return { lists: ofCollections, name: collection }
    let lists = ofMembers.get(collection)
    if (lists === undefined) {
      lists = new Map()
      ofMembers.set(collection, lists)
    }
    return { lists, name: key }
  }

  function enter(watcher: QueuedWatcher): void {
    const { lists, name } = placeOf(watcher.scope)
    const first = lists.get(name) ?? null
    watcher.next = first
    if (first !== null) first.previous = watcher
    lists.set(name, watcher)
    stats.watchers++
  }

  function leave(watcher: QueuedWatcher): void {
    const { lists, name } = placeOf(watcher.scope)
    const { previous, next } = watcher
    if (next !== null) next.previous = previous
    if (previous !== null) previous.next = next
    else if (next !== null) lists.set(name, next)
    else lists.delete(name)
    const { collection, key } = watcher.scope
    if (collection !== null && key !== null && lists.size === 0) ofMembers.delete(collection)
    watcher.previous = null
    watcher.next = null
    stats.watchers--
  }

  /** Not at once: who committed is answered first, and thousands of readers do not keep the others from theirs. */
  function wake(watcher: QueuedWatcher): void {
    if (due.length === 0) setImmediate(wakeSome)
    due.push(watcher)
  }

  function wakeSome(): void {
    const some = due
    due = some.length > wokenAtOnce ? some.splice(wokenAtOnce) : []
    if (due.length > 0) setImmediate(wakeSome)
    for (const watcher of some) watcher.wakeIfDue()
  }

  return {
    stats,
    hear(changes, pointAfter) {
      if (stats.watchers === 0 || changes.length === 0) return
      for (let i = 0; i < changes.length; i++) {
        const change = changes[i]!
        if (change.type === 'renew' || isOwnCollection(change.collection)) continue
        const key = keyOf(change)
        const ofMember = ofMembers.get(change.collection)?.get(key)
        const ofCollection = ofCollections.get(change.collection)
        const ofStore = ofAll.get('')
        if (ofMember === undefined && ofCollection === undefined && ofStore === undefined) continue
        let event: Queued | null = null
        for (const list of [ofMember, ofCollection, ofStore]) {
          for (let watcher = list ?? null; watcher !== null; watcher = watcher.next) {
            if (!watcher.wants(key)) continue
            event ??= queuedEvent(change, pointAfter(i))
            watcher.queueUp(event)
          }
        }
      }
      shared.head = pointAfter(changes.length - 1)
    },
    watch(scope, since, wake) {
      // Nobody kept it up to date while nobody watched.
      if (stats.watchers === 0) shared.head = source.engine.head()
      const watcher = new QueuedWatcher(shared, scope, since, wake, leave)
      enter(watcher)
      return watcher
    },
  }
}

function queuedEvent(change: Change, point: ResumePoint): Queued {
  return { change, point, bytes: valueLength(change) + keyOf(change).length + eventBytes, queues: 0 }
}

/** Those who have let something wait the longest give way to the others. */
function dropSlowest(shared: Shared): void {
  for (const watcher of shared.waiting) {
    if (shared.queuedBytes <= shared.bounds.totalBytes) return
    watcher.fallBehind()
  }
}

/** A class, for there are many: an object with its methods in one place takes half of what closures do. */
class QueuedWatcher implements Watcher {
  /** Neighbours in the list of those who watch the same. */
  previous: QueuedWatcher | null = null
  next: QueuedWatcher | null = null
  readonly scope: Scope
  private readonly shared: Shared
  private readonly onWake: () => void
  private readonly leave: (watcher: QueuedWatcher) => void
  private state: State
  private signal: Signal
  /** Where the reader stands; while it is live and nothing waits, that is the head. */
  private at: ResumePoint
  private queue: Queued[] | null = null
  private queueBytes = 0
  /** A page is on its way to the reader: it does not stand behind that page yet. */
  private isReading = false
  private pageEvents = firstPageEvents
  private hasRead = false

  constructor(
    shared: Shared,
    scope: Scope,
    since: ResumePoint | null,
    onWake: () => void,
    leave: (watcher: QueuedWatcher) => void,
  ) {
    this.shared = shared
    this.scope = scope
    this.onWake = onWake
    this.leave = leave
    this.state = since === null ? 'live' : 'behind'
    this.signal = since === null ? 'armed' : 'none'
    this.at = since ?? shared.head
  }

  read(): MaybePromise<WatchBatch | null> {
    this.signal = 'none'
    if (this.state === 'closed') return null
    return this.state === 'live' ? this.readQueue() : this.catchUp()
  }

  point(): ResumePoint {
    return this.state === 'live' && this.queue === null && !this.isReading ? this.shared.head : this.at
  }

  close(): void {
    if (this.state === 'closed') return
    this.at = this.point()
    this.dropQueue()
    this.state = 'closed'
    this.signal = 'none'
    this.leave(this)
  }

  wants(key: string): boolean {
    return (this.state === 'live' || this.state === 'joining') && isWanted(this.scope, key)
  }

  queueUp(event: Queued): void {
    const { shared } = this
    if (this.queue === null) {
      if (this.state === 'live' && !this.isReading) this.at = shared.head
      this.queue = []
      shared.waiting.add(this)
    } else if (
      this.queue.length >= shared.bounds.events ||
      this.queueBytes + event.bytes > shared.bounds.bytes
    ) {
      this.fallBehind()
      return
    }
    this.queue.push(event)
    this.queueBytes += event.bytes
    shared.queuedBytes += event.queues++ === 0 ? event.bytes + placeBytes : placeBytes
    if (this.signal === 'armed') {
      this.signal = 'due'
      shared.wake(this)
    }
    if (shared.queuedBytes > shared.bounds.totalBytes) dropSlowest(shared)
  }

  wakeIfDue(): void {
    if (this.signal !== 'due') return
    this.signal = 'none'
    this.onWake()
  }

  fallBehind(): void {
    this.goBack()
    this.shared.stats.fallbacks++
  }

  /** To where the reader stands: what follows is read from the store. */
  private goBack(): void {
    this.dropQueue()
    if (this.state !== 'closed') this.state = 'behind'
  }

  private dropQueue(): Queued[] {
    const { queue, shared } = this
    if (queue === null) return []
    for (const event of queue)
      shared.queuedBytes -= --event.queues === 0 ? event.bytes + placeBytes : placeBytes
    this.queue = null
    this.queueBytes = 0
    shared.waiting.delete(this)
    return queue
  }

  private readQueue(): MaybePromise<WatchBatch | null> {
    if (this.queue === null) {
      this.signal = 'armed'
      return null
    }
    const queued = this.dropQueue()
    const next = queued[queued.length - 1]!.point
    const over = queued.filter(({ change }) => endedBy(this.shared.source, change) !== null)
    return over.length === 0 ? this.handOut(queued, next) : this.handOutWithout(over, queued, next)
  }

  private async handOutWithout(
    over: readonly Queued[],
    queued: readonly Queued[],
    next: ResumePoint,
  ): Promise<WatchBatch | null> {
    this.isReading = true
    let batch: WatchBatch | null
    try {
      const living = queued.filter((event) => !over.includes(event))
      batch = this.handOut(await settled(this.shared.source, living, over), next)
    } catch (error) {
      this.goBack()
      throw error
    } finally {
      this.isReading = false
    }
    return batch ?? this.read()
  }

  /** Null when there is nothing to hand out, or nobody any more to hand it to. */
  private handOut(events: readonly WatchEvent[], next: ResumePoint): WatchBatch | null {
    if (this.state === 'closed') return null
    this.at = next
    if (events.length === 0) return null
    this.shared.stats.events += events.length
    return { type: 'events', events }
  }

  private async catchUp(): Promise<WatchBatch | null> {
    this.isReading = true
    let batch: WatchBatch | null = null
    try {
      if (this.hasRead) await nextTurn()
      this.hasRead = true
      while (batch === null && this.isBehind()) {
        const step = await this.nextStep()
        batch = this.handOut(step.events, step.next)
        if (batch === null && this.isBehind()) await nextTurn()
      }
    } catch (error) {
      if (this.state === 'closed') return null
      this.goBack()
      if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
      this.at = ''
      return { type: 'reset', oldest: String(error.extra.oldest) }
    } finally {
      this.isReading = false
    }
    return batch ?? this.read()
  }

  private isBehind(): boolean {
    return this.state === 'behind'
  }

  /** What is committed while the step is taken is queued: if it was the last, the queue goes on from there. */
  private async nextStep(): Promise<FeedStep> {
    const { source } = this.shared
    this.state = 'joining'
    const step = await feedStep(source, this.scope, this.at, this.pageEvents)
    this.join(step)
    const events = await settled(source, step.events, step.over)
    if (step.bytes > pageBytes) this.pageEvents = Math.ceil(this.pageEvents / 2)
    else if (step.bytes < pageBytes / 4) this.pageEvents = Math.min(this.pageEvents * 2, maxPageEvents)
    return { ...step, events }
  }

  private join({ atEnd, lastRevision }: FeedStep): void {
    // It was closed, or so much was committed that the queue did not hold it.
    if (this.state !== 'joining') return
    const queued = this.dropQueue()
    this.state = atEnd ? 'live' : 'behind'
    if (!atEnd) return
    // The page may have been read after some of these were committed: it tells of them, or of what came after.
    for (const event of queued) {
      if (this.state === 'live' && revisionOf(event.change) > lastRevision) this.queueUp(event)
    }
  }
}
