import { statSync } from 'node:fs'
import { jsonContentType, type Member } from '../../core/member.ts'
import { mapFile, windowBytes } from './mapped-file.ts'
import type { Standing } from './record.ts'

/**
 * Reads members from the pages of the tables' file as they lie in memory, by SQLite's file format
 * (https://www.sqlite.org/fileformat2.html), at half of what asking SQLite costs (docs/design/engine-sqlite.md).
 *
 * It reads the state that the file itself is in, and only while nobody writes to it. What a job of the applier brings is in
 * the write-ahead log until a checkpoint moves it, and in the segments in memory until after that; so the applier tells
 * before and after each checkpoint, and where one did not move all of it SQLite answers. So it does for whatever is not
 * plain: a value that goes on in pages of its own, a page that is not as it should be.
 *
 * `members` is a b-tree of whole rows, in the leaves and between them: a page is a head, the offsets of its cells (2
 * bytes each, in the order of keys), and the cells; one between leaves has the page of what lies before it in front.
 *
 *     cell     [page before it: 4] bytes of the row: varint, then the row
 *     row      bytes of this head: 1; a type for each column: varints; then the columns
 *     type     0 NULL, 1 to 6 integers of 1, 2, 3, 4, 6, 8 bytes, 8 and 9 the integers 0 and 1,
 *              12 + 2n n bytes, 13 + 2n text of n bytes
 *
 * Numbers are big-endian.
 */
export interface PageReader {
  /** Null for no such member; undefined when SQLite has to be asked. */
  read(collection: string, key: string): Member | null | undefined
  standing(collection: string, key: string): Standing | null | undefined
  /** Somebody is about to write to the file. */
  pause(): void
  /** Nobody does any more. */
  resume(): void
  close(): void
}

export const pageBytes = 8192
const windowPages = windowBytes / pageBytes
const windowShift = Math.log2(windowPages)
const interiorType = 2
const leafType = 10
const interiorHeadBytes = 12
const leafHeadBytes = 8
/** Longer rows go on in other pages. */
const maxRowBytes = Math.floor(((pageBytes - 12) * 64) / 255) - 23
/** No row is as short: nothing that is read of one before its lengths are known lies past its page. */
const leastCellBytes = 24
const maxDepth = 20

/** What a search gives in place of the offset of a row. */
const none = -1
const unsure = -2

/** After so long without a read the memory is let go of. */
const idleMs = 10_000

/**
 * Of a page that is read a second time a digest is kept. It lies in two or three lines of the processor's memory, where
 * halving the page itself takes eight of them, each of them waited for.
 *
 * Of a leaf:    rows: 2, unused: 1, 0: 1, a byte of the hash of each key, up to the next 4, where each row is: 2 each
 * Of another:   rows: 2, bytes that all have in common: 1, bytes of the collection's name: 1, what is in common,
 *               up to the next 4, the next 4 bytes of each row, the 4 after them, the page before each: 4 each; last page
 *
 * Numbers are in the order of the processor. For each page: 0 never read, 1 read once, 2 there is none, or where its
 * digest is, in units of 4 bytes.
 */
const readOnce = 1
const noDigest = 2
const maxDigestBytes = 32 * 1024 * 1024

