import { EncodedRef } from '../../../core/encoded-ref.ts'
import type { MemberRef } from '../../../core/engine.ts'
import { keyOfSortKey, sortKey } from '../../../core/keys.ts'
import {
  type Chunk,
  isRecordOf,
  recordBytes,
  recordCollection,
  recordExpiresAtMs,
  recordKey,
  recordKind,
  recordReplacedBytes,
} from '../wal/record.ts'
import { type Cursor, type SortedStrings, sortedStrings } from './sorted.ts'

/**
 * The index of one segment of the log: for each member the offset of its latest record. The records themselves stay in
 * the segment's chunk: nothing is copied, and the garbage collector traverses only the sorted keys.
 */
export interface Memtable {
  readonly chunk: Chunk
  readonly slots: HashSlots
  /** The keys of each collection, as `sortKey` returns them. */
  readonly collections: Map<string, SortedStrings>
  /** Offsets of all records in the order of their revisions. */
  readonly offsets: number[]
  /** Offsets of puts that set an expiry. */
  readonly expiring: number[]
}

/**
 * A hash table with open addressing: pairs of a hash and an offset + 1, which is 0 in a free slot. Load factor ≤ 0.5.
 */
interface HashSlots {
  pairs: Uint32Array
  count: number
}

const firstSlots = 1024

export function memtable(chunk: Chunk): Memtable {
  const slots = { pairs: new Uint32Array(firstSlots * 2), count: 0 }
  return { chunk, slots, collections: new Map(), offsets: [], expiring: [] }
}

/** Makes the record at an offset the latest of its member. Call it in the order of positions. */
export function addRecord(table: Memtable, at: number, collection: string, key: string): void {
  const sorted = sortKey(key)
  if (setSlot(table, hashOf(collection, sorted), collection, sorted, at)) {
    let keys = table.collections.get(collection)
    if (keys === undefined) {
      keys = sortedStrings()
      table.collections.set(collection, keys)
    }
    keys.insert(sorted)
  }
  table.offsets.push(at)
  if (recordKind(table.chunk, at) === 'put' && recordExpiresAtMs(table.chunk, at) !== null)
    table.expiring.push(at)
}

/** Of ascending keys at most this share may be out of order. */
const lateShare = 1 / 16

/** Returns whether nearly all keys came in order, as those of an import do: their rows are neighbours in the tables. */
export function isAscending({ collections }: Memtable): boolean {
  let count = 0
  let late = 0
  for (const keys of collections.values()) {
    const own = keys.inserted()
    count += own.count
    late += own.late
  }
  return late <= count * lateShare
}

/** As `addRecord`, for a record read back from disk. */
export function addStoredRecord(table: Memtable, at: number): void {
  addRecord(table, at, recordCollection(table.chunk, at), recordKey(table.chunk, at))
}

/** Sets the offset of a key; returns whether the key is new. */
function setSlot(table: Memtable, hash: number, collection: string, sorted: string, at: number): boolean {
  const { slots, chunk } = table
  const { pairs } = slots
  const mask = pairs.length / 2 - 1
  let i = hash & mask
  for (; pairs[i * 2 + 1] !== 0; i = (i + 1) & mask) {
    if (pairs[i * 2] !== hash || !isRecordOf(chunk, pairs[i * 2 + 1]! - 1, collection, sorted)) continue
    pairs[i * 2 + 1] = at + 1
    return false
  }
  pairs[i * 2] = hash
  pairs[i * 2 + 1] = at + 1
  slots.count++
  if (slots.count * 4 > pairs.length) grow(slots)
  return true
}

function grow(slots: HashSlots): void {
  const old = slots.pairs
  const pairs = new Uint32Array(old.length * 2)
  const mask = pairs.length / 2 - 1
  for (let from = 0; from < old.length; from += 2) {
    if (old[from + 1] === 0) continue
    let i = old[from]! & mask
    while (pairs[i * 2 + 1] !== 0) i = (i + 1) & mask
    pairs[i * 2] = old[from]!
    pairs[i * 2 + 1] = old[from + 1]!
  }
  slots.pairs = pairs
}

/** Random for each process, so that clients cannot choose keys that collide. */
const basis = crypto.getRandomValues(new Uint32Array(1))[0]!

/** The collection hashed last, which most members share with the one before. */
let lastCollection = ''
let lastCollectionHash = basis

