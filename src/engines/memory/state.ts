import { stampToMs } from '../../core/clock.ts'
import type { MemberRef } from '../../core/engine.ts'
import { sortKey } from '../../core/keys.ts'
import { type Change, keyOf, type Member, revisionOf } from '../../core/member.ts'
import { type OrderedList, orderedList } from './ordered-list.ts'

/** What the engine holds: the latest change of every member, in a map by key and in every order that is asked for. */

/** A member or its tombstone. It is replaced as a whole when the member changes. */
export interface Entry {
  /** Its key, as a string that sorts as keys do. */
  readonly sorted: string
  readonly change: Change
  /** Of key and value; 0 for a tombstone. */
  readonly bytes: number
}

interface CollectionState {
  readonly name: string
  readonly entries: Map<string, Entry>
  /** Members without tombstones, in key order. */
  readonly members: OrderedList<Entry>
  /** In the order of revisions. */
  readonly feed: OrderedList<Entry>
  count: number
  bytes: number
}

export interface State {
  readonly collections: Map<string, CollectionState>
  /** In the order of revisions. */
  readonly feed: OrderedList<Entry>
  /** Likewise, tombstones alone. */
  readonly tombstones: OrderedList<Entry>
  /** Members that expire, the earliest first. */
  readonly expiries: OrderedList<Entry>
  lastRevision: number
  /** Cursors before this revision are not served: that of the newest tombstone that was forgotten. */
  forgotten: number
}

export function newState(lastRevision: number): State {
  return {
    collections: new Map(),
    feed: orderedList(isOlder),
    tombstones: orderedList(isOlder),
    expiries: orderedList((a, b) => {
      const [aMs, bMs] = [expiryOf(a.change)!, expiryOf(b.change)!]
      return aMs === bMs ? isOlder(a, b) : aMs < bMs
    }),
    lastRevision,
    forgotten: lastRevision,
  }
}

function isOlder(a: Entry, b: Entry): boolean {
  return revisionOf(a.change) < revisionOf(b.change)
}

/** When a member expires; null for never, and for a tombstone. */
export function expiryOf(change: Change): number | null {
  return change.type === 'put' ? change.member.expiresAtMs : null
}

export function latestChange(state: State, { collection, key }: MemberRef): Change | null {
  return state.collections.get(collection)?.entries.get(key)?.change ?? null
}

/** The members of refs, up to the one with which their values come to more than `maxBytes`. */
export function membersOf(
  refs: readonly MemberRef[],
  maxBytes: number | undefined,
  latest: (ref: MemberRef) => Change | null,
): (Member | null)[] {
  const members: (Member | null)[] = []
  let bytes = 0
  for (const ref of refs) {
    const member = memberOf(latest(ref))
    members.push(member)
    bytes += member?.value.length ?? 0
    if (maxBytes !== undefined && bytes > maxBytes) break
  }
  return members
}

export function memberOf(change: Change | null): Member | null {
  return change?.type === 'put' ? change.member : null
}

/** Makes this change the latest of its member. */
export function storeChange(state: State, change: Change): void {
  const of = collectionOf(state, change.collection)
  const key = keyOf(change)
  const before = of.entries.get(key)
  if (before !== undefined) removeFromOrders(state, of, before)
  const bytes = change.type === 'put' ? Buffer.byteLength(key) + Buffer.byteLength(change.member.value) : 0
  const entry: Entry = { sorted: before?.sorted ?? sortKey(key), change, bytes }
  of.entries.set(key, entry)
  of.feed.insert(entry)
  state.feed.insert(entry)
  if (change.type !== 'put') {
    state.tombstones.insert(entry)
    return
  }
  of.members.insert(entry)
  of.count++
  of.bytes += bytes
  if (change.member.expiresAtMs !== null) state.expiries.insert(entry)
}

/** Deletes up to `limit` tombstones older than a time, as far as the first that is younger, and returns how many. */
export function forgetTombstones(state: State, beforeMs: number, limit: number): number {
  for (let forgotten = 0; ; forgotten++) {
    const oldest = state.tombstones.first()
    if (forgotten === limit || oldest === undefined || oldest.change.type === 'put') return forgotten
    if (stampToMs(oldest.change.tombstone.clock) >= beforeMs) return forgotten
    forget(state, oldest)
  }
}

function forget(state: State, entry: Entry): void {
  const of = collectionOf(state, entry.change.collection)
  removeFromOrders(state, of, entry)
  of.entries.delete(keyOf(entry.change))
  if (of.entries.size === 0) state.collections.delete(of.name)
  state.forgotten = revisionOf(entry.change)
}

function collectionOf(state: State, name: string): CollectionState {
  const known = state.collections.get(name)
  if (known !== undefined) return known
  const members = orderedList<Entry>((a, b) => a.sorted < b.sorted)
  const made = { name, entries: new Map(), members, feed: orderedList(isOlder), count: 0, bytes: 0 }
  state.collections.set(name, made)
  return made
}

function removeFromOrders(state: State, of: CollectionState, entry: Entry): void {
  of.feed.delete(entry)
  state.feed.delete(entry)
  if (entry.change.type !== 'put') {
    state.tombstones.delete(entry)
    return
  }
  of.members.delete(entry)
  of.count--
  of.bytes -= entry.bytes
  if (entry.change.member.expiresAtMs !== null) state.expiries.delete(entry)
}
