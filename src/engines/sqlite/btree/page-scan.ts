import type { Member } from '../../../core/member.ts'
import type { MemberVisitor } from '../../../core/member-visitor.ts'
import type { MemberRowCursor, TableRange, TableReader } from '../table/table-reader.ts'
import type { MappedTree } from './mapped-tree.ts'
import { baseOf } from './mapped-tree.ts'
import {
  cellAt,
  cellCount,
  compareBytes,
  interiorHeadBytes,
  interiorType,
  leafHeadBytes,
  leafType,
  maxDepth,
  number32,
  pageBytes,
  rowAt,
  textBytes,
  textsBytes,
  unsupported,
} from './page-format.ts'
import { PageText } from './page-text.ts'
import { RowReader } from './row-reader.ts'
import type { TreeCheck } from './tree-check.ts'

/**
 * A page on the way from the root to the current row. Its `position` is what comes next in it: in an interior page 2n is
 * the child before cell n, and 2n + 1 cell n itself; in a leaf 2n + 1 is cell n, and there are no others.
 */
interface Level {
  readonly page: number
  readonly isLeaf: boolean
  readonly count: number
  position: number
}

/** A cursor whose current row can be visited where it lies, as a member otherwise. */
export interface VisitCursor extends MemberRowCursor {
  visit(visitor: MemberVisitor, index: number): void
  /** The key of the row before the current one; null for none. */
  readonly keyBefore: string | null
}

/**
 * Walks the rows of a range of keys in order. When it meets what SQLite must read, `isUnsupported` is set, the walk ends,
 * and all that it returned is to be read again.
 */
export class PageScan implements VisitCursor {
  isUnsupported = false
  private readonly tree: MappedTree
  private readonly check: TreeCheck
  private readonly rows: RowReader
  private readonly collection: string
  private readonly isAscending: boolean
  private readonly name: Buffer
  /** The key at which a walk ends: the first past it, or in descending order the last. */
  private readonly end: Buffer | null
  private readonly levels: Level[] = []
  /** The window and the offset of the page on top of `levels`. */
  private bytes: Buffer
  private view: DataView
  private base = 0
  /** All rows of the current page that are still to come are in the range. */
  private isInside = false
  /** Null where few texts are decoded, because the rows are visited. */
  private readonly text: PageText | null
  private currentKey: string | null = null
  private isAtRow = false
  /** The key of the row before the current one. */
  private before: Buffer | null = null
  private beforeAt = 0
  private beforeEnd = 0

  constructor(
    tree: MappedTree,
    check: TreeCheck,
    range: TableRange,
    readValue: TableReader['value'],
    forVisits = false,
  ) {
    const { collection, from, to, order } = range
    this.tree = tree
    this.check = check
    this.rows = new RowReader(readValue)
    this.collection = collection
    this.isAscending = order === 'asc'
    this.name = Buffer.from(collection)
    this.bytes = this.name
    this.view = tree.viewOf(tree.root)
    this.text = forVisits ? null : new PageText()
    const [start, end] = this.isAscending ? [from ?? '', to] : [to, from]
    this.end = end === null ? null : Buffer.from(end)
    check.endScan()
    this.seek(start === null ? null : Buffer.from(start))
  }

  next(): boolean {
    const { rows } = this
    this.currentKey = null
    if (this.isAtRow) {
      this.before = rows.bytes
      this.beforeAt = rows.keyAt
      this.beforeEnd = rows.keyEnd
    }
    const row = this.nextRow()
    if (row < 0 || !(this.isInside || this.isInRange(row))) return false
    if (!rows.load(this.bytes, this.view, row, this.base + pageBytes)) return this.stop()
    rows.verify(this.collection, this.text)
    this.isAtRow = true
    return true
  }

  get keyBefore(): string | null {
    return this.before === null ? null : this.before.toString('utf8', this.beforeAt, this.beforeEnd)
  }

  get key(): string {
    this.currentKey ??= this.rows.key()
    return this.currentKey
  }

  get valueBytes(): number {
    return this.rows.valueBytes()
  }

  member(keysOnly: boolean): Member {
    return this.rows.member(this.collection, this.key, keysOnly)
  }

  visit(visitor: MemberVisitor, index: number): void {
    if (this.rows.isPlainJson) visitor.stored(this.rows)
    else visitor.member(this.member(false), index)
  }

  close(): void {
    this.levels.length = 0
  }

  /** Ends the walk at what SQLite must read. */
  private stop(): false {
    this.isUnsupported = true
    this.levels.length = 0
    return false
  }

