import { BoundedCache } from '../core/bounded-cache.ts'
import { smallBytes } from '../core/limits.ts'
import { bodyLength, type HeaderPairs, release } from '../http/forward.ts'
import type { MemoryBudget } from '../net/budget.ts'
import { type Credential, Credentials, isAccepted } from './credentials.ts'
import type { Changed } from './feed.ts'
import type { FeedFollower } from './follower.ts'
import { Held, type Storable, storable } from './held.ts'
import { type Load, type Loaded, Loads } from './loads.ts'
import type { FeedSession } from './origins.ts'

export interface CacheOptions {
  readonly maxBytes: number
  readonly follower: Pick<
    FeedFollower,
    'session' | 'origin' | 'currentAtMs' | 'unreadWriteAtMs' | 'isCurrent'
  >
  /** How long a response is served when no origin responds, after it was last known to be current. */
  readonly staleMs: number
  /** The header that names this node to the next. */
  readonly via: string
  /** Memory for large values. */
  readonly values: MemoryBudget
  readonly now: () => number
  readonly monotonicMs: () => number
}

/** How long an origin may take for the head of a response. */
const loadTimeoutMs = 10_000

/**
 * The responses that a cache node holds: members, and that there is none, each with the clients to whom the origin has shown it.
 *
 * What is held is never older than the feed: a change drops what is older than it, and a response that was asked for before a
 * change is held only if it has the change. What was asked for in another session is not held at all.
 */
export class ResponseCache {
  private readonly options: CacheOptions
  private readonly held: BoundedCache<Held>
  private readonly loads = new Loads()
  private readonly credentials = new Credentials()

  constructor(options: CacheOptions) {
    this.options = options
    this.held = new BoundedCache(options.maxBytes)
  }

  get stats(): BoundedCache<Held>['stats'] {
    return this.held.stats
  }

  get maxBytes(): number {
    return this.held.maxBytes
  }

  /** Returns a response that may be served without asking the origin. */
  hit(member: string, authorization: string, nowMs: number): Held | undefined {
    const held = this.held.get(member)
    if (held === undefined || held.expiresAtMs !== null) return undefined
    const follower = this.options.follower
    if (held.session !== follower.session || !follower.isCurrent(nowMs)) return undefined
    const credential = this.credentials.get(authorization)
    return held.wasShownTo(credential) && isAccepted(credential, nowMs) ? held : undefined
  }

  /** Returns a response that may be served while no origin responds. */
  stale(member: string, authorization: string, nowMs: number): Held | undefined {
    const held = this.held.get(member)
    if (held === undefined || !held.wasShownTo(this.credentials.get(authorization))) return undefined
    if (held.expiresAtMs !== null && held.expiresAtMs <= this.options.now()) return undefined
    // A client of this cache may know of a later state.
    if (held.validatedAtMs < this.options.follower.unreadWriteAtMs) return undefined
    return this.ageMs(held, nowMs) < this.options.staleMs ? held : undefined
  }

  /** Returns the milliseconds since the response was known to be current. */
  ageMs({ session, validatedAtMs }: Held, nowMs: number): number {
    const follower = this.options.follower
    const knownAtMs = session === follower.session ? follower.currentAtMs : Number.NEGATIVE_INFINITY
    return Math.max(0, nowMs - Math.max(validatedAtMs, knownAtMs))
  }

  /** Whether anything can be served while no origin responds. */
  hasStale(nowMs: number): boolean {
    return this.held.stats.entries > 0 && nowMs - this.options.follower.currentAtMs < this.options.staleMs
  }