export function openPages(path: string, root: number): PageReader {
  const file = mapFile(path)
  let windows: readonly Buffer[] = []
  let pageCount = 0
  let isOpen = false
  let wasUsed = false
  let holdsMemory = false

  /** The collection that was asked for last, then the key. */
  const wanted = Buffer.alloc(4096)
  let wantedCollection = ''
  let collectionBytes = 0
  let wantedBytes = 0

  /** The page that is looked at: its window, and where it begins and ends there. */
  let bytes: Buffer = wanted
  let base = 0
  let end = 0
  /** Of its cells, the first whose key is larger than what is wanted. */
  let place = 0

  let digestOf = new Uint32Array(0)
  let digests = new Uint8Array(0)
  let digestHalves = new Uint16Array(digests.buffer)
  let digestWords = new Uint32Array(digests.buffer)
  let digestEnd = 0

  function forgetDigests(): void {
    if (digestOf.length <= pageCount) digestOf = new Uint32Array(pageCount + 1)
    else digestOf.fill(0)
    // The first is not where the numbers say something else.
    digestEnd = 16
  }

  function want(collection: string, key: string): void {
    if (collection !== wantedCollection) {
      collectionBytes = wanted.write(collection)
      wantedCollection = collection
    }
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i)
      if (unit > 127) {
        wantedBytes = collectionBytes + wanted.write(key, collectionBytes)
        wanted.fill(0, wantedBytes, wantedBytes + 8)
        return
      }
      wanted[collectionBytes + i] = unit
    }
    wantedBytes = collectionBytes + key.length
    for (let i = 0; i < 8; i++) wanted[wantedBytes + i] = 0
  }

  /** The offset of the row that is wanted, in `bytes`. */
  function find(): number {
    let page = root
    for (let depth = 0; depth < maxDepth; depth++) {
      if (page < 2 || page > pageCount) return unsure
      bytes = windows[(page - 1) >>> windowShift]!
      base = ((page - 1) & (windowPages - 1)) * pageBytes
      end = base + pageBytes
      let digest = digestOf[page]!
      if (digest < noDigest) digest = digestOf[page] = digest === readOnce ? makeDigest() : readOnce
      if (digest > noDigest) {
        if (digests[digest * 4 + 3] === 0) return findInLeaf(digest * 4)
        const child = childOf(digest * 4)
        if (child !== 0) {
          page = child
          continue
        }
      }
      const type = bytes[base]!
      if (type === leafType) return search(leafHeadBytes)
      if (type !== interiorType) return unsure
      const row = search(interiorHeadBytes)
      if (row !== none) return row
      // The last of the children stands in the head.
      page = number32(
        bytes,
        place === cellCount(bytes, base) ? base + 8 : cellAt(bytes, base, interiorHeadBytes, place),
      )
    }
    return unsure
  }

  /** Halves the page that is looked at. What it has in common with both neighbours is not compared again. */
  function search(headBytes: number): number {
    // What is captured would be loaded anew at each use.
    const page = bytes
    const from = base
    let low = 0
    let high = cellCount(page, from)
    if (headBytes + high * 2 > pageBytes) return unsure
    let sameAsLow = 0
    let sameAsHigh = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      const row = rowAt(page, from, headBytes, middle)
      if (row === unsure) return unsure
      const text = row + page[row]!
      const nameBytes = textBytes(page, row + 1)
      let same = 0
      let order = 0
      if (nameBytes === collectionBytes) {
        const length = textsBytes(page, row)
        if (text + length > from + pageBytes) return unsure
        const common = Math.min(length, wantedBytes)
        same = Math.min(sameAsLow, sameAsHigh)
        while (same < common && page[text + same] === wanted[same]) same++
        order = same < common ? page[text + same]! - wanted[same]! : length - wantedBytes
        if (order === 0) return row
      } else {
        if (text + nameBytes > from + pageBytes) return unsure
        order = page.compare(wanted, 0, collectionBytes, text, text + nameBytes)
      }
      if (order < 0) {
        low = middle + 1
        sameAsLow = same
      } else {
        high = middle
        sameAsHigh = same
      }
    }
    place = low
    return none
  }

  /** Where the digest of the page that is looked at now is, in units of 4 bytes. */
  function makeDigest(): number {
    const type = bytes[base]!
    const headBytes = type === leafType ? leafHeadBytes : interiorHeadBytes
    const count = cellCount(bytes, base)
    if (headBytes + count * 2 > pageBytes || count === 0) return noDigest
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, headBytes, i)
      if (row === unsure || row + bytes[row]! + textsBytes(bytes, row) > end) return noDigest
    }
    return (type === leafType ? digestLeaf(count) : digestFork(count)) / 4
  }

  function digestLeaf(count: number): number {
    if (!hasRoom(8 + count * 3)) return noDigest * 4
    const at = digestEnd
    const rows = rowsOfDigest(at, count) / 2
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, leafHeadBytes, i)
      const texts = row + bytes[row]!
      const key = texts + textBytes(bytes, row + 1)
      digests[at + 4 + i] = byteOfHash(bytes, key, texts + textsBytes(bytes, row))
      digestHalves[rows + i] = row - base
    }
    digestHalves[at / 2] = count
    digests[at + 3] = 0
    digestEnd = (rows * 2 + count * 2 + 3) & ~3
    return at
  }

  function digestFork(count: number): number {
    const first = rowAt(bytes, base, interiorHeadBytes, 0)
    const last = rowAt(bytes, base, interiorHeadBytes, count - 1)
    const nameBytes = textBytes(bytes, first + 1)
    const [texts, lastTexts] = [first + bytes[first]!, last + bytes[last]!]
    const most = Math.min(textsBytes(bytes, first), textsBytes(bytes, last), 255)
    let same = 0
    while (same < most && bytes[texts + same] === bytes[lastTexts + same]) same++
    // Only within a collection are names and keys in order as one text.
    const isOne = nameBytes === textBytes(bytes, last + 1) && same >= nameBytes
    if (!isOne || !hasRoom(12 + same + count * 12)) return noDigest * 4
    const at = digestEnd
    digestHalves[at / 2] = count
    digests[at + 2] = same
    digests[at + 3] = nameBytes
    digests.set(bytes.subarray(texts, texts + same), at + 4)
    const words = wordsOfDigest(at, same)
    for (let i = 0; i < count; i++) {
      const row = rowAt(bytes, base, interiorHeadBytes, i)
      const from = row + bytes[row]! + same
      const to = row + bytes[row]! + textsBytes(bytes, row)
      digestWords[words + i] = wordUpTo(bytes, from, to)
      digestWords[words + count + i] = wordUpTo(bytes, from + 4, to)
      digestWords[words + 2 * count + i] = number32(bytes, cellAt(bytes, base, interiorHeadBytes, i))
    }
    digestWords[words + 3 * count] = number32(bytes, base + 8)
    digestEnd = (words + 3 * count + 1) * 4
    return at
  }

  /** The page to go on in; 0 when the digest cannot tell. */
  function childOf(at: number): number {
    const all = digestWords
    const same = digests[at + 2]!
    if (digests[at + 3] !== collectionBytes || same > wantedBytes) return 0
    for (let i = 0; i < same; i++) if (digests[at + 4 + i] !== wanted[i]) return 0
    const count = digestHalves[at / 2]!
    const words = wordsOfDigest(at, same)
    const word = number32(wanted, same)
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >>> 1
      let order = all[words + middle]! - word
      if (order === 0) order = all[words + count + middle]! - number32(wanted, same + 4)
      if (order === 0) return 0
      if (order < 0) low = middle + 1
      else high = middle
    }
    return all[words + 2 * count + low]!
  }

  function wordsOfDigest(at: number, same: number): number {
    return (at + 4 + same + 3) >>> 2
  }

  function rowsOfDigest(at: number, count: number): number {
    return at + 4 + ((count + 3) & ~3)
  }

  function hasRoom(more: number): boolean {
    if (digestEnd + more <= digests.length) return true
    if (digestEnd + more > maxDigestBytes) return false
    const larger = new Uint8Array(Math.max(digests.length * 2, (digestEnd + more + 3) & ~3))
    larger.set(digests.subarray(0, digestEnd))
    digests = larger
    digestHalves = new Uint16Array(larger.buffer)
    digestWords = new Uint32Array(larger.buffer)
    return true
  }

  function findInLeaf(at: number): number {
    const count = digestHalves[at / 2]!
    const rows = rowsOfDigest(at, count) / 2
    const hash = byteOfHash(wanted, collectionBytes, wantedBytes)
    const four = Math.imul(hash, 0x01010101)
    for (let i = 0; i < count; i += 4) {
      // Four at once: one of the bytes is 0 where the hash is the same.
      const difference = digestWords[(at + 4 + i) >>> 2]! ^ four
      if (((difference - 0x01010101) & ~difference & 0x80808080) === 0) continue
      for (let j = i; j < i + 4 && j < count; j++) {
        const row = base + digestHalves[rows + j]!
        if (digests[at + 4 + j] === hash && isWanted(row)) return row
      }
    }
    return none
  }

  function isWanted(row: number): boolean {
    const page = bytes
    if (textBytes(page, row + 1) !== collectionBytes || textsBytes(page, row) !== wantedBytes) return false
    const text = row + page[row]!
    // Neighbours differ at the end.
    for (let i = wantedBytes - 1; i >= 0; i--) if (page[text + i] !== wanted[i]) return false
    return true
  }

  /** The type and the column that come next when a row is read. */
  let typeAt = 0
  let columnAt = 0

  function memberAt(row: number, key: string): Member | undefined {
    if (!isWhole(row)) return undefined
    typeAt = row + 1
    columnAt = row + bytes[row]!
    nextType()
    nextType()
    const valueType = nextType()
    const valueAt = columnAt - columnBytes(valueType)
    const valueEnd = columnAt
    const revision = nextNumber()
    const createdAtMs = nextNumber()
    const clock = nextNumber()
    const expiresAtMs = nextNumber()
    const contentType = nextText() ?? jsonContentType
    const flags = nextNumber()
    const node = nextText() ?? ''
    if (valueType < 12 || revision === null || createdAtMs === null || clock === null || flags === null)
      return undefined
    const value =
      valueType % 2 === 1
        ? bytes.toString('utf8', valueAt, valueEnd)
        : Uint8Array.prototype.slice.call(bytes, valueAt, valueEnd)
    return { key, value, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }
  }

  function standingAt(row: number): Standing | undefined {
    if (!isWhole(row)) return undefined
    typeAt = row + 1
    columnAt = row + bytes[row]!
    nextType()
    const size = columnBytes(nextType()) + columnBytes(nextType())
    const revision = nextNumber()
    const createdAtMs = nextNumber()
    nextType()
    const expiresAtMs = nextNumber()
    if (revision === null || createdAtMs === null) return undefined
    return { revision, createdAtMs, expiresAtMs, bytes: size }
  }

  /** Whether all of a row is in its page: the operating system ends who reads past the end of the file. */
  function isWhole(row: number): boolean {
    const headEnd = row + bytes[row]!
    if (headEnd > end) return false
    typeAt = row + 1
    columnAt = headEnd
    while (typeAt < headEnd) nextType()
    return typeAt === headEnd && columnAt - row <= maxRowBytes && columnAt <= end
  }

  /** Goes on to the next column. */
  function nextType(): number {
    let type = bytes[typeAt++]!
    if (type > 127) {
      let next = type
      type = 0
      for (; next > 127; next = bytes[typeAt++]!) type = type * 128 + (next & 127)
      type = type * 128 + next
    }
    columnAt += columnBytes(type)
    return type
  }

  function nextNumber(): number | null {
    const at = columnAt
    return numberAt(bytes, at, nextType())
  }

  function nextText(): string | null {
    const at = columnAt
    return nextType() === 0 ? null : bytes.toString('utf8', at, columnAt)
  }

  const idleTimer = setInterval(() => {
    if (!wasUsed && holdsMemory) rest()
    holdsMemory = wasUsed
    wasUsed = false
  }, idleMs)
  idleTimer.unref()

  function rest(): void {
    file?.rest()
    digests = new Uint8Array(0)
    forgetDigests()
  }

  function resume(): void {
    if (file === null || fileBytes(`${path}-wal`) > 0) return
    const now = file.windows()
    windows = now.windows
    pageCount = Math.floor(now.bytes / pageBytes)
    isOpen = pageCount > 0 && isPlain(windows[0]!)
    forgetDigests()
  }

  resume()
  return {
    read(collection, key) {
      if (!isOpen) return undefined
      wasUsed = true
      want(collection, key)
      const row = find()
      if (row === none) return null
      return row === unsure ? undefined : memberAt(row, key)
    },
    standing(collection, key) {
      if (!isOpen) return undefined
      wasUsed = true
      want(collection, key)
      const row = find()
      if (row === none) return null
      return row === unsure ? undefined : standingAt(row)
    },
    pause() {
      isOpen = false
    },
    resume,
    close() {
      isOpen = false
      clearInterval(idleTimer)
      file?.close()
    },
  }
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** Whether a file, by its head, is laid out as kvist lays it out: these pages, used whole, and text in UTF-8. */
function isPlain(head: Buffer): boolean {
  return head.readUInt16BE(16) === pageBytes && head[20] === 0 && head.readUInt32BE(56) === 1
}