  /** Descends to the first row of the walk: the first at or past `start`, or the last before it; null is the end. */
  private seek(start: Buffer | null): void {
    let page = this.tree.root
    while (this.enter(page)) {
      const level = this.levels.at(-1)!
      const cell = this.firstCellFrom(start, level)
      if (cell === unsupported) {
        this.stop()
        return
      }
      level.position = this.isAscending ? 2 * cell + 1 : 2 * cell - 1
      if (level.isLeaf) return
      page = this.child(level, cell)
    }
  }

  /** Returns the offset of the next row; `unsupported` at the end, or where SQLite must read. */
  private nextRow(): number {
    const { levels, isAscending } = this
    const step = isAscending ? 1 : -1
    for (;;) {
      const level = levels.at(-1)
      if (level === undefined) return unsupported
      const { position } = level
      if (position < 0 || position > 2 * level.count) this.leave()
      else if (position % 2 === 0) {
        level.position += step
        if (!this.enter(this.child(level, position / 2))) return unsupported
      } else {
        level.position += level.isLeaf ? 2 * step : step
        const row = rowAt(this.bytes, this.base, headBytesOf(level), position >> 1)
        if (row === unsupported) this.stop()
        return row
      }
    }
  }

  /** Makes a page the current one, at its beginning, or in descending order its end. */
  private enter(page: number): boolean {
    const { tree, levels } = this
    if (levels.length === maxDepth || !tree.has(page)) return this.stop()
    this.moveTo(page)
    // A walk makes no index of its pages, which would take memory for a page that is passed once.
    if (tree.indexes.isNew(page) && !this.check.isWholeInScan(page)) return this.stop()
    const type = this.bytes[this.base]!
    const isLeaf = type === leafType
    const count = cellCount(this.bytes, this.base)
    if (!isLeaf && type !== interiorType) return this.stop()
    if ((isLeaf ? leafHeadBytes : interiorHeadBytes) + count * 2 > pageBytes) return this.stop()
    const first = isLeaf ? 1 : 0
    levels.push({ page, isLeaf, count, position: this.isAscending ? first : 2 * count - first })
    this.isInside =
      isLeaf && this.isInRange(rowAt(this.bytes, this.base, leafHeadBytes, this.isAscending ? count - 1 : 0))
    return true
  }

  private leave(): void {
    this.levels.pop()
    this.isInside = false
    const level = this.levels.at(-1)
    if (level !== undefined) this.moveTo(level.page)
  }

  private moveTo(page: number): void {
    this.bytes = this.tree.windowOf(page)
    this.view = this.tree.viewOf(page)
    this.base = baseOf(page)
    this.text?.moveTo(this.bytes, this.base)
  }

  private child({ count }: Level, cell: number): number {
    const { bytes, base } = this
    return number32(bytes, cell === count ? base + 8 : cellAt(bytes, base, interiorHeadBytes, cell))
  }

  /** The first cell at or past a key of the collection, or past the whole collection; the count of cells for none. */
  private firstCellFrom(key: Buffer | null, level: Level): number {
    let low = 0
    let high = level.count
    while (low < high) {
      const middle = (low + high) >>> 1
      const order = this.compare(rowAt(this.bytes, this.base, headBytesOf(level), middle), key)
      if (Number.isNaN(order)) return unsupported
      if (order < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Compares a row with a key of the collection, or with the end of the collection; NaN for a row past its page. */
  private compare(row: number, key: Buffer | null): number {
    const { bytes, name } = this
    if (row === unsupported) return Number.NaN
    const nameAt = row + bytes[row]!
    const keyAt = nameAt + textBytes(bytes, row + 1)
    const end = nameAt + textsBytes(bytes, row)
    if (keyAt < nameAt || end < keyAt || end > this.base + pageBytes) return Number.NaN
    const order = compareBytes(bytes, nameAt, keyAt, name, 0, name.length)
    if (order !== 0) return order
    return key === null ? -1 : compareBytes(bytes, keyAt, end, key, 0, key.length)
  }

  private isInRange(row: number): boolean {
    const { bytes, name, end } = this
    const nameAt = row + bytes[row]!
    if (row === unsupported || textBytes(bytes, row + 1) !== name.length) return false
    for (let i = 0; i < name.length; i++) if (bytes[nameAt + i] !== name[i]) return false
    if (end === null) return true
    const order = this.compare(row, end)
    return this.isAscending ? order < 0 : order >= 0
  }
}

function headBytesOf({ isLeaf }: Level): number {
  return isLeaf ? leafHeadBytes : interiorHeadBytes
}
