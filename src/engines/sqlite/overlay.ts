import { EncodedRef } from '../../core/encoded-ref.ts'
import type { MemberRef, ScanPage, ScanRange } from '../../core/engine.ts'
import { compareKeys, keyAfter, sortKey } from '../../core/keys.ts'
import { maxPageBytes } from '../../core/limits.ts'
import {
  isVersion,
  type Member,
  type MemberHead,
  type MemberVersion,
  type Tombstone,
} from '../../core/member.ts'
import type { StoredOrigin } from '../../core/origin.ts'
import type { PagesMode } from '../engine-names.ts'
import { checkedPages, guardedPages, noPages } from './btree/guarded-pages.ts'
import { openPages, type PageReader } from './btree/pages.ts'
import { maxPrefetched } from './btree/search-keys.ts'
import type { TreeKey } from './btree/tree-check.ts'
import { type InTables, mayBeInTables } from './in-tables.ts'
import { type Found, findRecord, findRecords, type Memtable, overlayKeys } from './memtable/memtable.ts'
import { damagedMember, damagedStore } from './table/damage.ts'
import type { TreeName, TreeRoots } from './table/schema.ts'
import { mappedBytes } from './table/sql-connection.ts'
import { openReader } from './table/sql-reader.ts'
import type { MemberRowCursor, TableReader } from './table/table-reader.ts'
import {
  type Chunk,
  type ExistingVersion,
  recordBytes,
  recordClock,
  recordCreatedAtMs,
  recordExpiresAtMs,
  recordHead,
  recordKind,
  recordMember,
  recordNode,
  recordRevision,
  recordTombstone,
  recordValueBytes,
  recordValuePart,
} from './wal/record.ts'
import { tombstoneOrigin } from './wal/tombstone-node.ts'

/** The state of the store: the tables, overlaid by the memtables of segments that are not flushed yet. */
export interface Overlay extends InTables {
  /** The memtables, oldest first. */
  readonly tables: Memtable[]
  readonly reader: TableReader
  /** Reads members by key for clients; see `mappedBytes`. */
  readonly wideReader: TableReader
  /** The tables' file is at most `mappedBytes.small`, so writers too use the wide reader and the pages. */
  isSmall: boolean
  /** Reads members from mapped pages; tried before `wideReader`. See pages.ts. */
  readonly pages: PageReader
  /**
   * A description of the damage of the tables, or null. Rows that are found are still verified and served. Absence of a
   * member and completeness of a list can no longer be guaranteed, so both throw `damaged`. Writes continue.
   */
  damage: string | null
}

export interface OverlayOptions {
  readonly dbPath: string
  readonly roots: TreeRoots
  /** The collections in the tables. */
  readonly collections: Iterable<string>
  readonly pages: PagesMode
  readonly isMemoryScarce: boolean
  readonly warn: (line: string) => void
}

export function openOverlay(options: OverlayOptions): Overlay {
  const { dbPath, collections, isMemoryScarce } = options
  const reader = openReader(dbPath, isMemoryScarce ? 0 : mappedBytes.usual)
  const wideReader = openReader(dbPath, isMemoryScarce ? 0 : mappedBytes.wide)
  // The first read creates the -shm file, which the guard of the pages reads.
  const isFileSmall = isSmall(reader)
  return {
    tables: [],
    reader,
    wideReader,
    pages: pagesOf(options, wideReader),
    isSmall: isFileSmall,
    inTables: new Set(collections),
    lastInTables: new Map(),
    damage: null,
  }
}

function pagesOf(
  { dbPath, roots, pages: mode, isMemoryScarce, warn }: OverlayOptions,
  reader: TableReader,
): PageReader {
  // Reading a mapped page makes the kernel map the pages around it too, which costs memory.
  if (mode === 'off' || (mode === 'on' && isMemoryScarce)) return noPages()
  const pages = guardedPages(dbPath, openPages(dbPath, roots, reader.value), warn)
  return mode === 'on' ? pages : checkedPages(pages, reader, endProcess)
}

/** Ends the process: the pages were read wrongly, so none of its responses can be trusted any more. */
function endProcess(line: string): never {
  process.stderr.write(`${line}\n`)
  process.exit(1)
}

