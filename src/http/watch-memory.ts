import { type FeedEvent, valueLength } from '../core/feed/scope.ts'
import { maxPageBytes, smallPageBytes } from '../core/limits.ts'
import type { Share } from '../net/budget.ts'
import { ResponsePages } from './page-memory.ts'
import type { Connection } from './wire/client-connection.ts'

/** A large event that is being sent. It is in memory once for all watchers. */
interface Sending {
  readonly event: FeedEvent
  readonly share: Share
  watchers: number
}

const sending = new WeakMap<FeedEvent, Sending>()

/** The memory of the events that one watcher has read and its client has not received yet. */
export class WatchMemory {
  private readonly connection: Connection
  /** The memory of events that only this watcher has read. */
  private readonly pages: ResponsePages
  private shared: Sending | null = null
  private isHolding = false

  constructor(connection: Connection) {
    this.connection = connection
    this.pages = new ResponsePages(connection)
    connection.hold(this)
  }

  /** Bytes of the shared event that the client holds up together with others. */
  get bytes(): number {
    return this.shared?.share.bytes ?? 0
  }

  /**
   * Waits until there is memory for a large event, which is null when it must be read from the store. Returns undefined
   * when it need not wait.
   */
  reserve(event: FeedEvent | null): Promise<void> | undefined {
    this.isHolding = true
    if (event === null) return this.pages.reserve(maxPageBytes)
    return sending.has(event) ? undefined : this.pages.reserve(valueLength(event.change))
  }

  /** Accounts for events that were read. `isShared` means that other watchers have the same objects. */
  hold(events: readonly FeedEvent[], isShared: boolean): void {
    let bytes = 0
    for (const { change } of events) bytes += valueLength(change)
    if (bytes === 0 && !this.isHolding) return
    this.isHolding = true
    if (isShared && bytes > smallPageBytes) {
      this.share(events[0]!)
      this.pages.hold(0)
    } else {
      this.pages.hold(bytes)
    }
  }

  /** Releases the memory when the client has received all that was read, or is gone. */
  release(): void {
    if (!this.isHolding) return
    this.isHolding = false
    this.pages.hold(0)
    const { shared } = this
    if (shared === null) return
    this.shared = null
    if (--shared.watchers > 0) return
    sending.delete(shared.event)
    this.pages.discard(shared.share.bytes)
    shared.share.release()
  }

  private share(event: FeedEvent): void {
    let entry = sending.get(event)
    if (entry === undefined) {
      entry = { event, share: this.connection.memory.pages.share(), watchers: 0 }
      entry.share.resize(valueLength(event.change))
      sending.set(event, entry)
    }
    entry.watchers++
    this.shared = entry
  }
}
