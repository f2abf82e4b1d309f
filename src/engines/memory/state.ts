import { stampToMs } from '../../core/clock.ts'
import type { MemberRef } from '../../core/engine.ts'
import { sortKey } from '../../core/keys.ts'
import { type Change, keyOf, type Member, revisionOf } from '../../core/member.ts'
import type { CollectionSize } from '../../core/quota.ts'
import { type ChangeLog, changeLog } from './change-log.ts'
import { type OrderedList, orderedList } from './ordered-list.ts'

/** The engine's state: the latest change of each member, in a map by key and in each order that reads need. */

/** A member or its tombstone. */
export interface Entry {
  /** The key as `sortKey` returns it. */
  readonly sorted: string
  change: Change
  /** Length of key and value together; 0 for a tombstone. */
  bytes: number
}

interface CollectionState {
  readonly name: string
  readonly entries: Map<string, Entry>
  /** Entries of members, without tombstones, in key order. */
  readonly members: OrderedList<Entry>
  readonly feed: ChangeLog
  count: number
  bytes: number
}

export interface State {
  readonly collections: Map<string, CollectionState>
  readonly feed: ChangeLog
  /** The feed without puts. */
  readonly tombstones: ChangeLog
  /** Puts of members that expire, the earliest first. */
  readonly expiries: OrderedList<Change>
  lastRevision: number
  /** The revision of the newest forgotten tombstone; cursors before it are not served. */
  forgotten: number
  /** The largest stamp of the removal of a forgotten tombstone; 0 for none. */
  forgottenClock: number
}

export function newState(lastRevision: number): State {
  const collections = new Map<string, CollectionState>()
  const isLatest = (change: Change) => isLatestChange({ collections }, change)
  return {
    collections,
    feed: changeLog(isLatest),
    tombstones: changeLog(isLatest),
    expiries: orderedList((a, b) => {
      const [aMs, bMs] = [expiryOf(a)!, expiryOf(b)!]
      return aMs === bMs ? revisionOf(a) < revisionOf(b) : aMs < bMs
    }),
    lastRevision,
    forgotten: lastRevision,
    forgottenClock: 0,
  }
}

/** The expiry of a member; null for never, and for a tombstone. */
export function expiryOf(change: Change): number | null {
  return change.type === 'put' ? change.member.expiresAtMs : null
}

export function latestEntry(state: Pick<State, 'collections'>, { collection, key }: MemberRef): Entry | null {
  return state.collections.get(collection)?.entries.get(key) ?? null
}

export function latestChange(state: State, ref: MemberRef): Change | null {
  return latestEntry(state, ref)?.change ?? null
}

/** Whether a change is the latest of its member, and not a forgotten tombstone. */
export function isLatestChange(state: Pick<State, 'collections'>, change: Change): boolean {
  return latestEntry(state, { collection: change.collection, key: keyOf(change) })?.change === change
}

/** Reads the members of refs, up to and including the one with which their values exceed `maxBytes`. */
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
    if (member !== null) bytes += Buffer.byteLength(member.value)
    if (maxBytes !== undefined && bytes > maxBytes) break
  }
  return members
}

export function memberOf(change: Change | null): Member | null {
  return change?.type === 'put' ? change.member : null
}

/** Makes this change the latest of its member. A renewal replaces the change with the same revision. */
export function storeChange(state: State, change: Change): void {
  const of = collectionOf(state, change.collection)
  const key = keyOf(change)
  const known = of.entries.get(key)
  const before = known?.change ?? null
  const entry = known ?? { sorted: sortKey(key), change, bytes: 0 }
  if (known === undefined) of.entries.set(key, entry)
  entry.change = change
  count(of, entry, before, sizeOfMember(memberOf(change)))
  moveExpiry(state, before, change)
  moveInKeyOrder(of, entry, before)
  moveInFeed(state, of, before, change)
}

/** Length of key and value together; 0 for no member. */
export function sizeOfMember(member: Member | null): number {
  return member === null ? 0 : Buffer.byteLength(member.key) + Buffer.byteLength(member.value)
}

/** Returns the members of a collection and the bytes of their keys and values. */
export function sizeOfCollection({ collections }: State, name: string): CollectionSize {
  const of = collections.get(name)
  return of === undefined ? { members: 0, bytes: 0 } : { members: of.count, bytes: of.bytes }
}

function count(of: CollectionState, entry: Entry, before: Change | null, bytes: number): void {
  of.count += Number(entry.change.type === 'put') - Number(before?.type === 'put')
  of.bytes += bytes - entry.bytes
  entry.bytes = bytes
}

function moveExpiry({ expiries }: State, before: Change | null, change: Change): void {
  if (before !== null && expiryOf(before) !== null) expiries.delete(before)
  if (expiryOf(change) !== null) expiries.insert(change)
}

function moveInKeyOrder({ members }: CollectionState, entry: Entry, before: Change | null): void {
  const [was, is] = [before?.type === 'put', entry.change.type === 'put']
  if (was && !is) members.delete(entry)
  if (is && !was) members.insert(entry)
}

function moveInFeed(state: State, of: CollectionState, before: Change | null, change: Change): void {
  const isRenewal = before !== null && revisionOf(before) === revisionOf(change)
  for (const log of [state.feed, of.feed]) {
    if (isRenewal) log.replace(change)
    else log.append(change)
    if (before !== null && !isRenewal) log.overtake()
  }
  if (change.type !== 'put') state.tombstones.append(change)
  if (before !== null && before.type !== 'put') state.tombstones.overtake()
}

/** Deletes up to `limit` tombstones older than a time, as far as the first that is younger, and returns how many. */
export function forgetTombstones(state: State, beforeMs: number, limit: number): number {
  const old: Change[] = []
  for (const change of state.tombstones.after(state.forgotten)) {
    if (old.length === limit) break
    if (change.type === 'put' || !isLatestChange(state, change)) continue
    if (stampToMs(change.tombstone.removedClock) >= beforeMs) break
    old.push(change)
    state.forgottenClock = Math.max(state.forgottenClock, change.tombstone.removedClock)
  }
  for (const tombstone of old) forget(state, tombstone)
  return old.length
}

function forget(state: State, tombstone: Change): void {
  const of = collectionOf(state, tombstone.collection)
  of.entries.delete(keyOf(tombstone))
  if (of.entries.size === 0) state.collections.delete(of.name)
  for (const log of [state.feed, of.feed, state.tombstones]) log.overtake()
  state.forgotten = revisionOf(tombstone)
}

function collectionOf(state: State, name: string): CollectionState {
  const known = state.collections.get(name)
  if (known !== undefined) return known
  const made: CollectionState = {
    name,
    entries: new Map(),
    members: orderedList((a, b) => a.sorted < b.sorted),
    feed: changeLog((change) => isLatestChange(state, change)),
    count: 0,
    bytes: 0,
  }
  state.collections.set(name, made)
  return made
}