function isSmall(reader: TableReader): boolean {
  try {
    return reader.bytes() <= mappedBytes.small
  } catch {
    // The reads that follow report the error.
    return false
  }
}

/** Ends the read transactions, so that every later read sees the newest state of the tables. */
export function releaseReaders(overlay: Overlay): void {
  const { reader, wideReader } = overlay
  reader.release()
  wideReader.release()
  overlay.isSmall = isSmall(reader)
}

export function closeReaders({ reader, wideReader, pages }: Overlay): void {
  reader.close()
  wideReader.close()
  // The last to close the file: see mapped-file.ts.
  pages.close()
}

/** The number of keys that a scan with this limit examines before it returns where to continue. */
export function mostExamined(limit: number): number {
  return Math.max(1000, limit * 10)
}

export function readMember(overlay: Overlay, collection: string, key: string): Member | null {
  const found = findRecord(overlay.tables, collection, key)
  return found === null ? memberInTables(overlay, collection, key, 0) : memberOfRecord(found, key)
}

export function memberOfRecord({ table, at }: Found, key: string): Member | null {
  const { chunk } = table
  return recordKind(chunk, at) === 'put' ? recordMember(chunk, at, key) : null
}

/** Reads a member from the tables; `slot` is that of `PageReader.read`. Throws `damaged`. */
export function memberInTables(
  overlay: Overlay,
  collection: string,
  key: string,
  slot: number,
): Member | null {
  const { wideReader, pages, inTables, damage } = overlay
  if (damage === null && !inTables.has(collection)) return null
  const read = pages.read(collection, key, slot)
  const member = read === undefined ? wideReader.read(collection, key) : read
  // A page in an unexpected format may be damaged, and the row that SQLite finds there a deleted one.
  if (read === undefined) requireWholeKey(overlay, 'members', collection, key)
  if (member !== null) return member
  if (damage !== null) throw damagedMember(collection, key, damage)
  wideReader.verifyAbsence(collection, key)
  if (read === null) requireWholeKey(overlay, 'members', collection, key)
  return null
}

/** Throws `damaged` unless the pages of a range of keys are valid: otherwise rows may be missing from them. */
export function requireWhole({ pages }: Overlay, name: TreeName, from: TreeKey, to: TreeKey): void {
  const damage = pages.damageIn(name, from, to)
  if (damage !== null) throw damagedStore(damage)
}

function requireWholeKey({ pages }: Overlay, name: TreeName, collection: string, key: string): void {
  const treeKey = [collection, key]
  const damage = pages.damageIn(name, treeKey, treeKey)
  if (damage !== null) throw damagedMember(collection, key, damage)
}

/** As `readMember`, without the value. Reads by SQL only: callers need it where a large value has no room. */
export function readMemberHead(overlay: Overlay, collection: string, key: string): MemberHead | null {
  const { tables, wideReader, inTables } = overlay
  const found = findRecord(tables, collection, key)
  if (found === null) {
    if (!inTables.has(collection)) return null
    const head = wideReader.readHead(collection, key)
    requireWholeKey(overlay, 'members', collection, key)
    return head
  }
  const { chunk } = found.table
  return recordKind(chunk, found.at) === 'put' ? recordHead(chunk, found.at, key) : null
}

/** See `Engine.readPart`. Reads by SQL only, as `readMemberHead`. */
export function readMemberPart(
  { tables, wideReader, inTables }: Overlay,
  { collection, key }: MemberRef,
  version: MemberVersion,
  from: number,
  to: number,
): Uint8Array | null {
  const found = findRecord(tables, collection, key)
  if (found === null) {
    return inTables.has(collection) ? wideReader.part(collection, key, version, from, to) : null
  }
  const { chunk } = found.table
  const { at } = found
  const current = { revision: recordRevision(chunk, at), clock: recordClock(chunk, at) }
  if (recordKind(chunk, at) !== 'put' || !isVersion(current, version)) return null
  return recordValuePart(chunk, at, from, to)
}

/**
 * As `readMember`, for several members, in batches of `maxPrefetched`. Returns early, after the member with which the
 * values exceed `maxBytes`.
 */
