import type { HeaderPairs } from '../http/forward.ts'
import { type Changed, LostCursorError, noWaitMs, OriginFeed, RefusedError, waitMs } from './feed.ts'
import { type FeedSession, type OriginServer, reasonOf } from './origins.ts'

/** The state of one origin. */
export interface OriginStatus {
  readonly url: string
  /**
   * `followed`: its changes are read, and requests go there. `passing`: requests go there, but its changes cannot be read, so
   * that nothing is cached. `idle`: requests go to another one. `down`: it does not respond.
   */
  readonly state: 'followed' | 'passing' | 'idle' | 'down'
  readonly node: string | null
  readonly failures: number
  readonly lastError: { readonly detail: string; readonly atMs: number } | null
}

export interface FeedFollowerOptions {
  /** In the order of preference. */
  readonly origins: readonly OriginServer[]
  /** Of the requests for the feed. */
  readonly headers: HeaderPairs
  readonly onChange: (change: Changed) => void
  /** Called when what was read before may have changed unnoticed. */
  readonly onNewSession: () => void
  /** Called when no origin responds any more. */
  readonly onDown: () => void
  readonly log: { info(message: string, fields?: object): void; warn(message: string, fields?: object): void }
  readonly now: () => number
  readonly monotonicMs: () => number
  readonly sleep: (ms: number) => Promise<void>
}

/** How long ago the feed must have been read to its end for the cache to count as current. */
const maxLagMs = 2000
/** Changes of this time are read together: a page for each write would cost the origin more than the write. */
const batchMs = 10
const retryMs = 250
/** A wrong token is not tried as often: the origin slows down whoever sends many. */
const refusedRetryMs = 5000

interface Tried {
  failures: number
  lastError: OriginStatus['lastError']
  isDown: boolean
  isRefused: boolean
  /** The last attempt could read the feed, for some time. */
  wasFollowed: boolean
}

/**
 * Follows the feed of the first origin that responds, and says how current the cache is. It stays with an origin until that
 * one fails, and then follows the next.
 */
export class FeedFollower {
  private readonly options: FeedFollowerOptions
  private readonly stopping = new AbortController()
  private readonly tried: readonly Tried[]
  private active = 0
  private current: FeedSession | null = null
  private cursor = ''
  private isOffline = false
  private confirmedAtMs = Number.NEGATIVE_INFINITY
  /** Counts requests that the feed be read to its end once more. */
  private required = 0
  private confirmed = 0
  /** The last acknowledged write of members that are not known: when, and which reading tells them. */
  private acknowledged = { atMs: Number.NEGATIVE_INFINITY, reading: 0 }
  private running: Promise<void> | null = null

  constructor(options: FeedFollowerOptions) {
    this.options = options
    this.tried = options.origins.map(() => ({
      failures: 0,
      lastError: null,
      isDown: false,
      isRefused: false,
      wasFollowed: false,
    }))
  }

  /** Null while no feed is followed: nothing that is read now may be held. */
  get session(): FeedSession | null {
    return this.current
  }

  /** The origin that gets requests. */
  get origin(): OriginServer {
    return this.options.origins[this.active]!
  }

  /** No origin responds. */
  get isDown(): boolean {
    return this.isOffline
  }

  /** When the cache knew of all changes last, by the monotonic clock. */
  get currentAtMs(): number {
    return this.confirmedAtMs
  }

  isCurrent(nowMs: number): boolean {
    return !this.isOffline && this.confirmed >= this.required && nowMs - this.confirmedAtMs < maxLagMs
  }

  /**
   * Makes the cache count as current only when the feed has been read to its end by a request that is sent from now on, because
   * a write was passed on whose members are not known.
   */
  requireAnotherReading(isAcknowledged: boolean): void {
    this.required++
    if (isAcknowledged) this.acknowledged = { atMs: this.options.monotonicMs(), reading: this.required }
  }

  /** When a write was acknowledged whose changes the feed has not told yet; minus infinity if there is none. */
  get unreadWriteAtMs(): number {
    const { atMs, reading } = this.acknowledged
    return this.confirmed < reading ? atMs : Number.NEGATIVE_INFINITY
  }

  status(): OriginStatus[] {
    return this.options.origins.map(({ url }, i) => {
      const { failures, lastError, isDown } = this.tried[i]!
      return { url, state: this.stateOf(i, isDown), node: this.nodeOf(i), failures, lastError }
    })
  }

