import type { FeedCursor } from '../engine.ts'
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