export function readMembers(
  overlay: Overlay,
  refs: readonly MemberRef[],
  maxBytes: number,
): (Member | null)[] {
  const members: (Member | null)[] = []
  let bytes = 0
  for (let from = 0; from < refs.length; from += maxPrefetched) {
    const some = from === 0 && refs.length <= maxPrefetched ? refs : refs.slice(from, from + maxPrefetched)
    const { records, slots } = prefetch(overlay, some)
    for (let i = 0; i < some.length; i++) {
      const { collection, key } = some[i]!
      const record = records[i]!
      const slot = slots[i]!
      const member =
        record !== null
          ? memberOfRecord(record, key)
          : slot === 0 && overlay.damage === null
            ? null
            : memberInTables(overlay, collection, key, slot)
      members.push(member)
      if (member !== null) bytes += member.value.length
      if (bytes > maxBytes) return members
    }
  }
  return members
}

interface Prefetched {
  /** The latest record of each member; null where none is in the memtables. */
  readonly records: readonly (Found | null)[]
  /** See `PageReader.read`; 0 of a member that is in the memtables, or nowhere. */
  readonly slots: Uint16Array
}

const slots = new Uint16Array(maxPrefetched)
/** Those of members whose pages are not prefetched. */
const noSlots = new Uint16Array(maxPrefetched)

/** Looks up members in the memtables, and prefetches the pages of the others. Its result is valid until the next call. */
export function prefetch(overlay: Overlay, refs: readonly MemberRef[]): Prefetched {
  const { tables, pages } = overlay
  const records = findRecords(tables, refs)
  const inPages: MemberRef[] = []
  let collection: string | null = null
  let isInTables = false
  let last: string | undefined
  for (let i = 0; i < refs.length; i++) {
    const ref = refs[i]!
    if (ref.collection !== collection) {
      collection = ref.collection
      isInTables = overlay.inTables.has(collection)
      last = overlay.lastInTables.get(collection)
    }
    const isSought = isInTables && records[i] === null && isUpTo(last, ref)
    slots[i] = isSought ? inPages.push(ref) : 0
  }
  pages.prefetch(inPages)
  return { records, slots }
}

/** Whether the last key that a collection may have is at or past a member's, or not known. Keys as bytes are not compared. */
function isUpTo(last: string | undefined, ref: MemberRef): boolean {
  return last === undefined || ref instanceof EncodedRef || sortKey(ref.key) <= last
}

export function readTombstone(overlay: Overlay, collection: string, key: string): Tombstone | null {
  const { tables, reader } = overlay
  const found = findRecord(tables, collection, key)
  if (found === null) {
    const tombstone = reader.tombstone(collection, key)
    requireWholeKey(overlay, 'tombstones', collection, key)
    return tombstone
  }
  const { chunk } = found.table
  return recordKind(chunk, found.at) === 'put' ? null : recordTombstone(chunk, found.at, key)
}

/** Reads the versions that writes replace, for at most `maxPrefetched` members. */
export function readExistingVersions(
  overlay: Overlay,
  refs: readonly MemberRef[],
): (ExistingVersion | null)[] {
  const { records, slots } = overlay.isSmall
    ? prefetch(overlay, refs)
    : { records: findRecords(overlay.tables, refs), slots: noSlots }
  return refs.map((ref, i) => {
    const record = records[i]!
    return record === null
      ? existingInTables(overlay, ref, slots[i]!)
      : recordExistingVersion(record.table.chunk, record.at)
  })
}

function existingInTables(overlay: Overlay, ref: MemberRef, slot: number): ExistingVersion | null {
  const { reader, wideReader, pages, isSmall, damage } = overlay
  const { collection, key } = ref
  if (damage === null && !mayBeInTables(overlay, ref)) return null
  if (!isSmall) return reader.existing(collection, key)
  const read = pages.existing(collection, key, slot)
  if (read !== undefined) return read
  const existing = wideReader.existing(collection, key)
  // The pages cannot be read now, or one of them is not in the expected format.
  requireWholeKey(overlay, 'members', collection, key)
  return existing
}

/** Reads the origin of a member or its tombstone, from the log or else the tables: for writes with an origin. */
export function readOrigin(overlay: Overlay, { collection, key }: MemberRef): StoredOrigin | null {
  const { tables, reader } = overlay
  const found = findRecord(tables, collection, key)
  if (found !== null) return recordOrigin(found.table.chunk, found.at)
  const origin = reader.origin(collection, key)
  requireWholeKey(overlay, 'members', collection, key)
  if (origin?.isTombstone !== false) requireWholeKey(overlay, 'tombstones', collection, key)
  return origin
}