  start(): void {
    this.running ??= this.run()
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    await this.running
  }

  private stateOf(i: number, isDown: boolean): OriginStatus['state'] {
    if (isDown) return 'down'
    if (i !== this.active || this.isOffline) return 'idle'
    return this.current !== null ? 'followed' : 'passing'
  }

  private nodeOf(i: number): string | null {
    return i === this.active && this.current !== null ? this.current.node : null
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted
  }

  private async run(): Promise<void> {
    const { origins, sleep } = this.options
    while (!this.isStopped) {
      const first = this.active
      let wasFollowed = false
      let refused: number | null = null
      for (let i = 0; i < origins.length && !this.isStopped && !wasFollowed; i++) {
        const at = (first + i) % origins.length
        wasFollowed = await this.follow(at)
        if (this.tried[at]!.isRefused) refused ??= at
      }
      if (wasFollowed || this.isStopped) continue
      if (refused !== null) this.passTo(refused)
      else this.goOffline()
      await sleep(refused === null ? retryMs : refusedRetryMs)
    }
  }

  /** Follows an origin until it fails. Returns whether its feed could be read at all. */
  private async follow(at: number, isAgain = false): Promise<boolean> {
    const origin = this.options.origins[at]!
    const tried = this.tried[at]!
    const feed = new OriginFeed(origin, this.options.headers, this.stopping.signal)
    let wasFollowed = false
    try {
      await this.begin(at, origin, feed)
      // The first page does not wait, so that the cache is current at once.
      await this.readPage(feed, noWaitMs)
      this.noteFollowed(origin, tried)
      wasFollowed = true
      for (;;) await this.readPage(feed, waitMs)
    } catch (error) {
      if (this.isStopped) return wasFollowed
      if (error instanceof LostCursorError) this.endSession()
      this.noteFailure(origin, tried, error)
      if (error instanceof LostCursorError && !isAgain) return this.follow(at, true)
      return wasFollowed
    }
  }

  /** Goes on with the session of the same store, or begins another. */
  private async begin(at: number, origin: OriginServer, feed: OriginFeed): Promise<void> {
    const node = await feed.node()
    const { current } = this
    if (current !== null && current.origin === origin && current.node === node) return
    const cursor = await feed.head()
    this.endSession()
    this.active = at
    this.cursor = cursor
    this.current = { origin, node }
  }

  private async readPage(feed: OriginFeed, pageWaitMs: number): Promise<void> {
    const { monotonicMs, onChange, sleep } = this.options
    const sentAtMs = monotonicMs()
    const { required } = this
    const page = await feed.page(this.cursor, pageWaitMs)
    // The runtime repeats a request on a new connection, which may lead to another store.
    if (page.node !== this.current?.node) throw new LostCursorError('there is another store at its address')
    for (const change of page.changes) onChange(change)
    this.cursor = page.next
    if (!page.isAtEnd) return
    this.confirmedAtMs = sentAtMs
    this.confirmed = required
    if (page.changes.length > 0 && this.required === required) await sleep(batchMs)
  }

  private endSession(): void {
    if (this.current === null) return
    this.current = null
    this.confirmedAtMs = Number.NEGATIVE_INFINITY
    this.options.onNewSession()
  }

  private noteFollowed({ url }: OriginServer, tried: Tried): void {
    this.isOffline = false
    tried.isDown = false
    tried.isRefused = false
    tried.wasFollowed = true
    this.options.log.info('the changes of the origin are followed', { origin: url })
  }

  private noteFailure({ url }: OriginServer, tried: Tried, error: unknown): void {
    const detail = reasonOf(error)
    const isRefused = error instanceof RefusedError
    const isNew = tried.lastError?.detail !== detail || tried.wasFollowed
    tried.wasFollowed = false
    tried.failures++
    tried.lastError = { detail, atMs: this.options.now() }
    tried.isDown = !isRefused && !(error instanceof LostCursorError)
    tried.isRefused = isRefused
    if (isNew)
      this.options.log.warn(`the changes of the origin cannot be followed: ${detail}`, { origin: url })
  }

  /** Sends requests to an origin whose feed cannot be read: nothing is held. */
  private passTo(at: number): void {
    this.endSession()
    this.active = at
    this.isOffline = false
  }

  private goOffline(): void {
    if (this.isOffline) return
    this.isOffline = true
    this.options.log.warn('no origin responds: what is held is served as stale')
    this.options.onDown()
  }
}