function cellCount(page: Buffer, base: number): number {
  return (page[base + 3]! << 8) | page[base + 4]!
}

function cellAt(page: Buffer, base: number, headBytes: number, index: number): number {
  const at = base + headBytes + index * 2
  return base + ((page[at]! << 8) | page[at + 1]!)
}

/** The offset of a cell's row. */
function rowAt(page: Buffer, base: number, headBytes: number, index: number): number {
  let at = cellAt(page, base, headBytes, index)
  if (at > base + pageBytes - leastCellBytes) return unsure
  if (headBytes === interiorHeadBytes) at += 4
  let lengthBytes = 1
  while (page[at++]! > 127) if (++lengthBytes > 5) return unsure
  // A head of more than 127 bytes is none of ours.
  return page[at]! > 127 ? unsure : at
}

/** How long the text is whose type stands there: two bytes are enough for any name and key. */
function textBytes(page: Buffer, at: number): number {
  const first = page[at]!
  return ((first > 127 ? ((first & 127) << 7) | page[at + 1]! : first) - 13) >> 1
}

/** How long the name of the collection and the key are together. */
function textsBytes(page: Buffer, row: number): number {
  const nameBytes = textBytes(page, row + 1)
  return nameBytes + textBytes(page, row + (page[row + 1]! > 127 ? 3 : 2))
}

/** Four bytes as a number, those from the end on taken for 0. */
function wordUpTo(page: Buffer, from: number, to: number): number {
  let word = 0
  for (let i = 0; i < 4; i++) word = word * 256 + (from + i < to ? page[from + i]! : 0)
  return word
}

const integerBytes = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0]

function columnBytes(type: number): number {
  return type < 12 ? integerBytes[type]! : (type - 12) >>> 1
}

/** Null for what is no integer. One that takes no room may stand where the file ends. */
function numberAt(bytes: Buffer, at: number, type: number): number | null {
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

function number32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function byteOfHash(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & 255
}
