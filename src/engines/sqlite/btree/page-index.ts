import {
  byteOfHash,
  cellAt,
  cellCount,
  interiorHeadBytes,
  leafHeadBytes,
  leafType,
  number32,
  pageBytes,
  rowAt,
  textBytes,
  textsBytes,
  unsupported,
} from './page-format.ts'
import type { SearchKeys } from './search-keys.ts'

/** An entry of `ofPage` is 0 for a page never read, 1 for one without an index, or the index's offset / 4. */
const noIndex = 1
const usualMaxBytes = 32 * 1024 * 1024

/**
 * Compact indexes of pages. A search in one touches two or three cache lines, where a binary search in the page itself
 * touches eight, one after the other. A page gets its index when it is first read, while there is room.
 *
 *     leaf      rows: 2, unused: 1, 0: 1; a hash byte of each key, padded to 4; offset of each row in the page: 2 each
 *     interior  rows: 2, length of the prefix that all rows share: 1, length of the collection's name: 1; the prefix,
 *               padded to 4; the next 4 bytes of each row; the 4 bytes after those of each row; the left child of each
 *               row: 4 each; the rightmost child: 4
 *
 * Numbers are in the processor's byte order. An index is identified by its offset, 0 for none; a page by its number.
 */
export class PageIndexes {
  private readonly maxBytes: number
  private ofPage = new Uint32Array(0)
  /** All indexes, adjacent up to `usedBytes`, viewed as bytes and as numbers. */
  private bytes = new Uint8Array(0)
  private halves = new Uint16Array(this.bytes.buffer)
  private words = new Uint32Array(this.bytes.buffer)
  private usedBytes = 0

  constructor(maxBytes = usualMaxBytes) {
    this.maxBytes = maxBytes
  }

  /** Whether the page was not read since the file may have changed. */
  isNew(page: number): boolean {
    return this.ofPage[page] === 0
  }

  /** The index of a page that begins at `base`, made if there was none; 0 if it cannot have one. */
  read(page: number, bytes: Buffer, base: number): number {
    let index = this.ofPage[page]!
    if (index === 0) index = this.ofPage[page] = this.make(bytes, base)
    return index > noIndex ? index * 4 : 0
  }

  /** The existing index of a page; 0 for none. */
  of(page: number): number {
    const index = this.ofPage[page] ?? 0
    return index > noIndex ? index * 4 : 0
  }

  /** Loads the first lines of an index into the cache. The result has no meaning, but must be used. */
  touch(at: number): number {
    const { words } = this
    const word = at >>> 2
    return words[word]! ^ words[word + 16]! ^ words[word + 32]! ^ words[word + 48]!
  }

  isLeaf(at: number): boolean {
    return this.bytes[at + 3] === 0
  }

