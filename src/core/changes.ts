import type { ChangesPage, Engine, ExpiringRef, MaybePromise, ResumePoint } from './engine.ts'
import { isOwnCollection } from './keys.ts'
import { maxExaminedMembers, maxPageBytes } from './limits.ts'
import { type Change, keyOf, type Member, revisionOf } from './member.ts'
import { nextTurn } from './turn.ts'
import type { Scope, WatchEvent } from './watch.ts'

/** The feed as readers are shown it: within a scope, without kvist's own members and without what has expired. */

/** Where the feed comes from. */
export interface FeedSource {
  readonly engine: Engine
  /** Its time is over, whether it was swept or not: it must not be shown. */
  isOver(collection: string, member: Member): boolean
  /**
   * Takes these out of the store, unless they were written again or renewed since. Who leaves a member out calls this
   * before it moves on: otherwise a clock that is set back would let the member live again, behind a reader who was
   * not told of it and will not come by a second time. Rejects when the store closes: the reader has not moved on then.
   */
  expire(refs: readonly ExpiringRef[]): Promise<void>
}

export interface FeedPage {
  /** In revision order; may be fewer than the limit, even none, while there are more. */
  readonly events: readonly WatchEvent[]
  /** Where to go on: after all that was looked at. */
  readonly next: ResumePoint
  /** There are no more, for now. */
  readonly atEnd: boolean
}

/** What one question to the engine gave. */
export interface FeedStep extends FeedPage {
  /** What was left out because its time is over: it is to be `settled` before anybody goes on from `next`. */
  readonly over: readonly WatchEvent[]
  /** Of the values of the events. */
  readonly bytes: number
  readonly examined: number
  /** The largest that was looked at; 0 for none. */
  readonly lastRevision: number
}

/** With a filter more is looked at than returned. */
const filteredStep = 1000

/**
 * One page, at most `limit` events and about `maxPageBytes` of values. Where a scope leaves out much it ends early,
 * after looking at a bounded number of changes, and `next` goes on. Rejects with `compacted` or `invalid_cursor` as
 * `Engine.changes` does.
 */
export async function readFeed(
  source: FeedSource,
  scope: Scope,
  after: ResumePoint,
  limit: number,
): Promise<FeedPage> {
  const events: WatchEvent[] = []
  let next = after
  let examined = 0
  let bytes = 0
  for (;;) {
    const step = await feedStep(source, scope, next, limit - events.length)
    events.push(...(await settled(source, step.events, step.over)))
    next = step.next
    examined += step.examined
    bytes += step.bytes
    const isFull = events.length >= limit || bytes >= maxPageBytes || examined >= maxExaminedMembers
    if (step.atEnd || isFull) return { events, next, atEnd: step.atEnd }
    await nextTurn()
  }
}

/** One question to the engine; what an engine answers at once comes at once. */
export function feedStep(
  source: FeedSource,
  scope: Scope,
  after: ResumePoint,
  limit: number,
): MaybePromise<FeedStep> {
  const { collection, key } = scope
  if (collection !== null && key !== null) return memberStep(source, collection, key, after)
  const isFiltered = scope.prefix !== null || scope.filter !== null
  const asked = isFiltered ? filteredStep : limit
  return whenThere(source.engine.changes(after, asked, collection ?? undefined), (page) =>
    sift(source, scope, page, limit, asked),
  )
}

function sift(source: FeedSource, scope: Scope, page: ChangesPage, limit: number, asked: number): FeedStep {
  const events: WatchEvent[] = []
  const over: WatchEvent[] = []
  let bytes = 0
  let lastRevision = 0
  for (const [i, change] of page.changes.entries()) {
    lastRevision = revisionOf(change)
    if (isOwnCollection(change.collection) || !isWanted(scope, keyOf(change))) continue
    const event = { change, point: page.pointAfter(i) }
    if (endedBy(source, change) !== null) {
      over.push(event)
      continue
    }
    events.push(event)
    bytes += valueLength(change)
    if (events.length === limit && i < page.changes.length - 1) {
      return { events, over, bytes, lastRevision, next: page.pointAfter(i), examined: i + 1, atEnd: false }
    }
  }
  const { next, atEnd } = page
  // An engine may have looked at as many as were asked for to find the few that it returns.
  return { events, over, bytes, lastRevision, next, atEnd, examined: Math.max(asked, page.changes.length) }
}

