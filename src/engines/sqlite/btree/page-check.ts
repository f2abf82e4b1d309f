import {
  columnBytes,
  compareBytes,
  isText,
  maxRowBytes,
  number32,
  numberAt,
  pageBytes,
} from './page-format.ts'

/**
 * Checks a page's structure: its cells, free blocks and fragments add up to its content, and its keys are in order. That
 * detects a row that is missing because the count of cells or an offset was damaged.
 */

/** The page types and the key format of a tree; keys are compared in place. */
export interface KeyFormat {
  readonly leafType: number
  readonly interiorType: number
  /** Whether a separator is also the largest key below it. */
  readonly hasInclusiveSeparators: boolean
  /** Compares two keys: negative, 0 or positive; NaN where one of the two is not a valid key. */
  compare(a: Buffer, aAt: number, b: Buffer, bAt: number): number
  /** Encodes a key as in a page. A prefix of a row's columns is allowed; it compares as equal to all rows that have it. */
  encode(parts: readonly (string | number)[]): Buffer
}

const tableInteriorType = 5
const tableLeafType = 13
const indexInteriorType = 2
const indexLeafType = 10
/** The longest row without overflow pages in a leaf of a table with row ids. */
const maxTableRowBytes = pageBytes - 35
const leastLocalBytes = Math.floor(((pageBytes - 12) * 32) / 255) - 23
const leastCellBytes = 4
const maxVarintBytes = 9

/** A copy of a page, so that a damaged page cannot cause a read beyond the mapped file. */
export class PageCopy {
  /** The page, with zeros behind its end. */
  readonly bytes = Buffer.alloc(pageBytes + 16)
  private readonly page = this.bytes.subarray(0, pageBytes)
  isLeaf = false
  count = 0
  checksum = 0
  /** Of the cell that was read last: its length, and the offset of its key. */
  private cellBytes = 0
  private keyOffset = 0
  private headBytes = 0

  load(window: Buffer, base: number): void {
    window.copy(this.bytes, 0, base, base + pageBytes)
    this.checksum = Bun.hash.crc32(this.page)
    const type = this.bytes[0]!
    this.isLeaf = type === indexLeafType || type === tableLeafType
    this.headBytes = this.isLeaf ? 8 : 12
    this.count = number16(this.bytes, 3)
  }

  /** The offset of a cell's key; the page's size for a damaged cell. */
  keyAt(cell: number): number {
    return this.readCell(cell) ? this.keyOffset : pageBytes
  }

  /** The left child of a separator; behind the last one the rightmost child, which is in the header. */
  childAt(cell: number): number {
    return number32(this.bytes, cell === this.count ? 8 : number16(this.bytes, this.headBytes + cell * 2))
  }

  isWhole(format: KeyFormat): boolean {
    const { bytes, headBytes, count, isLeaf } = this
    if (bytes[0] !== (isLeaf ? format.leafType : format.interiorType)) return false
    const contentStart = number16(bytes, 5)
    if (headBytes + count * 2 > contentStart || contentStart > pageBytes) return false
    let used = bytes[7]! + this.freeBlockBytes(contentStart)
    let previousKey = 0
    for (let cell = 0; cell < count; cell++) {
      if (!this.readCell(cell)) return false
      used += this.cellBytes
      const key = this.keyOffset
      if (cell > 0 && !(format.compare(bytes, previousKey, bytes, key) < 0)) return false
      previousKey = key
    }
    return used === pageBytes - contentStart
  }

  /** The size of all free blocks; NaN where their list is damaged. */
  private freeBlockBytes(contentStart: number): number {
    let sum = 0
    let least = contentStart
    for (let at = number16(this.bytes, 1); at !== 0; at = number16(this.bytes, at)) {
      if (at < least || at > pageBytes - leastCellBytes) return Number.NaN
      const size = number16(this.bytes, at + 2)
      if (size < leastCellBytes) return Number.NaN
      sum += size
      least = at + size
    }
    return least <= pageBytes ? sum : Number.NaN
  }

  /** Reads a cell; false where it is not inside the content of the page. */
  private readCell(cell: number): boolean {
    const { bytes } = this
    const type = bytes[0]
    const start = number16(bytes, this.headBytes + cell * 2)
    if (start < number16(bytes, 5) || start > pageBytes - leastCellBytes) return false
    let at = this.isLeaf ? start : start + 4
    let rowBytes = 0
    if (type !== tableInteriorType) {
      rowBytes = varint(bytes, at)
      at += varintBytes(bytes, at)
    }
    this.keyOffset = at
    if (type === tableInteriorType || type === tableLeafType) at += varintBytes(bytes, at)
    const localBytes = localBytesOf(rowBytes, type === tableLeafType ? maxTableRowBytes : maxRowBytes)
    at += localBytes < rowBytes ? localBytes + 4 : rowBytes
    this.cellBytes = Math.max(at - start, leastCellBytes)
    return at <= pageBytes
  }
}

