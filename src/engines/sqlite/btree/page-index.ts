import {
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

/**
 * PageIndexes of pages. One lies in two or three lines of the processor's memory, where halving the page itself takes eight of
 * them, each of them waited for. A page gets one when it is first read.
 *
 * Of a leaf:    rows: 2, unused: 1, 0: 1, a byte of the hash of each key, up to the next 4, where each row is: 2 each
 * Of another:   rows: 2, bytes that all have in common: 1, bytes of the collection's name: 1, what is in common,
 *               up to the next 4, the next 4 bytes of each row, the 4 after them, the page before each: 4 each; last page
 *
 * Numbers are in the order of the processor. A index is named by its offset, 0 for none; a page by its number; what is
 * looked for by a collection's name and a key behind it, as bytes, with 8 of 0 after them.
 */
export interface PageIndexes {
  /** The index of a page that is read now, which begins at `base`. */
  read(page: number, bytes: Buffer, base: number): number
  /** The index of a page if there is one already. */
  of(page: number): number
  /** Brings the first lines of a index into the processor's memory. What it returns says nothing. */
  touch(at: number): number
  isLeaf(at: number): boolean
  /** The page to go on in; 0 when the index cannot tell. */
  childOf(at: number, wanted: Buffer, from: number, nameBytes: number, wantedBytes: number): number
  /** Of the rows of a leaf, the next one from an index on whose key may have this hash; -1 for none. */
  candidate(at: number, hash: number, index: number): number
  /** Where a row is in its page. */
  rowAt(at: number, index: number): number
  /** The file may have changed, and has so many pages. */
  forget(pageCount: number): void
  /** Lets go of the memory, too. */
  release(): void
}

/** For each page: 0 never read, 1 there is none, or where its index is, in units of 4 bytes. */
const noIndex = 1
const usualMaxBytes = 32 * 1024 * 1024

/** Pages for whose index there is no room have none. */
export function openPageIndexes(maxBytes = usualMaxBytes): PageIndexes {
  let ofPage = new Uint32Array(0)
  let indexes = new Uint8Array(0)
  let halves = new Uint16Array(indexes.buffer)
  let words = new Uint32Array(indexes.buffer)
  let indexEnd = 0

  function make(bytes: Buffer, base: number): number {
    const type = bytes[base]!
    const headBytes = type === leafType ? leafHeadBytes : interiorHeadBytes
    const count = cellCount(bytes, base)
    if (headBytes + count * 2 > pageBytes || count === 0) return noIndex
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, headBytes, i)
      if (row === unsupported || row + bytes[row]! + textsBytes(bytes, row) > base + pageBytes) return noIndex
    }
    return (type === leafType ? makeLeaf(bytes, base, count) : makeInterior(bytes, base, count)) / 4
  }

  function makeLeaf(bytes: Buffer, base: number, count: number): number {
    if (!hasRoom(8 + count * 3)) return noIndex * 4
    const at = indexEnd
    const rows = rowsOf(at, count) / 2
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, leafHeadBytes, i)
      const texts = row + bytes[row]!
      const key = texts + textBytes(bytes, row + 1)
      indexes[at + 4 + i] = byteOfHash(bytes, key, texts + textsBytes(bytes, row))
      halves[rows + i] = row - base
    }
    halves[at / 2] = count
    indexes[at + 3] = 0
    indexEnd = (rows * 2 + count * 2 + 3) & ~3
    return at
  }

  function makeInterior(bytes: Buffer, base: number, count: number): number {
    const first = rowAt(bytes, base, interiorHeadBytes, 0)
    const last = rowAt(bytes, base, interiorHeadBytes, count - 1)
    const nameBytes = textBytes(bytes, first + 1)
    const [texts, lastTexts] = [first + bytes[first]!, last + bytes[last]!]
    const most = Math.min(textsBytes(bytes, first), textsBytes(bytes, last), 255)
    let same = 0
    while (same < most && bytes[texts + same] === bytes[lastTexts + same]) same++
    // Only within a collection are names and keys in order as one text.
    const isOne = nameBytes === textBytes(bytes, last + 1) && same >= nameBytes
    if (!isOne || !hasRoom(12 + same + count * 12)) return noIndex * 4
    const at = indexEnd
    halves[at / 2] = count
    indexes[at + 2] = same
    indexes[at + 3] = nameBytes
    indexes.set(bytes.subarray(texts, texts + same), at + 4)
    const next = wordsOf(at, same)
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, interiorHeadBytes, i)
      const from = row + bytes[row]! + same
      const to = row + bytes[row]! + textsBytes(bytes, row)
      words[next + i] = wordUpTo(bytes, from, to)
      words[next + count + i] = wordUpTo(bytes, from + 4, to)
      words[next + 2 * count + i] = number32(bytes, cellAt(bytes, base, interiorHeadBytes, i))
    }
    words[next + 3 * count] = number32(bytes, base + 8)
    indexEnd = (next + 3 * count + 1) * 4
    return at
  }

  function wordsOf(at: number, same: number): number {
    return (at + 4 + same + 3) >>> 2
  }

  function rowsOf(at: number, count: number): number {
    return at + 4 + ((count + 3) & ~3)
  }

  function hasRoom(more: number): boolean {
    if (indexEnd + more <= indexes.length) return true
    if (indexEnd + more > maxBytes) return false
    const larger = new Uint8Array(Math.max(indexes.length * 2, (indexEnd + more + 3) & ~3))
    larger.set(indexes.subarray(0, indexEnd))
    indexes = larger
    halves = new Uint16Array(larger.buffer)
    words = new Uint32Array(larger.buffer)
    return true
  }

  function forget(pageCount: number): void {
    if (ofPage.length <= pageCount) ofPage = new Uint32Array(pageCount + 1)
    else ofPage.fill(0)
    // The first is not where the numbers say something else.
    indexEnd = 16
  }

  return {
    read(page, bytes, base) {
      let index = ofPage[page]!
      if (index === 0) index = ofPage[page] = make(bytes, base)
      return index > noIndex ? index * 4 : 0
    },
    of(page) {
      const index = ofPage[page] ?? 0
      return index > noIndex ? index * 4 : 0
    },
    touch(at) {
      const word = at >>> 2
      return words[word]! ^ words[word + 16]! ^ words[word + 32]! ^ words[word + 48]!
    },
    isLeaf: (at) => indexes[at + 3] === 0,
    childOf(at, wanted, from, nameBytes, wantedBytes) {
      const all = words
      const same = indexes[at + 2]!
      if (indexes[at + 3] !== nameBytes || same > wantedBytes) return 0
      const count = halves[at / 2]!
      const next = wordsOf(at, same)
      for (let i = 0; i < same; i++) {
        const order = indexes[at + 4 + i]! - wanted[from + i]!
        // It lies before all of them, or behind.
        if (order !== 0) return all[next + (order > 0 ? 2 : 3) * count]!
      }
      const word = number32(wanted, from + same)
      let low = 0
      let high = count
      while (low < high) {
        const middle = (low + high) >>> 1
        let order = all[next + middle]! - word
        if (order === 0) order = all[next + count + middle]! - number32(wanted, from + same + 4)
        if (order === 0) return 0
        if (order < 0) low = middle + 1
        else high = middle
      }
      return all[next + 2 * count + low]!
    },
    candidate(at, hash, index) {
      const count = halves[at / 2]!
      const four = Math.imul(hash, 0x01010101)
      for (let i = index & ~3; i < count; i += 4) {
        // Four at once: one of the bytes is 0 where the hash is the same.
        const difference = words[(at + 4 + i) >>> 2]! ^ four
        if (((difference - 0x01010101) & ~difference & 0x80808080) === 0) continue
        for (let j = Math.max(i, index); j < i + 4 && j < count; j++)
          if (indexes[at + 4 + j] === hash) return j
      }
      return -1
    },
    rowAt: (at, index) => halves[rowsOf(at, halves[at / 2]!) / 2 + index]!,
    forget,
    release() {
      indexes = new Uint8Array(0)
      forget(ofPage.length - 1)
    },
  }
}

/** Four bytes as a number, those from the end on taken for 0. */
function wordUpTo(page: Buffer, from: number, to: number): number {
  let word = 0
  for (let i = 0; i < 4; i++) word = word * 256 + (from + i < to ? page[from + i]! : 0)
  return word
}

/** By which `candidate` knows a key. */
export function byteOfHash(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & 255
}