  /** The child page in which the search for the selected key continues; 0 when the page itself must be searched. */
  childOf(at: number, searchKeys: SearchKeys): number {
    const { bytes, words } = this
    const { bytes: searchBytes, words: searchWords, view, from } = searchKeys
    const same = bytes[at + 2]!
    if (bytes[at + 3] !== searchKeys.nameBytes || same > searchKeys.length) return 0
    const count = this.halves[at / 2]!
    const next = wordsOf(at, same)
    let alike = 0
    while (
      alike + 4 <= same &&
      (words[(at >>> 2) + 1 + (alike >>> 2)]! | 0) === searchWords[(from + alike) >>> 2]
    )
      alike += 4
    for (let i = alike; i < same; i++) {
      const order = bytes[at + 4 + i]! - searchBytes[from + i]!
      // The search key is before all rows, or behind all.
      if (order !== 0) return words[next + (order > 0 ? 2 : 3) * count]!
    }
    const word = view.getUint32(from + same)
    const cell = this.firstFrom(next, count, word >>> 1)
    if (cell === count || (words[next + cell]! ^ word) >>> 1 !== 0) return words[next + 2 * count + cell]!
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >>> 1
      let order = words[next + middle]! - word
      if (order === 0) order = words[next + count + middle]! - view.getUint32(from + same + 4)
      if (order === 0) return 0
      if (order < 0) low = middle + 1
      else high = middle
    }
    return words[next + 2 * count + low]!
  }

  /**
   * The first of `count` words whose upper 31 bits are at least `half`. A random search key would let the processor mispredict every
   * other branch, so there is none: the sign of a difference of 31-bit numbers is a mask.
   */
  private firstFrom(from: number, count: number, half: number): number {
    const { words } = this
    let at = from
    for (let left = count; left > 1; ) {
      const step = left >>> 1
      at += step & (((words[at + step - 1]! >>> 1) - half) >> 31)
      left -= step
    }
    return at - from + ((((words[at]! >>> 1) - half) >> 31) & 1)
  }

  /** The first row of a leaf, from `start` on, whose key has this hash; -1 for none. */
  candidate(at: number, hash: number, start: number): number {
    const { bytes, words } = this
    const count = this.halves[at / 2]!
    const four = Math.imul(hash, 0x01010101)
    for (let i = start & ~3; i < count; i += 4) {
      // Four at once: a byte of the difference is 0 where the hash is the same.
      const difference = words[(at + 4 + i) >>> 2]! ^ four
      if (((difference - 0x01010101) & ~difference & 0x80808080) === 0) continue
      for (let j = Math.max(i, start); j < i + 4 && j < count; j++) if (bytes[at + 4 + j] === hash) return j
    }
    return -1
  }

  /** The offset of a row in its page. */
  rowAt(at: number, row: number): number {
    return this.halves[rowsOf(at, this.halves[at / 2]!) / 2 + row]!
  }

  /** Discards all indexes, because the file may have changed; it now has `pageCount` pages. */
  forget(pageCount: number): void {
    if (this.ofPage.length <= pageCount) this.ofPage = new Uint32Array(pageCount + 1)
    else this.ofPage.fill(0)
    // Offsets 0 and 4 would be taken for no index: see `noIndex`.
    this.usedBytes = 16
  }

  /** Discards all indexes, and releases their memory. */
  release(): void {
    this.resize(0)
    this.forget(this.ofPage.length - 1)
  }

  private make(bytes: Buffer, base: number): number {
    const type = bytes[base]!
    const headBytes = type === leafType ? leafHeadBytes : interiorHeadBytes
    const count = cellCount(bytes, base)
    if (headBytes + count * 2 > pageBytes || count === 0) return noIndex
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, headBytes, i)
      if (row === unsupported || row + bytes[row]! + textsBytes(bytes, row) > base + pageBytes) return noIndex
    }
    return (type === leafType ? this.makeLeaf(bytes, base, count) : this.makeInterior(bytes, base, count)) / 4
  }

  private makeLeaf(bytes: Buffer, base: number, count: number): number {
    if (!this.hasRoom(8 + count * 3)) return noIndex * 4
    const at = this.usedBytes
    const rows = rowsOf(at, count) / 2
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, leafHeadBytes, i)
      const texts = row + bytes[row]!
      const key = texts + textBytes(bytes, row + 1)
      this.bytes[at + 4 + i] = byteOfHash(bytes, key, texts + textsBytes(bytes, row))
      this.halves[rows + i] = row - base
    }
    this.halves[at / 2] = count
    this.bytes[at + 3] = 0
    this.usedBytes = (rows * 2 + count * 2 + 3) & ~3
    return at
  }

  private makeInterior(bytes: Buffer, base: number, count: number): number {
    const first = rowAt(bytes, base, interiorHeadBytes, 0)
    const last = rowAt(bytes, base, interiorHeadBytes, count - 1)
    const nameBytes = textBytes(bytes, first + 1)
    const [texts, lastTexts] = [first + bytes[first]!, last + bytes[last]!]
    const most = Math.min(textsBytes(bytes, first), textsBytes(bytes, last), 255)
    let same = 0
    while (same < most && bytes[texts + same] === bytes[lastTexts + same]) same++
    // Only rows of one collection are ordered by the concatenation of name and key.
    const isOne = nameBytes === textBytes(bytes, last + 1) && same >= nameBytes
    if (!isOne || !this.hasRoom(12 + same + count * 12)) return noIndex * 4
    const at = this.usedBytes
    this.halves[at / 2] = count
    this.bytes[at + 2] = same
    this.bytes[at + 3] = nameBytes
    this.bytes.set(bytes.subarray(texts, texts + same), at + 4)
    const next = wordsOf(at, same)
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, interiorHeadBytes, i)
      const from = row + bytes[row]! + same
      const to = row + bytes[row]! + textsBytes(bytes, row)
      this.words[next + i] = wordUpTo(bytes, from, to)
      this.words[next + count + i] = wordUpTo(bytes, from + 4, to)
      this.words[next + 2 * count + i] = number32(bytes, cellAt(bytes, base, interiorHeadBytes, i))
    }
    this.words[next + 3 * count] = number32(bytes, base + 8)
    this.usedBytes = (next + 3 * count + 1) * 4
    return at
  }

  private hasRoom(more: number): boolean {
    const neededBytes = this.usedBytes + more
    if (neededBytes <= this.bytes.length) return true
    if (neededBytes > this.maxBytes) return false
    this.resize(Math.max(this.bytes.length * 2, (neededBytes + 3) & ~3))
    return true
  }

  private resize(size: number): void {
    const bytes = new Uint8Array(size)
    bytes.set(this.bytes.subarray(0, Math.min(size, this.usedBytes)))
    this.bytes = bytes
    this.halves = new Uint16Array(bytes.buffer)
    this.words = new Uint32Array(bytes.buffer)
  }
}

/** The offset of the numbers in an interior page's index, in units of 4 bytes. */
function wordsOf(at: number, same: number): number {
  return (at + 4 + same + 3) >>> 2
}

/** The offset of the rows' offsets in a leaf's index. */
function rowsOf(at: number, count: number): number {
  return at + 4 + ((count + 3) & ~3)
}

/** Four bytes as a big-endian number; bytes from `to` on count as 0. */
function wordUpTo(page: Buffer, from: number, to: number): number {
  let word = 0
  for (let i = 0; i < 4; i++) word = word * 256 + (from + i < to ? page[from + i]! : 0)
  return word
}