export function recordOrigin(chunk: Chunk, at: number): StoredOrigin {
  const isTombstone = recordKind(chunk, at) !== 'put'
  const [clock, node] = [recordClock(chunk, at), recordNode(chunk, at)]
  const revision = recordRevision(chunk, at)
  if (isTombstone) return { ...tombstoneOrigin(node, clock), revision, isTombstone }
  return { clock, node, revision, isTombstone }
}

export function recordExistingVersion(chunk: Chunk, at: number): ExistingVersion | null {
  if (recordKind(chunk, at) !== 'put') return null
  return {
    revision: recordRevision(chunk, at),
    createdAtMs: recordCreatedAtMs(chunk, at),
    expiresAtMs: recordExpiresAtMs(chunk, at),
    bytes: recordBytes(chunk, at),
  }
}

export function scanMembers(overlay: Overlay, range: ScanRange): ScanPage {
  if (overlay.damage !== null) throw damagedStore(overlay.damage)
  const page = scanTables(overlay, range, (rows) => mergeMembers(overlay, range, rows))
  requireWholePage(overlay, range, page.next)
  return page
}

/** Throws `damaged` unless the pages with the rows of a page of a range are valid. */
export function requireWholePage(overlay: Overlay, range: ScanRange, next: string | null): void {
  const { collection, order, from, to } = range
  const [first, last] = order === 'asc' ? [from, next ?? to] : [next ?? from, to]
  const bound = (key: string | null) => (key === null ? [collection] : [collection, key])
  if (overlay.inTables.has(collection)) requireWhole(overlay, 'members', bound(first), bound(last))
}

/** Calls `merge` with the rows of the tables in a range; where it reads from the pages in vain, once more. */
function scanTables(
  { reader, pages, inTables }: Overlay,
  range: ScanRange,
  merge: (rows: MemberRowCursor | null) => ScanPage,
): ScanPage {
  if (!inTables.has(range.collection)) return merge(null)
  const page = pages.scan(range, merge)
  if (page !== undefined) return page
  const rows = reader.scan(range)
  try {
    return merge(rows)
  } finally {
    rows.close()
  }
}

/** Returns a page of a range: merges the rows of the tables with the records of the memtables, which win. */
function mergeMembers(overlay: Overlay, range: ScanRange, rows: MemberRowCursor | null): ScanPage {
  const { collection, from, to, order, limit, keysOnly, maxBytes = maxPageBytes } = range
  const keys = overlayKeys(overlay.tables, collection, from, to, order)
  const members: Member[] = []
  let bytes = 0
  let examined = 0
  let last: string | null = null
  const enough = mostExamined(limit)
  let key = keys.next()
  let hasRow = rows?.next() ?? false
  while (!key.done || hasRow) {
    const side = key.done ? 1 : !hasRow ? -1 : compareKeys(key.value, rows!.key) * (order === 'asc' ? 1 : -1)
    const current: string = side <= 0 ? key.value! : rows!.key
    const record = side <= 0 ? latestPut(overlay.tables, collection, current) : null
    if (!keysOnly) bytes += side <= 0 ? valueBytesOf(record) : rows!.valueBytes
    const isCut = bytes > maxBytes
    if (members.length === limit || isCut || examined === enough) {
      return { members, next: order === 'asc' ? current : (last ?? keyAfter(current)), isCut }
    }
    examined++
    last = current
    if (side > 0) members.push(rows!.member(keysOnly))
    else if (record !== null) members.push(recordMember(record.table.chunk, record.at, current, keysOnly))
    if (side <= 0) key = keys.next()
    if (side >= 0) hasRow = rows!.next()
  }
  return { members, next: null, isCut: false }
}

/** The latest record of a member in the memtables; null where it is a tombstone, or there is none. */
export function latestPut(tables: readonly Memtable[], collection: string, key: string): Found | null {
  const found = findRecord(tables, collection, key)
  return found === null || recordKind(found.table.chunk, found.at) !== 'put' ? null : found
}

export function valueBytesOf(record: Found | null): number {
  return record === null ? 0 : recordValueBytes(record.table.chunk, record.at)
}
