import { PageCopy } from '../btree/page-check.ts'
import { maxDepth, number32, pageBytes } from '../btree/page-format.ts'
import type { StoredPages } from './stored-pages.ts'
import { StoredRow } from './stored-row.ts'
import { isRowOf, type StoredTable, type StoredTableName, storedTables } from './stored-tables.ts'

/**
 * Walks the b-trees of `kvist.db` and calls back for each row, in the order of keys, and for each page that is not as it should
 * be. A page is whole when its structure adds up, its keys are in order and between the separators above it, and no other tree
 * has it. Of a page that is not whole no row is visited.
 */

export interface TreeVisitor {
  /** A row of a whole page. `row` is valid until this returns. */
  row(row: StoredRow, isValid: boolean): void
  /** A page that is not whole; rows between the last one visited and the next one may be missing. */
  fault(page: number, what: string): void
}

/** Which pages of a file were met. */
export class PageSet {
  private readonly bits: Uint8Array

  constructor(pageCount: number) {
    this.bits = new Uint8Array((pageCount >>> 3) + 1)
  }

  has(page: number): boolean {
    return (this.bits[page >>> 3]! & (1 << (page & 7))) !== 0
  }

  add(page: number): void {
    this.bits[page >>> 3]! |= 1 << (page & 7)
  }
}

/** Walks one tree of the file. */
export class TreeWalk {
  private readonly pages: StoredPages
  private readonly seen: PageSet
  private readonly table: StoredTable
  private readonly visitor: TreeVisitor
  private readonly row = new StoredRow()
  private readonly copies: PageCopy[] = []

  constructor(pages: StoredPages, seen: PageSet, name: StoredTableName, visitor: TreeVisitor) {
    this.pages = pages
    this.seen = seen
    this.table = storedTables[name]
    this.visitor = visitor
  }

  /** Walks the tree; yields after each page, so that other work can be done meanwhile. */
  walk(root: number): Generator<void> {
    return this.visit(root, 0, null, 0, null, 0)
  }

  /** `low` and `high` are the separators around the page. */
  private *visit(
    page: number,
    depth: number,
    low: Buffer | null,
    lowAt: number,
    high: Buffer | null,
    highAt: number,
  ): Generator<void> {
    const { visitor } = this
    const copy = this.copies[depth] ?? new PageCopy()
    this.copies[depth] = copy
    const what = this.load(copy, page, depth, low, lowAt, high, highAt)
    if (what !== null) {
      visitor.fault(page, what)
      return
    }
    yield
    const { bytes, count, isLeaf } = copy
    for (let cell = 0; cell <= count; cell++) {
      if (!isLeaf)
        yield* this.visit(
          copy.childAt(cell),
          depth + 1,
          cell === 0 ? low : bytes,
          cell === 0 ? lowAt : copy.keyAt(cell - 1),
          cell === count ? high : bytes,
          cell === count ? highAt : copy.keyAt(cell),
        )
      if (cell < count && (isLeaf || !this.table.hasRowIds)) this.visitRow(copy, cell)
    }
  }

  /** Loads a page. Returns what is wrong with it; null for a whole one. */
  private load(
    copy: PageCopy,
    page: number,
    depth: number,
    low: Buffer | null,
    lowAt: number,
    high: Buffer | null,
    highAt: number,
  ): string | null {
    const { keys } = this.table
    if (page < 2 || page > this.pages.pageCount)
      return 'the page above it names a page that is not in the file'
    if (depth === maxDepth) return 'the tree is deeper than trees are'
    if (this.seen.has(page)) return 'the page belongs to something else too'
    const bytes = pageBuffer
    if (!this.pages.read(page, bytes)) return 'the file ends before it'
    copy.load(bytes, 0)
    if (!copy.isWhole(keys)) return 'the page is not what was written'
    if (copy.count === 0 && !(depth === 0 && copy.isLeaf))
      return 'the page is empty, which pages of a tree are not'
    if (copy.count > 0) {
      const damage = this.misplaced(copy, low, lowAt, high, highAt)
      if (damage !== null) return damage
    }
    this.seen.add(page)
    return null
  }

  /** Says whether the keys of a page lie between the separators around it; null if they do. */
  private misplaced(
    copy: PageCopy,
    low: Buffer | null,
    lowAt: number,
    high: Buffer | null,
    highAt: number,
  ): string | null {
    const { keys } = this.table
    const isAbove = low === null || keys.compare(copy.bytes, copy.keyAt(0), low, lowAt) > 0
    const order = high === null ? -1 : keys.compare(copy.bytes, copy.keyAt(copy.count - 1), high, highAt)
    const isBelow = keys.hasInclusiveSeparators ? order <= 0 : order < 0
    return isAbove && isBelow ? null : 'its keys belong elsewhere'
  }

  private visitRow(copy: PageCopy, cell: number): void {
    const { table, row, pages } = this
    const start = cellStart(copy, cell)
    const isRead = row.read(pages, copy.bytes, start, table.hasRowIds, !copy.isLeaf)
    const isValid = isRead && isRowOf(table, row)
    if (isValid) for (const page of row.overflowPages) this.seen.add(page)
    this.visitor.row(row, isValid)
  }
}

const pageBuffer = Buffer.alloc(pageBytes)

function cellStart(copy: PageCopy, cell: number): number {
  const at = (copy.isLeaf ? 8 : 12) + cell * 2
  return (copy.bytes[at]! << 8) | copy.bytes[at + 1]!
}

/** Of the header of the file: the first page of the list of free pages, and how many there are. */
const freeListAt = 32

/** Notes the free pages of the file. Returns what is wrong with their list; null for nothing. */
export function readFreePages(pages: StoredPages, seen: PageSet): string | null {
  const page = Buffer.alloc(pageBytes)
  if (!pages.read(1, page)) return 'the file has no first page'
  const count = number32(page, freeListAt + 4)
  let left = count
  for (let trunk = number32(page, freeListAt); trunk !== 0; trunk = number32(page, 0)) {
    if (trunk < 2 || trunk > pages.pageCount || seen.has(trunk) || !pages.read(trunk, page))
      return 'the list of free pages leads nowhere'
    seen.add(trunk)
    left--
    const leaves = number32(page, 4)
    if (leaves > left || leaves > pageBytes / 4 - 2)
      return `page ${trunk} of the list of free pages is not what was written`
    for (let i = 0; i < leaves; i++) {
      const leaf = number32(page, 8 + i * 4)
      if (leaf < 2 || leaf > pages.pageCount || seen.has(leaf))
        return `the list of free pages has page ${leaf}, which is not free`
      seen.add(leaf)
    }
    left -= leaves
  }
  return left === 0 ? null : `the list of free pages has ${count - left} of ${count}`
}
