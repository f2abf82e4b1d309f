import type { FeedCursor } from '../engine.ts'
import { isOwnCollection } from '../keys.ts'
import { type Change, keyOf } from '../member.ts'
import type { Pattern } from '../pattern.ts'

/**
 * Which changes a reader of the feed asks for; with everything null, those of the whole store. Collections of kvist's
 * own are in it only with `own`.
 */
export interface Scope {
  readonly collection: string | null
  /** One member of the collection; prefix and filter are null then. */
  readonly key: string | null
  readonly prefix: string | null
  /** On the key. */
  readonly filter: Pattern | null
  /** Includes kvist's own collections: for readers that are entitled to them. */
  readonly own?: true
}

/** A change as readers get it. Watchers share these objects, so that what is derived from one is derived once. */
export interface FeedEvent {
  readonly change: Change
  /** The cursor of a reader that has handled it. */
  readonly cursor: FeedCursor
}

/** Whether prefix and filter let the key through; collection and key of a scope are looked up by index. */
export function matchesKey({ prefix, filter }: Scope, key: string): boolean {
  return (prefix === null || key.startsWith(prefix)) && (filter === null || filter.matches(key))
}

/** Whether the scope shows this collection, given that the collection is the one it names. */
export function showsCollection({ own }: Scope, collection: string): boolean {
  return own === true || !isOwnCollection(collection)
}

/** Length of the value that a change carries; 0 for a tombstone. */
export function valueLength(change: Change): number {
  return change.type === 'put' ? change.member.value.length : 0
}

/** Whether a change passes the scope, given that its collection and key are those that the scope names. */
export function isInScope(scope: Scope, change: Change): boolean {
  return showsCollection(scope, change.collection) && matchesKey(scope, keyOf(change))
}
