import { keyOfSortKey, sortKey } from '../../core/keys.ts'
import {
  type Chunk,
  recordBytes,
  recordCollection,
  recordExpiresAtMs,
  recordKey,
  recordKind,
  recordReplacedBytes,
} from './record.ts'
import { type Cursor, type SortedStrings, sortedStrings } from './sorted.ts'

/**
 * What one segment of the log says, found by key: for each member the offset of its latest record. The records
 * themselves stay in the segment's chunk; nothing is copied.
 */
export interface Memtable {
  readonly chunk: Chunk
  readonly collections: Map<string, MemtableCollection>
  /** Offsets of all records in the order of their revisions. */
  readonly offsets: number[]
  /** Offsets of puts that set an expiry. */
  readonly expiring: number[]
}

interface MemtableCollection {
  readonly offsets: Map<string, number>
  /** The keys as `sortKey` gives them. */
  readonly sorted: SortedStrings
}

export function memtable(chunk: Chunk): Memtable {
  return { chunk, collections: new Map(), offsets: [], expiring: [] }
}

/** Makes the record at an offset the latest of its member. Records come in the order of their revisions. */
export function addRecord(table: Memtable, at: number, collection: string, key: string): void {
  let found = table.collections.get(collection)
  if (found === undefined) {
    found = { offsets: new Map(), sorted: sortedStrings() }
    table.collections.set(collection, found)
  }
  const before = found.offsets.size
  found.offsets.set(key, at)
  if (found.offsets.size > before) found.sorted.insert(sortKey(key))
  table.offsets.push(at)
  if (recordKind(table.chunk, at) === 'put' && recordExpiresAtMs(table.chunk, at) !== null)
    table.expiring.push(at)
}

/** As `addRecord`, for a record read back from disk. */
export function addStoredRecord(table: Memtable, at: number): void {
  addRecord(table, at, recordCollection(table.chunk, at), recordKey(table.chunk, at))
}

export interface Found {
  readonly table: Memtable
  readonly at: number
}

/** The latest record of a member in several tables, the newest last. */
export function findRecord(tables: readonly Memtable[], collection: string, key: string): Found | null {
  for (let i = tables.length - 1; i >= 0; i--) {
    const table = tables[i]!
    const at = table.collections.get(collection)?.offsets.get(key)
    if (at !== undefined) return { table, at }
  }
  return null
}

/** Whether a record is still the latest of its member. */
export function isLatest(tables: readonly Memtable[], table: Memtable, at: number): boolean {
  const found = findRecord(tables, recordCollection(table.chunk, at), recordKey(table.chunk, at))
  return found?.table === table && found.at === at
}

/**
 * The keys of a collection that any of the tables knows, each once, in order. Strings compare by UTF-16 units, keys
 * by UTF-8 bytes; so a key with a character beyond ASCII is sorted as the string of its bytes.
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
    heads.push(...(table.collections.get(collection)?.sorted.cursors(low, high, order) ?? []))
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

/** How a record changes its collection: members and bytes, more or less. */
export function recordDelta(chunk: Chunk, at: number): { members: number; bytes: number } {
  const replacedBytes = recordReplacedBytes(chunk, at)
  const was = replacedBytes < 0 ? 0 : 1
  const is = recordKind(chunk, at) === 'put' ? 1 : 0
  return { members: is - was, bytes: is * recordBytes(chunk, at) - was * Math.max(0, replacedBytes) }
}
