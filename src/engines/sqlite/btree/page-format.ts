/**
 * How a page of SQLite's b-trees is laid out, of tables that are whole rows (https://www.sqlite.org/fileformat2.html): a
 * head, the offsets of its cells (2 bytes each, in the order of keys), and the cells. One between leaves has the page of
 * what lies before it in front.
 *
 *     cell     [page before it: 4] bytes of the row: varint, then the row
 *     row      bytes of this head: 1; a type for each column: varints; then the columns
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
/** No row is as short: nothing that is read of one before its lengths are known lies past its page. */
const leastCellBytes = 24

/** Longer rows go on in other pages. */
export const maxRowBytes = Math.floor(((pageBytes - 12) * 64) / 255) - 23
/** A tree that is deeper is damaged. */
export const maxDepth = 20

/** In place of the offset of a row: there is none. */
export const absent = -1
/** In place of the offset of a row: the page is not as it should be. */
export const unsupported = -2

/** Whether a file, by its head, is laid out as kvist lays it out: these pages, used whole, and text in UTF-8. */
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

/** The offset of a cell's row. */
export function rowAt(page: Buffer, base: number, headBytes: number, index: number): number {
  let at = cellAt(page, base, headBytes, index)
  if (at > base + pageBytes - leastCellBytes) return unsupported
  if (headBytes === interiorHeadBytes) at += 4
  let lengthBytes = 1
  while (page[at++]! > 127) if (++lengthBytes > 5) return unsupported
  // A head of more than 127 bytes is none of ours.
  return page[at]! > 127 ? unsupported : at
}

/** Length of the text with the type at this offset: two bytes are enough for any name and key. */
export function textBytes(page: Buffer, at: number): number {
  const first = page[at]!
  return ((first > 127 ? ((first & 127) << 7) | page[at + 1]! : first) - 13) >> 1
}

/** How long the name of the collection and the key are together. */
export function textsBytes(page: Buffer, row: number): number {
  const nameBytes = textBytes(page, row + 1)
  return nameBytes + textBytes(page, row + (page[row + 1]! > 127 ? 3 : 2))
}

/** Whether a column of this type is text; the others that are as long are bytes. */
export function isText(type: number): boolean {
  return type > 12 && type % 2 === 1
}

const integerBytes = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0]

export function columnBytes(type: number): number {
  return type < 12 ? integerBytes[type]! : (type - 12) >>> 1
}

/** Null when it is not an integer. One of no bytes may be at the end of the file. */
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

export function number32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

/** By which the index of a leaf knows a key. */
export function byteOfHash(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & 255
}
