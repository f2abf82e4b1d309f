/**
 * The format of a page of SQLite's index b-trees, which WITHOUT ROWID tables use
 * (https://www.sqlite.org/fileformat2.html): a header, the offsets of the cells (2 bytes each, in the order of keys), and
 * the cells. A cell of an interior page begins with the number of its left child page.
 *
 *     cell     [left child: 4] length of the row: varint, then the row
 *     row      length of the row's header: 1; a type for each column: varints; then the columns
 *     type     0 NULL, 1 to 6 integers of 1, 2, 3, 4, 6, 8 bytes, 8 and 9 the integers 0 and 1,
 *              12 + 2n n bytes, 13 + 2n text of n bytes
 *
 * Numbers are big-endian. The first two columns are the name of a collection and a key.
 */

export const pageBytes = 8192
export const interiorType = 2
export const leafType = 10
export const interiorHeadBytes = 12
export const leafHeadBytes = 8
/** Every cell is longer: bytes that are read before a cell's lengths are known lie in its page. */
const leastCellBytes = 24

/** Longer rows have overflow pages. */
export const maxRowBytes = Math.floor(((pageBytes - 12) * 64) / 255) - 23
/** A tree that is deeper is damaged. */
export const maxDepth = 20

/** Returned instead of a row's offset: there is no such row. */
export const absent = -1
/** Returned instead of a row's offset: the page is not in the expected format, so SQLite must read it. */
export const unsupported = -2

/** Whether the header of a file has kvist's settings: page size, no reserved bytes in pages, and UTF-8. */
export function isOfKvist(head: Buffer): boolean {
  return head.readUInt16BE(16) === pageBytes && head[20] === 0 && head.readUInt32BE(56) === 1
}

export function cellCount(page: Buffer, base: number): number {
  return (page[base + 3]! << 8) | page[base + 4]!
}

export function cellAt(page: Buffer, base: number, headBytes: number, index: number): number {
  const at = base + headBytes + index * 2
  return base + ((page[at]! << 8) | page[at + 1]!)
}

/** The offset of a cell's row, or `unsupported`. */
export function rowAt(page: Buffer, base: number, headBytes: number, index: number): number {
  let at = cellAt(page, base, headBytes, index)
  if (at > base + pageBytes - leastCellBytes) return unsupported
  if (headBytes === interiorHeadBytes) at += 4
  let lengthBytes = 1
  while (page[at++]! > 127) if (++lengthBytes > 5) return unsupported
  // The headers of kvist's rows have at most 127 bytes.
  return page[at]! > 127 ? unsupported : at
}

/** Length of a text from its type at this offset: a varint of at most two bytes, enough for any name and key. */
export function textBytes(page: Buffer, at: number): number {
  const first = page[at]!
  return ((first > 127 ? ((first & 127) << 7) | page[at + 1]! : first) - 13) >> 1
}

/** Length of the collection's name and the key together, in bytes. */
export function textsBytes(page: Buffer, row: number): number {
  const nameBytes = textBytes(page, row + 1)
  return nameBytes + textBytes(page, row + (page[row + 1]! > 127 ? 3 : 2))
}

/** Whether a column of this type is text; even types from 12 on are bytes. */
export function isText(type: number): boolean {
  return type > 12 && type % 2 === 1
}

/** The sizes of columns by their types, up to the first type of a text. */
export const integerBytes = new Uint8Array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0])

export function columnBytes(type: number): number {
  return type < 12 ? integerBytes[type]! : (type - 12) >>> 1
}

/** Larger than the type of any column that fits into a page. */
const noType = 2 ** 15

/** The type at an offset, a varint; `noType` for one of more than two bytes. */
export function typeAt(page: Buffer, at: number): number {
  const first = page[at]!
  if (first < 128) return first
  const second = page[at + 1]!
  return second < 128 ? ((first & 127) << 7) | second : noType
}

/** The size of a type in the header of a row. */
export function typeBytes(type: number): 1 | 2 {
  return type < 128 ? 1 : 2
}

/** Decodes an integer column; null for other types. Types of no bytes are not read: they may be at the end of the file. */
export function numberAt(bytes: Buffer, at: number, type: number): number | null {
  if (type === 8 || type === 9) return type - 8
  if (type < 1 || type > 6) return null
  const first = (bytes[at]! << 24) >> 24
  if (type === 1) return first
  if (type === 2) return (first << 8) | bytes[at + 1]!
  if (type === 3) return (first << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
  if (type === 4) return number32(bytes, at) | 0
  if (type === 5) return ((first << 8) | bytes[at + 1]!) * 2 ** 32 + number32(bytes, at + 2)
  return (number32(bytes, at) | 0) * 2 ** 32 + number32(bytes, at + 4)
}

/**
 * Decodes an integer column of a type below 10 into two 32-bit halves, the low one at `index`; false for a type that is no integer.
 * Types of no bytes are not read.
 */
export function readHalves(
  view: DataView,
  at: number,
  type: number,
  halves: Int32Array,
  index: number,
): boolean {
  if (type === 0 || type === 7) return false
  if (type > 7) {
    halves[index] = type - 8
    halves[index + 1] = 0
    return true
  }
  if (type > 4) {
    halves[index] = view.getInt32(at + (type === 5 ? 2 : 4))
    halves[index + 1] = type === 5 ? view.getInt16(at) : view.getInt32(at)
    return true
  }
  let low = 0
  if (type === 4) low = view.getInt32(at)
  else if (type === 1) low = view.getInt8(at)
  else if (type === 2) low = view.getInt16(at)
  else low = (view.getInt16(at) << 8) | view.getUint8(at + 2)
  halves[index] = low
  halves[index + 1] = low >> 31
  return true
}

export function number32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

/** Longer texts are quicker to compare by a native call, which takes as long as 40 bytes here. */
const shortText = 40

/** Compares two texts by their bytes: below 0 where the first one is smaller. */
export function compareBytes(
  a: Buffer,
  aAt: number,
  aEnd: number,
  b: Buffer,
  bAt: number,
  bEnd: number,
): number {
  const common = Math.min(aEnd - aAt, bEnd - bAt)
  if (common > shortText) return a.compare(b, bAt, bEnd, aAt, aEnd)
  for (let i = 0; i < common; i++) {
    const order = a[aAt + i]! - b[bAt + i]!
    if (order !== 0) return order
  }
  return aEnd - aAt - (bEnd - bAt)
}

/** The 8-bit hash of a key in the index of a leaf: FNV-1a, folded. */
export function byteOfHash(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & 255
}