/** FNV-1a over the characters, then a final mix so that the low bits, which choose the slot, depend on all of them. */
function hashOf(collection: string, sorted: string): number {
  let hash = hashOfCollection(collection)
  for (let i = 0; i < sorted.length; i++) hash = Math.imul(hash ^ sorted.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** As `hashOf`: the characters of a sorted key are the bytes of the key. */
function hashOfEncoded({ collection, bytes, from, to }: EncodedRef): number {
  let hash = hashOfCollection(collection)
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return mixed(hash)
}

function hashOfCollection(collection: string): number {
  if (collection !== lastCollection) {
    lastCollection = collection
    lastCollectionHash = basis
    for (let i = 0; i < collection.length; i++)
      lastCollectionHash = Math.imul(lastCollectionHash ^ collection.charCodeAt(i), 0x01000193)
  }
  return lastCollectionHash
}

function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (once ^ (once >>> 13)) >>> 0
}

export interface Found {
  readonly table: Memtable
  readonly at: number
}

/** Returns the latest record of a member in several memtables, which are ordered oldest first; null for none. */
export function findRecord(tables: readonly Memtable[], collection: string, key: string): Found | null {
  if (tables.length === 0) return null
  const sorted = sortKey(key)
  return findHashed(tables, hashOf(collection, sorted), collection, sorted)
}

function findHashed(
  tables: readonly Memtable[],
  hash: number,
  collection: string,
  sorted: string | EncodedRef,
): Found | null {
  for (let t = tables.length - 1; t >= 0; t--) {
    const table = tables[t]!
    const { pairs } = table.slots
    const mask = pairs.length / 2 - 1
    for (let i = hash & mask; pairs[i * 2 + 1] !== 0; i = (i + 1) & mask) {
      if (pairs[i * 2] !== hash) continue
      const at = pairs[i * 2 + 1]! - 1
      if (isRecordOf(table.chunk, at, collection, sorted)) return { table, at }
    }
  }
  return null
}

/** Scratch for `findRecords`: the hashes of its members. */
let hashes = new Uint32Array(64)
/** A sink for the loads that come before the search, which the compiler would remove otherwise. */
const touched = new Uint32Array(1)

/**
 * As `findRecord`, for several members. The hash slots of all are loaded into the processor's cache before the first
 * member is searched, so that their cache misses overlap. A key behind all those of its collection is not searched: an
 * import in the order of keys searches none.
 */
export function findRecords(tables: readonly Memtable[], refs: readonly MemberRef[]): (Found | null)[] {
  const found: (Found | null)[] = []
  if (tables.length === 0) {
    for (let i = 0; i < refs.length; i++) found.push(null)
    return found
  }
  if (refs.length > hashes.length) hashes = new Uint32Array(refs.length)
  const sorted: (string | EncodedRef | null)[] = []
  let bounded: string | undefined
  let last: string | null = null
  for (let i = 0; i < refs.length; i++) {
    const ref = refs[i]!
    const { collection } = ref
    if (collection !== bounded) {
      bounded = collection
      last = lastKey(tables, collection)
    }
    const text = last === null || ref instanceof EncodedRef ? null : sortKey(ref.key)
    if (last === null || (text !== null && text > last)) {
      sorted.push(null)
      continue
    }
    const hash = ref instanceof EncodedRef ? hashOfEncoded(ref) : hashOf(collection, text!)
    sorted.push(ref instanceof EncodedRef ? ref : text)
    hashes[i] = hash
    for (const { slots } of tables) touched[0]! ^= slots.pairs[(hash & (slots.pairs.length / 2 - 1)) * 2]!
  }
  for (let i = 0; i < refs.length; i++) {
    const text = sorted[i]!
    found.push(text === null ? null : findHashed(tables, hashes[i]!, refs[i]!.collection, text))
  }
  return found
}

/** Returns the last key of a collection in the memtables, as `sortKey` returns it; null if they have none of its keys. */
function lastKey(tables: readonly Memtable[], collection: string): string | null {
  let last: string | null = null
  for (const { collections } of tables) {
    const own = collections.get(collection)?.last() ?? null
    if (own !== null && (last === null || own > last)) last = own
  }
  return last
}

/** Whether a record is still the latest of its member. */
export function isLatest(tables: readonly Memtable[], table: Memtable, at: number): boolean {
  const found = findRecord(tables, recordCollection(table.chunk, at), recordKey(table.chunk, at))
  return found?.table === table && found.at === at
}

/**
 * Yields the distinct keys of a collection in the memtables, in order. Strings compare by UTF-16 units, keys by UTF-8
 * bytes; so a key with a character beyond ASCII is sorted as the string of its bytes (`sortKey`).
 */
export function* overlayKeys(
  tables: readonly Memtable[],
  collection: string,
  from: string | null,
  to: string | null,
  order: 'asc' | 'desc',
): Generator<string> {
  const low = from === null ? null : sortKey(from)
  const high = to === null ? null : sortKey(to)
  let heads: Cursor[] = []
  for (const table of tables) {
    heads.push(...(table.collections.get(collection)?.cursors(low, high, order) ?? []))
  }
  while (heads.length > 0) {
    let best = heads[0]!.run[heads[0]!.at]!
    for (const { run, at } of heads) {
      const text = run[at]!
      if (order === 'asc' ? text < best : text > best) best = text
    }
    let ended = false
    for (const head of heads) {
      if (head.run[head.at] !== best) continue
      head.at += head.step
      if (head.at === head.end) ended = true
    }
    if (ended) heads = heads.filter(({ at, end }) => at !== end)
    yield keyOfSortKey(best)
  }
}

/** The number of members of a collection, and the bytes of their keys and values. */
interface Counts {
  members: number
  bytes: number
}

/** Adds the change that a record makes to the counts of its collection. */
export function countRecord(counts: Map<string, Counts>, collection: string, chunk: Chunk, at: number): void {
  let known = counts.get(collection)
  if (known === undefined) {
    known = { members: 0, bytes: 0 }
    counts.set(collection, known)
  }
  addToCounts(known, chunk, at, 1)
  if (known.members === 0 && known.bytes === 0) counts.delete(collection)
}

/** Adds the change that a record makes to counts; with -1 takes it back. */
export function addToCounts(counts: Counts, chunk: Chunk, at: number, sign: 1 | -1): void {
  const replacedBytes = recordReplacedBytes(chunk, at)
  if (replacedBytes >= 0) {
    counts.members -= sign
    counts.bytes -= sign * replacedBytes
  }
  if (recordKind(chunk, at) === 'put') {
    counts.members += sign
    counts.bytes += sign * recordBytes(chunk, at)
  }
}
