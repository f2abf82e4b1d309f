import type { ChangesPage, ChangesScope, Engine, ExpiringRef, FeedCursor, MaybePromise } from '../engine.ts'
import { maxExaminedMembers, maxPageBytes, smallPageBytes } from '../limits.ts'
import { type Change, keyOf, type Member, revisionOf } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import { type PageMemory, unlimitedMemory } from '../page-memory.ts'
import { type FeedEvent, isInScope, type Scope, valueLength, withLeaving } from './scope.ts'

/** Reads pages of the feed as readers see it: within a scope, and without expired members. */

/** The engine behind a feed, and the expiry of its members. */
export interface FeedSource {
  readonly engine: Engine
  /** Returns whether a member has expired, swept or not. Such a member must not be shown. */
  isExpired(collection: string, member: Member): boolean
  /**
   * Deletes these expired members unless they were rewritten or renewed. Await it before advancing the cursor; otherwise
   * a clock that is set back revives a member that the reader has skipped. Rejects when the store closes: the cursor must
   * not advance then.
   */
  expire(refs: readonly ExpiringRef[]): Promise<void>
}

export interface FeedPage {
  /** In the engine's order; may be fewer than the limit, even none, while there are more. */
  readonly events: readonly FeedEvent[]
  /** The cursor after everything that was examined. */
  readonly next: FeedCursor
  /** There are no more, for now. */
  readonly atEnd: boolean
}

/** The result of one call of `Engine.changes`. */
export interface FeedStep extends FeedPage {
  /**
   * The events of members that have expired and must not be shown. Await `expireSkipped` on them before advancing to
   * `next`.
   */
  readonly skipped: readonly FeedEvent[]
  /** The length of the events' values together. */
  readonly bytes: number
  /** The step ended because the next value did not fit. */
  readonly isCut: boolean
  readonly examined: number
}

/** Changes per step with a filter, which examines more than it returns. */
const filteredStep = 1000

/**
 * Returns one page: at most `limit` events and `maxPageBytes` of values. Where a scope excludes many changes, the page
 * ends after a bounded number of examined ones, and `next` continues. Rejects with `compacted` or `invalid_cursor` as
 * `Engine.changes` does.
 */
export async function readFeed(
  source: FeedSource,
  scope: Scope,
  after: FeedCursor,
  limit: number,
  memory: PageMemory = unlimitedMemory,
): Promise<FeedPage> {
  const events: FeedEvent[] = []
  let next = after
  let examined = 0
  let bytes = 0
  let maxBytes = smallPageBytes
  for (;;) {
    const step = await feedStep(source, scope, next, limit - events.length, maxBytes - bytes)
    events.push(...withLeaving(scope, await expireSkipped(source, step.events, step.skipped)))
    next = step.next
    examined += step.examined
    bytes += step.bytes
    const isLarge = maxBytes === maxPageBytes
    const isFull = events.length >= limit || (step.isCut && isLarge && bytes > 0)
    if (step.atEnd || isFull || examined >= maxExaminedMembers) return { events, next, atEnd: step.atEnd }
    if (step.isCut && !isLarge) {
      await memory.reserve()
      maxBytes = maxPageBytes
    }
    await nextTick()
  }
}

/** Calls the engine once, for values of at most `maxBytes`. Returns at once if the engine does. */
export function feedStep(
  source: FeedSource,
  scope: Scope,
  after: FeedCursor,
  limit: number,
  maxBytes: number,
): MaybePromise<FeedStep> {
  const isFiltered = scope.prefix !== null || scope.filter !== null || scope.sees !== undefined
  const asked = isFiltered ? filteredStep : limit
  const page = source.engine.changes(after, asked, engineScope(scope), maxBytes)
  return page instanceof Promise
    ? page.then((late) => select(source, scope, late, limit, asked))
    : select(source, scope, page, limit, asked)
}

function engineScope({ collection, key }: Scope): ChangesScope | undefined {
  if (collection === null) return undefined
  return key === null ? { collection } : { collection, key }
}

function select(source: FeedSource, scope: Scope, page: ChangesPage, limit: number, asked: number): FeedStep {
  const events: FeedEvent[] = []
  const skipped: FeedEvent[] = []
  let bytes = 0
  for (const [i, change] of page.changes.entries()) {
    if (!isInScope(scope, change)) continue
    const event = { change, cursor: page.cursorAfter(i) }
    events.push(event)
    bytes += valueLength(change)
    if (expiryRef(source, change) !== null) skipped.push(event)
    if (events.length === limit && i < page.changes.length - 1) {
      return { events, skipped, bytes, next: event.cursor, examined: i + 1, atEnd: false, isCut: false }
    }
  }
  const { next, atEnd, isCut } = page
  // An engine may examine as many changes as requested and return only a few of them.
  return { events, skipped, bytes, next, atEnd, isCut, examined: Math.max(asked, page.changes.length) }
}

/** Returns the ref to pass to `expire` if a change is the put of an expired member; null for other changes. */
export function expiryRef(source: FeedSource, change: Change): ExpiringRef | null {
  if (change.type !== 'put' || change.member.expiresAtMs === null) return null
  const { collection, member } = change
  if (!source.isExpired(collection, member)) return null
  return { collection, key: member.key, revision: member.revision, expiresAtMs: change.member.expiresAtMs }
}

/**
 * Deletes the skipped members and resolves with the remaining events. The feed has no entry for a renewal, so a member
 * that was renewed meanwhile stays among the events, with its present expiry. One that was renewed and has expired
 * again is deleted with that later expiry: no member is skipped without being deleted.
 */
export async function expireSkipped(
  source: FeedSource,
  events: readonly FeedEvent[],
  skipped: readonly FeedEvent[],
): Promise<readonly FeedEvent[]> {
  if (skipped.length === 0) return events
  /** The replacement of each skipped event. */
  const replacements = new Map<FeedEvent, FeedEvent | null>(skipped.map((event) => [event, null]))
  let open = skipped.map((event) => ({ event, change: event.change }))
  while (open.length > 0) {
    const asked = open.map(({ change }) => expiryRef(source, change))
    await source.expire(asked.filter((ref) => ref !== null))
    const again: typeof open = []
    for (const [i, { event, change }] of open.entries()) {
      const { collection } = change
      const member = await source.engine.read(collection, keyOf(change))
      if (member?.revision !== revisionOf(change)) continue
      const found: Change = { type: 'put', collection, member }
      if (!source.isExpired(collection, member)) replacements.set(event, { ...event, change: found })
      else if (asked[i]?.expiresAtMs !== member.expiresAtMs) again.push({ event, change: found })
    }
    open = again
  }
  return events.flatMap((event) => {
    const left = replacements.has(event) ? replacements.get(event) : event
    return left == null ? [] : [left]
  })
}