  /** Asks the origin for a member, together with others who ask with the same credentials. Rejects if it does not respond. */
  load(
    member: string,
    target: string,
    authorization: string,
  ): { isShared: boolean; result: Promise<Loaded> } {
    const shared = this.loads.find(member, authorization)
    if (shared !== undefined) return { isShared: true, result: shared.result }
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(new Error('the origin does not respond')), loadTimeoutMs)
    const start = Promise.withResolvers<Loaded>()
    const load: Load = {
      authorization,
      result: start.promise,
      abort: () => stop.abort(),
      minRevision: 0,
      isClosed: false,
    }
    this.loads.add(member, load)
    this.run(member, target, load, stop.signal, () => clearTimeout(timer))
      .finally(() => {
        clearTimeout(timer)
        this.loads.remove(member, load)
      })
      .then(start.resolve, start.reject)
    return { isShared: false, result: start.promise }
  }

  /** Notes a change of a member: of the feed, or of a write that was passed on. */
  readonly changed = ({ collection, key, revision }: Changed): void => {
    this.memberChanged(memberId(collection, key), revision)
  }

  /** An infinite revision drops whatever is held. */
  memberChanged(member: string, revision: number): void {
    this.loads.changed(member, revision)
    const held = this.held.get(member)
    if (held !== undefined && held.revision < revision) this.held.delete(member)
  }

  /** Notes what a response that was passed on, past the cache, says about a member. */
  seen(member: string, response: Response): void {
    const held = this.held.get(member)
    const etag = response.status === 404 ? '"0"' : response.headers.get('etag')
    if (held !== undefined && etag !== null && response.status < 500 && etag !== held.etag)
      this.held.delete(member)
  }

  refused(authorization: string): void {
    this.credentials.refused(authorization)
  }

  /** Drops everything: it may have changed unnoticed. */
  clear(): void {
    this.held.clear()
    this.loads.closeAll()
  }

  /** Notes a write of members that are not known: later readers share no request that was sent before it. */
  closeLoads(): void {
    this.loads.closeAll()
  }

  /** Ends the requests that are on their way, because no origin responds. */
  abortLoads(): void {
    this.loads.abortAll()
  }

  private async run(
    member: string,
    target: string,
    load: Load,
    signal: AbortSignal,
    onHead: () => void,
  ): Promise<Loaded> {
    const { follower, monotonicMs } = this.options
    const { session, origin } = follower
    const { authorization } = load
    const before = this.held.get(member)
    const known = before !== undefined && before.session === session ? before : null
    const credential = this.credentials.get(authorization)
    if (credential !== undefined) credential.isBeingChecked = true
    const sentAtMs = monotonicMs()
    let response: Response
    try {
      response = await origin.send(target, { method: 'GET', headers: this.headersOf(load, known), signal })
    } finally {
      if (credential !== undefined) credential.isBeingChecked = false
    }
    onHead()
    if (response.status === 401) this.credentials.refused(authorization)
    if (response.status >= 400 && response.status !== 404) return { response }
    const accepted = this.credentials.accepted(authorization, sentAtMs)
    if (response.status === 304 && known !== null) {
      release(response)
      known.wasValidated(response.headers, accepted, sentAtMs)
      return { held: known, forwardStatus: 304 }
    }
    const kept = session === null ? null : storable(response)
    if (kept === null || session === null) {
      this.held.delete(member)
      return { response }
    }
    return this.hold(member, load, { response, kept, session, sentAtMs, accepted })
  }

  private headersOf({ authorization }: Load, known: Held | null): HeaderPairs {
    // A cache before the origin must not answer by itself: it may be behind the feed.
    const headers: HeaderPairs = [
      ['accept-encoding', 'identity'],
      ['cache-control', 'no-cache'],
      ['via', this.options.via],
    ]
    if (authorization !== '') headers.push(['authorization', authorization])
    if (known !== null) headers.push(['if-none-match', known.etag])
    return headers
  }

  private async hold(
    member: string,
    load: Load,
    {
      response,
      kept,
      session,
      sentAtMs,
      accepted,
    }: {
      readonly response: Response
      readonly kept: Storable
      readonly session: FeedSession
      readonly sentAtMs: number
      readonly accepted: Credential
    },
  ): Promise<Loaded> {
    const length = bodyLength(response.headers)
    if (length === null || length > this.held.maxEntryBytes) {
      this.held.delete(member)
      return { response }
    }
    const share = this.options.values.share()
    try {
      if (length > smallBytes) await share.grow(length)
      const held = new Held(kept, new Uint8Array(await response.arrayBuffer()), session, sentAtMs)
      held.addReader(accepted)
      this.keep(member, held, load)
      return { held, forwardStatus: held.status }
    } finally {
      share.release()
    }
  }

  /** Keeps a response unless a later state is known, which may be that of another client's request. */
  private keep(member: string, held: Held, { minRevision }: Load): void {
    if (this.options.follower.session !== held.session || held.revision < minRevision) return
    const other = this.held.get(member)
    if (other === undefined || other.session !== held.session) {
      this.held.set(member, held)
    } else if (other.revision === held.revision) {
      for (const reader of other.readers) held.addReader(reader)
      this.held.set(member, held)
    } else if (other.revision === 0 || held.revision === 0) {
      // Which of them came first cannot be told.
      this.held.delete(member)
    } else if (held.revision > other.revision) {
      this.held.set(member, held)
    }
  }
}

/** The name of a member among those that are held. Collections have no slash. */
export function memberId(collection: string, key: string): string {
  return `${collection}/${key}`
}
