import { columnBytes, isText, number32, numberAt, pageBytes } from '../btree/page-format.ts'
import type { StoredPages } from './stored-pages.ts'

/** A column's value; bytes are a view of memory that the next row reuses. */
export type Column = null | number | string | Buffer

/**
 * One row at a time, as it is in a cell of a page, overflow pages included. Nothing is trusted: a cell that is not in SQLite's
 * format, or leads out of its page, is refused.
 */
export class StoredRow {
  /** The row's bytes: its page, or assembled from overflow pages. */
  bytes: Buffer = Buffer.alloc(0)
  /** The key of a row in a table with row ids; 0 in others. */
  rowId = 0
  /** How many columns the row has. */
  columns = 0
  /** Where the cell ends in its page. */
  cellEnd = 0
  /** The overflow pages that were read. Of a row that is not valid they may be any pages. */
  readonly overflowPages: number[] = []
  private readonly types: number[] = []
  /** The offset of each column, and behind the last one the end of the row. */
  private readonly offsets: number[] = []
  private readonly overflow = Buffer.alloc(pageBytes)
  private assembled = Buffer.alloc(0)

  /** Reads the cell at an offset of a page; false where there is none. `hasChild` is for cells of interior pages. */
  read(pages: StoredPages, page: Buffer, start: number, hasRowId: boolean, hasChild: boolean): boolean {
    let at = hasChild ? start + 4 : start
    this.columns = 0
    this.overflowPages.length = 0
    if (at >= pageBytes) return false
    const rowBytes = varint(page, at)
    at += varintBytes(page, at)
    this.rowId = 0
    if (hasRowId) {
      this.rowId = varint(page, at)
      at += varintBytes(page, at)
    }
    if (!(rowBytes >= 2 && rowBytes <= maxRowBytes)) return false
    const inPage = bytesInPage(rowBytes, hasRowId)
    this.cellEnd = at + inPage + (inPage < rowBytes ? 4 : 0)
    if (this.cellEnd > pageBytes) return false
    if (inPage === rowBytes) return this.decode(page, at, rowBytes)
    if (!this.assemble(pages, page, at, inPage, rowBytes)) return false
    return this.decode(this.assembled, 0, rowBytes)
  }

  isText(column: number): boolean {
    return isText(this.types[column]!)
  }

  isBytes(column: number): boolean {
    const type = this.types[column]!
    return type >= 12 && type % 2 === 0
  }

  isNull(column: number): boolean {
    return this.types[column] === 0
  }

  offset(column: number): number {
    return this.offsets[column]!
  }

  length(column: number): number {
    return this.offsets[column + 1]! - this.offsets[column]!
  }

  /** An integer column; NaN for another type. */
  number(column: number): number {
    return numberAt(this.bytes, this.offsets[column]!, this.types[column]!) ?? Number.NaN
  }

  /** As `number`; null for NULL. */
  numberOrNull(column: number): number | null {
    return this.isNull(column) ? null : this.number(column)
  }

  text(column: number): string {
    return this.bytes.toString('utf8', this.offsets[column]!, this.offsets[column + 1]!)
  }

  textOrNull(column: number): string | null {
    return this.isNull(column) ? null : this.text(column)
  }

  bytesOf(column: number): Buffer {
    return this.bytes.subarray(this.offsets[column]!, this.offsets[column + 1]!)
  }

  value(column: number): Column {
    if (this.isText(column)) return this.text(column)
    return this.isBytes(column) ? this.bytesOf(column) : this.numberOrNull(column)
  }

  private decode(bytes: Buffer, start: number, rowBytes: number): boolean {
    const end = start + rowBytes
    const headEnd = start + varint(bytes, start)
    if (!(headEnd <= end)) return false
    let at = start + varintBytes(bytes, start)
    let column = 0
    let offset = headEnd
    while (at < headEnd) {
      if (column === maxColumns) return false
      const type = varint(bytes, at)
      at += varintBytes(bytes, at)
      this.types[column] = type
      this.offsets[column++] = offset
      offset += columnBytes(type)
    }
    if (at !== headEnd || offset !== end) return false
    this.offsets[column] = offset
    this.columns = column
    this.bytes = bytes
    return true
  }

  /** Puts a row together from its page and its overflow pages. */
  private assemble(
    pages: StoredPages,
    page: Buffer,
    start: number,
    inPage: number,
    rowBytes: number,
  ): boolean {
    if (this.assembled.length < rowBytes) this.assembled = Buffer.alloc(rowBytes)
    page.copy(this.assembled, 0, start, start + inPage)
    let next = number32(page, start + inPage)
    for (let done = inPage; done < rowBytes; ) {
      if (next < 2 || next > pages.pageCount || !pages.read(next, this.overflow)) return false
      this.overflowPages.push(next)
      const part = Math.min(pageBytes - 4, rowBytes - done)
      this.overflow.copy(this.assembled, done, 4, 4 + part)
      done += part
      next = number32(this.overflow, 0)
    }
    return true
  }
}

/** No row of kvist is longer: a piece of 64 KiB, or a text of `meta`. */
const maxRowBytes = 1024 * 1024
const maxColumns = 16
const maxVarintBytes = 9

/** The longest rows that are whole in their page. */
const maxInTableLeaf = pageBytes - 35
const maxInIndex = Math.floor(((pageBytes - 12) * 64) / 255) - 23
const leastInPage = Math.floor(((pageBytes - 12) * 32) / 255) - 23

function bytesInPage(rowBytes: number, hasRowId: boolean): number {
  const most = hasRowId ? maxInTableLeaf : maxInIndex
  if (rowBytes <= most) return rowBytes
  const left = leastInPage + ((rowBytes - leastInPage) % (pageBytes - 4))
  return left <= most ? left : leastInPage
}

/** The length of the varint at an offset. Bytes behind the end read as undefined, which ends it. */
function varintBytes(bytes: Buffer, at: number): number {
  let length = 1
  while (length < maxVarintBytes && bytes[at + length - 1]! > 127) length++
  return length
}

function varint(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 128) return first
  const last = at + varintBytes(bytes, at) - 1
  let value = 0
  for (let i = at; i < last; i++) value = value * 128 + (bytes[i]! & 127)
  return value * 128 + bytes[last]!
}
