import { PageCopy } from '../btree/page-check.ts'
import { number32, pageBytes } from '../btree/page-format.ts'
import type { StoredPages } from './stored-pages.ts'
import { StoredRow } from './stored-row.ts'
import { readSchema } from './stored-schema.ts'
import {
  isRowOf,
  type StoredTable,
  type StoredTableName,
  storedTableNames,
  storedTables,
} from './stored-tables.ts'
import { PageSet, readFreePages, TreeWalk } from './tree-walk.ts'

/**
 * Reads all rows of `kvist.db` that can be read, however the file is damaged. Rows of whole pages of a tree are certain. So are
 * those of a whole page that nothing leads to any more, where the list of free pages is whole and does not have it. What else is found,
 * by trying every offset of a page, may be an older version that was replaced or deleted.
 */

/** How far a row can be trusted. */
export type Trust =
  /** It is what the table had. */
  | 'certain'
  /** It was in the table once, or is in bytes that a client wrote. */
  | 'possible'

export interface Salvaged {
  /** A row with its own checksum; `row` is valid until this returns. */
  row(name: SalvagedTable, row: StoredRow, trust: Trust): void
  fault(name: StoredTableName, page: number, what: string): void
}

/** The index of the feed's tombstones has no checksums, and follows from the feed. */
export type SalvagedTable = Exclude<StoredTableName, 'feed_tombstones'>
const salvagedTables = storedTableNames.filter((name): name is SalvagedTable => name !== 'feed_tombstones')

export interface SalvageResult {
  /** Tables with a page or a row that could not be read. */
  readonly damaged: ReadonlySet<StoredTableName>
}

/** Does the work; yields after each page. */
export function* salvageTables(pages: StoredPages, salvaged: Salvaged): Generator<void, SalvageResult> {
  const seen = new PageSet(pages.pageCount)
  seen.add(1)
  const schema = readSchema(pages)
  const areFreePagesKnown = schema.format !== null && readFreePages(pages, seen) === null
  const isSchemaWhole = storedTableNames.every((name) => schema.roots[name] !== undefined)
  const roots = isSchemaWhole ? schema.roots : { ...findRoots(pages, seen), ...schema.roots }
  const damaged = new Set<StoredTableName>()
  for (const name of storedTableNames) {
    const root = roots[name]
    if (root === undefined) {
      damaged.add(name)
      continue
    }
    const walk = new TreeWalk(pages, seen, name, {
      row(row, isValid) {
        if (!isValid) damaged.add(name)
        else if (name !== 'feed_tombstones') salvaged.row(name, row, 'certain')
      },
      fault(page, what) {
        damaged.add(name)
        salvaged.fault(name, page, what)
      },
    })
    yield* walk.walk(root)
  }
  yield* readLostPages(pages, seen, areFreePagesKnown, salvaged)
  return { damaged }
}

/** Reads the pages that no tree led to. */
function* readLostPages(
  pages: StoredPages,
  seen: PageSet,
  areFreePagesKnown: boolean,
  salvaged: Salvaged,
): Generator<void> {
  const copy = new PageCopy()
  const bytes = Buffer.alloc(pageBytes)
  const row = new StoredRow()
  for (let page = 2; page <= pages.pageCount; page++) {
    if (seen.has(page) || !pages.read(page, bytes)) continue
    yield
    copy.load(bytes, 0)
    const name = copy.count > 0 ? tableOf(pages, copy, row) : null
    if (name !== null) {
      for (let cell = 0; cell < copy.count; cell++)
        if (readCell(pages, copy, cell, storedTables[name], row) && isRowOf(storedTables[name], row))
          salvaged.row(name, row, areFreePagesKnown ? 'certain' : 'possible')
    } else carve(pages, copy.bytes, row, salvaged)
  }
}

const treePageTypes: ReadonlySet<number> = new Set([2, 5, 10, 13])

function isTreePage(bytes: Buffer): boolean {
  return treePageTypes.has(bytes[0]!)
}

