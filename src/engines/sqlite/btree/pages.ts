import { statSync } from 'node:fs'
import type { MemberRef } from '../../../core/engine.ts'
import type { Member } from '../../../core/member.ts'
import type { MemberVisitor } from '../../../core/member-visitor.ts'
import type { TreeName, TreeRoots } from '../table/schema.ts'
import type { MemberRowCursor, TableRange, TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { PageCursor } from './cursor.ts'
import { type MappedFile, mapFile } from './mapped-file.ts'
import { MappedTree } from './mapped-tree.ts'
import { absent, unsupported } from './page-format.ts'
import { PageScan, type VisitCursor } from './page-scan.ts'
import { absentRow, Prefetcher, unknownRow } from './prefetch.ts'
import { notVisited, RowReader } from './row-reader.ts'
import { SearchKeys } from './search-keys.ts'
import { TreeCheck, type TreeKey } from './tree-check.ts'

/**
 * Reads members from the mapped pages of the tables' file (page-format.ts), at half the cost of SQLite
 * (docs/design/engine-sqlite.md). `members` is a b-tree with whole rows in both leaves and interior pages.
 *
 * It reads the state in the file itself, without SQLite's write-ahead log, and only while the file is not being written.
 * The rows of a flush are in the write-ahead log until a checkpoint moves them, and in memtables until after that. So the
 * flusher reports before and after each checkpoint; where a checkpoint did not move everything, SQLite reads the table.
 * SQLite also reads rows with overflow pages, and pages that are not in the expected format.
 */
export interface PageReader {
  /**
   * Reads a member. Null means that there is none; undefined that SQLite must read it. `slot` is the member's position in
   * the last `prefetch`, from 1 on; 0 for none. Throws `damaged`.
   */
  read(collection: string, key: string, slot?: number): Member | null | undefined
  /**
   * Visits the row of a member where it lies, and returns the size of its value; -1 for a member that is not visited, because it
   * is to be read as an object or there is none. Throws `damaged`.
   */
  visit(ref: MemberRef, slot: number, visitor: MemberVisitor): number
  existing(collection: string, key: string, slot?: number): ExistingVersion | null | undefined
  /**
   * Locates the rows of at most `maxPrefetched` members (prefetch.ts). Read them, in any order, in the same tick of the
   * event loop.
   */
  prefetch(refs: readonly MemberRef[]): void
  /**
   * Calls `use` with a cursor over members of a range of keys, and returns its result; undefined where SQLite must read
   * them. Throws `damaged`.
   */
  scan<Result>(range: TableRange, use: (rows: MemberRowCursor) => Result): Result | undefined
  /** As `scan`, with a cursor whose rows can be visited; `use` may visit rows although undefined is returned. */
  visitRange<Result>(range: TableRange, use: (rows: VisitCursor) => Result): Result | undefined
  /** Returns the damage of the pages of a range of keys; null for none, and while the pages cannot be read. */
  damageIn(name: TreeName, from: TreeKey, to: TreeKey): string | null
  /** The file is about to be written. */
  pause(): void
  /**
   * The file is no longer being written. `isMoved` says that it has all pages of SQLite's write-ahead log, which is only
   * truncated later.
   */
  resume(isMoved?: boolean): void
  /** The flusher starts on a job that may commit. */
  jobBegins(): void
  /** The job has committed `commits` transactions; null when the number is unknown, because the job failed. */
  jobEnded(commits: number | null): void
  close(): void
}

/** After a whole interval without a read the memory is released. */
const idleMs = 10_000

/** Opens the file. Tests pass a small `maxIndexBytes`, so that some pages have no index. */
export function openPages(
  path: string,
  roots: TreeRoots,
  readValue: TableReader['value'],
  maxIndexBytes?: number,
): PageReader {
  const file = mapFile(path)
  const tree = new MappedTree(roots.members, maxIndexBytes)
  const check = new TreeCheck(tree, roots)
  const searchKeys = new SearchKeys()
  const cursor = new PageCursor(tree, searchKeys, check)
  const prefetcher = new Prefetcher(tree, searchKeys, cursor)
  const rows = new RowReader(readValue)
  const loader = rowLoader(cursor, searchKeys, prefetcher, rows)
  let isOpen = false
  let wasUsed = false
  let holdsMemory = false

  function load(collection: string, key: string, slot: number): number {
    if (!isOpen) return unsupported
    wasUsed = true
    return loader.load(collection, key, slot)
  }

  function walk<Result>(range: TableRange, forVisits: boolean, use: (rows: PageScan) => Result) {
    if (!isOpen) return undefined
    wasUsed = true
    return scanPages(new PageScan(tree, check, range, readValue, forVisits), check, use)
  }

  function resume(isMoved = false): void {
    if (file === null || (!isMoved && fileBytes(`${path}-wal`) > 0)) return
    const { windows, bytes } = file.windows()
    isOpen = tree.reload(windows, bytes)
  }

  const idleTimer = setInterval(() => {
    if (!wasUsed && holdsMemory) releaseMemory(file, tree)
    holdsMemory = wasUsed
    wasUsed = false
  }, idleMs)
  idleTimer.unref()

  resume()
  return {
    read(collection, key, slot = 0) {
      const row = load(collection, key, slot)
      if (row < 0) return row === absent ? null : undefined
      rows.verify(collection)
      return rows.member(collection, key)
    },
    visit(ref, slot, visitor) {
      if (!isOpen) return notVisited
      wasUsed = true
      return loader.loadRef(ref, slot) ? rows.visit(ref.collection, visitor) : notVisited
    },
    existing(collection, key, slot = 0) {
      const row = load(collection, key, slot)
      if (row < 0) return row === absent ? null : undefined
      rows.verify(collection)
      return rows.existing()
    },
    prefetch(refs) {
      if (isOpen) prefetcher.prefetch(refs)
      else prefetcher.forget()
    },
    scan: (range, use) => walk(range, false, use),
    visitRange: (range, use) => walk(range, true, use),
    damageIn: (name, from, to) => (isOpen ? check.damageIn(name, from, to) : null),
    pause() {
      isOpen = false
      prefetcher.forget()
      check.endScan()
    },
    resume,
    jobBegins() {},
    jobEnded() {},
    close() {
      isOpen = false
      clearInterval(idleTimer)
      file?.close()
    },
  }
}

/** Finds single rows and loads them, from where they were prefetched or by their keys. */
function rowLoader(cursor: PageCursor, searchKeys: SearchKeys, prefetcher: Prefetcher, rows: RowReader) {
  /** As `seek`, of a slot with a search key: a row that was prefetched is the member's, or has the same hash. */
  function seekSlot(slot: number, row: number): number {
    searchKeys.select(slot)
    if (row !== unknownRow) {
      cursor.moveTo(prefetcher.pageOf(slot))
      return cursor.matches(row) ? row : cursor.seekInLeaf(prefetcher.leafOf(slot))
    }
    return cursor.seek()
  }

  /** Moves the cursor to the row's page and returns the row's offset, or `absent`, or `unsupported`. */
  function seek(collection: string, key: string, slot: number): number {
    const row = prefetcher.rowOf(slot)
    if (row === absentRow) return absent
    if (row !== unknownRow) return seekSlot(slot, row)
    searchKeys.set(0, collection, key)
    return seekSlot(0, row)
  }

  return {
    /** Loads the row and returns its offset, or `absent`, or `unsupported`. */
    load(collection: string, key: string, slot: number): number {
      const row = seek(collection, key, slot)
      return row < 0 || rows.load(cursor.bytes, cursor.view, row, cursor.end) ? row : unsupported
    },
    /** As `load`; false where there is no such row, or SQLite must read it. */
    loadRef(ref: MemberRef, slot: number): boolean {
      const prefetched = prefetcher.rowOf(slot)
      if (prefetched === absentRow) return false
      if (prefetched === unknownRow) searchKeys.setRef(0, ref)
      const row = seekSlot(prefetched === unknownRow ? 0 : slot, prefetched)
      return row >= 0 && rows.load(cursor.bytes, cursor.view, row, cursor.end)
    },
  }
}

function releaseMemory(file: MappedFile | null, tree: MappedTree): void {
  file?.release()
  tree.indexes.release()
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function scanPages<Result>(
  scan: PageScan,
  check: TreeCheck,
  use: (rows: PageScan) => Result,
): Result | undefined {
  try {
    const result = use(scan)
    return scan.isUnsupported ? undefined : result
  } catch (error) {
    check.endScan()
    throw error
  }
}