/** The number of a row's bytes that are in its page; the rest is in overflow pages. */
function localBytesOf(rowBytes: number, most: number): number {
  if (rowBytes <= most) return rowBytes
  const localBytes = leastLocalBytes + ((rowBytes - leastLocalBytes) % (pageBytes - 4))
  return localBytes <= most ? localBytes : leastLocalBytes
}

function number16(bytes: Buffer, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

function varintBytes(bytes: Buffer, at: number): number {
  let length = 1
  while (length < maxVarintBytes && bytes[at + length - 1]! > 127) length++
  return length
}

function varint(bytes: Buffer, at: number): number {
  const last = at + varintBytes(bytes, at) - 1
  let value = 0
  for (let i = at; i < last; i++) value = value * 128 + (bytes[i]! & 127)
  return value * 128 + bytes[last]!
}

/** The key format of tables with row ids. */
export const rowIds: KeyFormat = {
  leafType: tableLeafType,
  interiorType: tableInteriorType,
  hasInclusiveSeparators: true,
  compare: (a, aAt, b, bAt) =>
    aAt >= pageBytes || bAt >= pageBytes ? Number.NaN : varint(a, aAt) - varint(b, bAt),
  encode([rowId]) {
    const bytes: number[] = []
    let left = Number(rowId)
    do {
      bytes.unshift((left % 128) | (bytes.length > 0 ? 128 : 0))
      left = Math.floor(left / 128)
    } while (left > 0)
    return Buffer.from(bytes)
  },
}

/** The key format of WITHOUT ROWID tables: the first `columns` columns, texts or integers. */
export function rowsBy(columns: number): KeyFormat {
  return {
    leafType: indexLeafType,
    interiorType: indexInteriorType,
    hasInclusiveSeparators: false,
    compare: (a, aAt, b, bAt) => compareRows(columns, a, aAt, b, bAt),
    encode: encodeRow,
  }
}

function compareRows(columns: number, a: Buffer, aAt: number, b: Buffer, bAt: number): number {
  const aHeadEnd = aAt + a[aAt]!
  const bHeadEnd = bAt + b[bAt]!
  let aType = aAt + 1
  let bType = bAt + 1
  let aColumn = aHeadEnd
  let bColumn = bHeadEnd
  for (let column = 0; column < columns && aType < aHeadEnd && bType < bHeadEnd; column++) {
    const aIs = varint(a, aType)
    const bIs = varint(b, bType)
    const aEnd = aColumn + columnBytes(aIs)
    const bEnd = bColumn + columnBytes(bIs)
    if (!(aEnd <= a.length && bEnd <= b.length)) return Number.NaN
    const order =
      isText(aIs) && isText(bIs)
        ? compareBytes(a, aColumn, aEnd, b, bColumn, bEnd)
        : integerAt(a, aColumn, aIs) - integerAt(b, bColumn, bIs)
    if (order !== 0) return order
    aType += varintBytes(a, aType)
    bType += varintBytes(b, bType)
    aColumn = aEnd
    bColumn = bEnd
  }
  return aHeadEnd > a.length || bHeadEnd > b.length ? Number.NaN : 0
}

function integerAt(bytes: Buffer, at: number, type: number): number {
  return numberAt(bytes, at, type) ?? Number.NaN
}

/** As `encodeRow` for two texts, the most frequent key. */
function encodeTexts(first: string, second: string): Buffer {
  const row = Buffer.allocUnsafe(5 + (first.length + second.length) * 3)
  const firstBytes = row.write(first, 5)
  const secondBytes = row.write(second, 5 + firstBytes)
  const types = [13 + 2 * firstBytes, 13 + 2 * secondBytes]
  row[0] = 5
  row[1] = (types[0]! >> 7) | 128
  row[2] = types[0]! & 127
  row[3] = (types[1]! >> 7) | 128
  row[4] = types[1]! & 127
  return row.subarray(0, 5 + firstBytes + secondBytes)
}

function encodeRow(parts: readonly (string | number)[]): Buffer {
  if (parts.length === 2 && typeof parts[0] === 'string' && typeof parts[1] === 'string')
    return encodeTexts(parts[0], parts[1])
  const columns = parts.map((part) => {
    if (typeof part === 'string') return Buffer.from(part)
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(part))
    return bytes
  })
  const types = columns.map((bytes, i) =>
    typeof parts[i] === 'number' ? Buffer.from([6]) : rowIds.encode([13 + 2 * bytes.length]),
  )
  const head = Buffer.concat(types)
  return Buffer.concat([Buffer.from([head.length + 1]), head, ...columns])
}