/** The table of a whole page by its rows; null for another page. */
function tableOf(pages: StoredPages, copy: PageCopy, row: StoredRow): SalvagedTable | null {
  const cells = Array.from({ length: Math.min(copy.count, 3) }, (_, cell) => cell)
  const found = salvagedTables.find(
    (name) =>
      copy.isWhole(storedTables[name].keys) &&
      cells.some(
        (cell) => readCell(pages, copy, cell, storedTables[name], row) && isRowOf(storedTables[name], row),
      ),
  )
  return found ?? null
}

function readCell(
  pages: StoredPages,
  copy: PageCopy,
  cell: number,
  table: StoredTable,
  row: StoredRow,
): boolean {
  const at = (copy.isLeaf ? 8 : 12) + cell * 2
  const start = (copy.bytes[at]! << 8) | copy.bytes[at + 1]!
  return row.read(pages, copy.bytes, start, table.hasRowIds, !copy.isLeaf)
}

/** Tries every offset of a page as the beginning of a cell. What is within a row that was found is not tried. */
function carve(pages: StoredPages, page: Buffer, row: StoredRow, salvaged: Salvaged): void {
  let start = 0
  while (start < pageBytes - 4) {
    const name = rowAt(pages, page, start, row)
    if (name !== null) salvaged.row(name, row, 'possible')
    start = name === null ? start + 1 : Math.max(row.cellEnd, start + 1)
  }
}

function rowAt(pages: StoredPages, page: Buffer, start: number, row: StoredRow): SalvagedTable | null {
  for (const hasRowIds of [false, true]) {
    // The cell of an interior page is as that of a leaf behind the number of its child page.
    if (!row.read(pages, page, start, hasRowIds, false)) continue
    const name = salvagedTables.find(
      (one) => storedTables[one].hasRowIds === hasRowIds && isRowOf(storedTables[one], row),
    )
    if (name !== undefined) return name
  }
  return null
}

type Roots = Partial<Record<StoredTableName, number>>

/** Finds the roots of the trees where the schema is lost: of the pages that no other leads to, the one with the largest tree. */
function findRoots(pages: StoredPages, seen: PageSet): Roots {
  const below = new PageSet(pages.pageCount)
  const bytes = Buffer.alloc(pageBytes)
  for (let page = 2; page <= pages.pageCount; page++) {
    if (seen.has(page) || !pages.read(page, bytes)) continue
    for (const child of childrenOf(bytes)) if (child <= pages.pageCount) below.add(child)
  }
  const roots: Roots = {}
  const sizes = new Map<StoredTableName, number>()
  for (let page = 2; page <= pages.pageCount; page++) {
    if (seen.has(page) || below.has(page) || !pages.read(page, bytes) || !isTreePage(bytes)) continue
    const name = tableBelow(pages, page)
    if (name === null) continue
    const size = pagesBelow(pages, page, name)
    if (size <= (sizes.get(name) ?? 0)) continue
    sizes.set(name, size)
    roots[name] = page
  }
  return roots
}

function childrenOf(page: Buffer): number[] {
  if (page[0] !== 2 && page[0] !== 5) return []
  const count = page.readUInt16BE(3)
  if (12 + count * 2 > pageBytes) return []
  const starts = Array.from({ length: count }, (_, cell) => page.readUInt16BE(12 + cell * 2))
  return [number32(page, 8), ...starts.filter((at) => at <= pageBytes - 4).map((at) => number32(page, at))]
}

/** The table that a page or the first leaf below it belongs to. */
function tableBelow(pages: StoredPages, root: number): SalvagedTable | null {
  const copy = new PageCopy()
  const bytes = Buffer.alloc(pageBytes)
  for (let page = root, depth = 0; depth < 10; depth++) {
    if (page < 2 || page > pages.pageCount || !pages.read(page, bytes)) return null
    copy.load(bytes, 0)
    if (copy.count === 0) return null
    if (copy.isLeaf) return tableOf(pages, copy, new StoredRow())
    if (!isTreePage(bytes) || 12 + copy.count * 2 > pageBytes) return null
    page = copy.childAt(0)
  }
  return null
}

function pagesBelow(pages: StoredPages, root: number, name: StoredTableName): number {
  const walk = new TreeWalk(pages, new PageSet(pages.pageCount), name, { row() {}, fault() {} })
  let count = 0
  for (const _ of walk.walk(root)) count++
  return count
}