/**
 * One member is read, and not looked for in the feed. Whether its state is news to the reader the first change after
 * the point tells: the feed is in revision order, so the member's change is in there if it is not older than that. The
 * feed is asked last: it says `compacted` when a tombstone may have gone before it was looked for.
 *
 * The event's point is its own where the feed just told it, or else that of one who has seen all up to now.
 */
function memberStep(
  source: FeedSource,
  collection: string,
  key: string,
  after: ResumePoint,
): MaybePromise<FeedStep> {
  const { engine } = source
  // Taken before anything is read: what comes later is the next reader's.
  const head = engine.head()
  const state = isOwnCollection(collection) ? null : stateOf(engine, collection, key)
  return whenThere(state, (change) =>
    whenThere(engine.changes(after, 1), (page) => {
      const [first] = page.changes
      if (first === undefined) return memberAnswer(null, page.next, page.next, page.atEnd)
      const since = revisionOf(first)
      if (change === null || revisionOf(change) < since) return memberAnswer(null, head, head)
      const answer = memberAnswer(change, revisionOf(change) === since ? page.pointAfter(0) : head, head)
      return endedBy(source, change) === null ? answer : { ...answer, events: [], over: answer.events }
    }),
  )
}

function memberAnswer(change: Change | null, point: ResumePoint, next: ResumePoint, atEnd = true): FeedStep {
  const counted = { next, atEnd, over: [], examined: 1 }
  if (change === null) return { ...counted, events: [], bytes: 0, lastRevision: 0 }
  const lastRevision = revisionOf(change)
  return { ...counted, events: [{ change, point }], bytes: valueLength(change), lastRevision }
}

function stateOf(engine: Engine, collection: string, key: string): MaybePromise<Change | null> {
  return whenThere(engine.read(collection, key), (member) => {
    if (member !== null) return { type: 'put', collection, member }
    return whenThere(engine.tombstone(collection, key), (tombstone) =>
      tombstone === null ? null : { type: tombstone.cause, collection, tombstone },
    )
  })
}

/** Prefix and filter alone: collection and key are looked for by index. */
export function isWanted({ prefix, filter }: Scope, key: string): boolean {
  return (prefix === null || key.startsWith(prefix)) && (filter === null || filter.matches(key))
}

/** What `expire` is to take out, where a change is the put of a member whose time is over; null for others. */
export function endedBy(source: FeedSource, change: Change): ExpiringRef | null {
  if (change.type !== 'put' || change.member.expiresAtMs === null) return null
  const { collection, member } = change
  if (!source.isOver(collection, member)) return null
  return { collection, key: member.key, revision: member.revision, expiresAtMs: change.member.expiresAtMs }
}

/**
 * Takes out of the store what is over. What lives on all the same was renewed in the meantime, which nobody is told
 * of: it is among the events that this resolves with, in the order of revisions. What was renewed and is over again,
 * or is over again after the clock went back, is taken out as it is then: nothing is left out that was not asked to go.
 */
export async function settled(
  source: FeedSource,
  events: readonly WatchEvent[],
  over: readonly WatchEvent[],
): Promise<readonly WatchEvent[]> {
  const living: WatchEvent[] = []
  for (let open = over; open.length > 0; ) {
    const asked = open.map(({ change }) => endedBy(source, change))
    await source.expire(asked.filter((ref) => ref !== null))
    const again: WatchEvent[] = []
    for (const [i, { change, point }] of open.entries()) {
      const { collection } = change
      const member = await source.engine.read(collection, keyOf(change))
      if (member?.revision !== revisionOf(change)) continue
      const found: WatchEvent = { change: { type: 'put', collection, member }, point }
      if (!source.isOver(collection, member)) living.push(found)
      else if (asked[i]?.expiresAtMs !== member.expiresAtMs) again.push(found)
    }
    open = again
  }
  if (living.length === 0) return events
  return [...events, ...living].sort((a, b) => revisionOf(a.change) - revisionOf(b.change))
}

export function valueLength(change: Change): number {
  return change.type === 'put' ? change.member.value.length : 0
}

function whenThere<A, B>(value: MaybePromise<A>, use: (value: A) => MaybePromise<B>): MaybePromise<B> {
  return value instanceof Promise ? value.then(use) : use(value)
}
