import type { FeedCursor } from '../engine.ts'
import type { Where } from '../find/expressions.ts'
import { isOwnCollection } from '../keys.ts'
import { type Change, keyOf } from '../member.ts'
import type { Pattern } from '../pattern.ts'

/**
 * The changes that a reader of the feed requests; with everything null, those of the whole store. Collections of
 * kvist's own are included only with `own`.
 */
export interface Scope {
  readonly collection: string | null
  /** One member of the collection; prefix and filter are null then. */
  readonly key: string | null
  readonly prefix: string | null
  /** On the key. */
  readonly filter: Pattern | null
  /** On the value; missing or null: all. What does not match is shown as leaving (`FeedEvent.leaves`). */
  readonly where?: Where | null
  /** Includes kvist's own collections, for readers that are authorized to see them. */
  readonly own?: true
  /** Whether the reader may see a member; missing: all. */
  readonly sees?: (collection: string, key: string) => boolean
}

/** A change as readers get it. Watchers share these objects, so that data derived from one is derived once. */
export interface FeedEvent {
  readonly change: Change
  /** The cursor of a reader that has handled it. */
  readonly cursor: FeedCursor
  /**
   * The member was put and does not match the scope's `where`; its value is left out. The feed does not know whether the
   * version before matched, so a reader that keeps the members that match removes this one if it has it.
   */
  readonly leaves?: true
}

/** Returns whether the key matches prefix and filter; collection and key of a scope are looked up in the index. */
export function matchesKey({ prefix, filter }: Scope, key: string): boolean {
  return (prefix === null || key.startsWith(prefix)) && (filter === null || filter.matches(key))
}

/** Returns whether the reader may see a member, given that its collection matches the scope's. */
export function isVisible({ own, sees }: Scope, collection: string, key: string): boolean {
  return (own === true || !isOwnCollection(collection)) && (sees === undefined || sees(collection, key))
}

/** Returns the length of the value of a change; 0 for a tombstone. */
export function valueLength(change: Change): number {
  return change.type === 'put' ? change.member.value.length : 0
}

/** Returns whether a change is in scope, given that its collection and key match the scope's. */
export function isInScope(scope: Scope, change: Change): boolean {
  const key = keyOf(change)
  return isVisible(scope, change.collection, key) && matchesKey(scope, key)
}

const leaving = new WeakMap<FeedEvent, FeedEvent>()

/** Returns events as a reader of the scope gets them: members that do not match its `where` leave. */
export function withLeaving({ where }: Scope, events: readonly FeedEvent[]): readonly FeedEvent[] {
  if (where === undefined || where === null) return events
  return events.map((event) => {
    const { change } = event
    return change.type !== 'put' || where.matches(change.member.value) ? event : leavingOf(event, change)
  })
}

/** Returns one object for all watchers, as events are. */
function leavingOf(event: FeedEvent, change: Extract<Change, { type: 'put' }>): FeedEvent {
  const known = leaving.get(event)
  if (known !== undefined) return known
  const member = { ...change.member, value: '' }
  const left: FeedEvent = { change: { ...change, member }, cursor: event.cursor, leaves: true }
  leaving.set(event, left)
  return left
}
