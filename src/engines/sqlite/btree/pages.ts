import { statSync } from 'node:fs'
import type { MemberRef } from '../../../core/engine.ts'
import { jsonContentType, type Member } from '../../../core/member.ts'
import { damagedMember } from '../table/damage.ts'
import { crc32, memberChecksum } from '../table/row-checksum.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { mapFile, windowBytes } from './mapped-file.ts'
import {
  cellAt,
  cellCount,
  columnBytes,
  interiorHeadBytes,
  interiorType,
  leafHeadBytes,
  leafType,
  number32,
  numberAt,
  pageBytes,
  rowAt,
  textBytes,
  textsBytes,
  unsupported,
} from './page-format.ts'
import { byteOfHash, openPageIndexes } from './page-index.ts'

/**
 * Reads members from the pages of the tables' file as they lie in memory (page-format.ts), at half of what asking SQLite
 * costs (docs/design/engine-sqlite.md). `members` is a b-tree of whole rows, in the leaves and between them.
 *
 * It reads the state that the file itself is in, and only while nobody writes to it. What a job of the flusher brings is in
 * the write-ahead log until a checkpoint moves it, and in the segments in memory until after that; so the flusher tells
 * before and after each checkpoint, and where one did not move all of it SQLite reads the table. So it does for whatever is not
 * plain: a value that goes on in pages of its own, a page that is not as it should be.
 */
export interface PageReader {
  /**
   * Null for no such member; undefined when SQLite has to be asked. `slot` is where it stands among those that were
   * prefetched last, from 1 on; 0 for none of them.
   */
  read(collection: string, key: string, slot?: number): Member | null | undefined
  existing(collection: string, key: string, slot?: number): ExistingVersion | null | undefined
  /**
   * Finds where the rows of several members are, `maxPrefetched` at most: a step of all and then the next step of all, so
   * that the processor waits for memory once for many. They are to be read, in any order, before the event loop goes on.
   */
  prefetch(refs: readonly MemberRef[]): void
  /** Somebody is about to write to the file. */
  pause(): void
  /** Nobody does any more. */
  resume(): void
  /** The flusher starts on a job that may commit. */
  jobBegins(): void
  /** The job has committed so many transactions; null when that is not known, of one that failed. */
  jobEnded(commits: number | null): void
  close(): void
}

const windowPages = windowBytes / pageBytes
const windowShift = Math.log2(windowPages)
/** Longer rows go on in other pages. */
const maxRowBytes = Math.floor(((pageBytes - 12) * 64) / 255) - 23
const maxDepth = 20

/** What a search gives in place of the offset of a row; also `unsupported`. */
const none = -1

/** After so long without a read the memory is let go of. */
const idleMs = 10_000

/** In place of where the row is of one that was prefetched. */
const isUnknown = 0
const isAbsent = 1

/** So many are looked for together; what they need stays in the processor's own memory. */
export const maxPrefetched = 256
/** Names and keys have a place of this size each; longer ones are not prefetched. */
const placeBytes = 320
/** That of who asks now has room for all. */
const ownPlaceBytes = 4096
/** What of a row is brought near: lines that its head, its key and its value lie in. */
const lineBytes = 64

/** Less room for indexes makes tests meet pages without. */
export function openPages(
  path: string,
  root: number,
  readValue: TableReader['value'],
  maxIndexBytes?: number,
): PageReader {
  const file = mapFile(path)
  const indexes = openPageIndexes(maxIndexBytes)
  let windows: readonly Buffer[] = []
  let pageCount = 0
  let isOpen = false
  let wasUsed = false
  let holdsMemory = false

  /**
   * What is looked for, each in its place: the collection's name, the key, and 8 bytes of 0. The first place is of who asks
   * now, the others of those prefetched.
   */
  const wanted = Buffer.alloc(ownPlaceBytes + maxPrefetched * placeBytes)
  const collectionIn = new Array<string>(maxPrefetched + 1).fill('')
  const collectionBytesIn = new Uint16Array(maxPrefetched + 1)
  const wantedBytesIn = new Uint16Array(maxPrefetched + 1)

  /** The one that is looked for now: where it begins, how long the collection's name is, and all of it. */
  let wantedAt = 0
  let collectionBytes = 0
  let wantedBytes = 0

  /** The page that is looked at: its window, and where it begins and ends there. */
  let bytes: Buffer = wanted
  let base = 0
  let end = 0
  /** Of its cells, the first whose key is larger than what is wanted. */
  let place = 0

  function want(number: number, collection: string, key: string): void {
    const at = placeOf(number)
    let nameBytes = collectionBytesIn[number]!
    if (collection !== collectionIn[number]) {
      nameBytes = wanted.write(collection, at)
      collectionIn[number] = collection
      collectionBytesIn[number] = nameBytes
    }
    wantedBytesIn[number] = nameBytes + writeKey(key, at + nameBytes)
  }

  /** How many bytes the key has. */
  function writeKey(key: string, at: number): number {
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i)
      if (unit > 127) {
        const keyBytes = wanted.write(key, at)
        wanted.fill(0, at + keyBytes, at + keyBytes + 8)
        return keyBytes
      }
      wanted[at + i] = unit
    }
    for (let i = 0; i < 8; i++) wanted[at + key.length + i] = 0
    return key.length
  }

  function lookFor(number: number): void {
    wantedAt = placeOf(number)
    collectionBytes = collectionBytesIn[number]!
    wantedBytes = wantedBytesIn[number]!
  }

  function lookAt(page: number): void {
    bytes = windows[(page - 1) >>> windowShift]!
    base = baseOf(page)
    end = base + pageBytes
  }

  /** How many were prefetched: their slots are 1 to this. */
  let prefetched = 0
  /** The page of each that its row is in, and where its window has the row; or `isUnknown`, or `isAbsent`. */
  const pageOf = new Uint32Array(maxPrefetched + 1)
  const rowOf = new Uint32Array(maxPrefetched + 1)
  /** Of that page, or of the one above it so far; 0 where it has none. */
  const indexOfPage = new Uint32Array(maxPrefetched + 1)
  /** Takes what is only touched, which would be left out as useless otherwise. */
  const touched = new Uint32Array(1)

  function prefetch(refs: readonly MemberRef[]): void {
    prefetched = 0
    if (!isOpen) return
    const rootIndex = indexes.of(root)
    for (const { collection, key } of refs) {
      prefetched++
      // There is no page 0: what has no room stays unknown.
      const hasRoom = (collection.length + key.length) * 3 + 8 <= placeBytes
      pageOf[prefetched] = hasRoom ? root : 0
      indexOfPage[prefetched] = hasRoom ? rootIndex : 0
      if (hasRoom) want(prefetched, collection, key)
    }
    for (let depth = 0; depth < maxDepth && descend(); depth++);
    for (let i = 1; i <= prefetched; i++) rowOf[i] = candidateRow(i)
    for (let i = 1; i <= prefetched; i++) if (rowOf[i]! > isAbsent) touchRow(pageOf[i]!, rowOf[i]!)
  }

  /** Where a row is in its window that may be the one. */
  function candidateRow(number: number): number {
    const at = indexOfPage[number]!
    if (at === 0 || !indexes.isLeaf(at)) return isUnknown
    lookFor(number)
    const candidate = indexes.candidate(at, hashOfWanted(), 0)
    if (candidate === -1) return isAbsent
    return baseOf(pageOf[number]!) + indexes.rowAt(at, candidate)
  }

  /** Nothing else is done meanwhile: the processor looks only so far ahead. */
  function touchRow(page: number, row: number): void {
    const window = windows[(page - 1) >>> windowShift]!
    const last = (row | (pageBytes - 1)) - lineBytes
    touched[0]! ^=
      window[row]! ^
      window[Math.min(row, last) + lineBytes]! ^
      window[Math.min(row + lineBytes, last) + lineBytes]!
  }

  /** Takes all of them one page down; false when there was none that could be. */
  function descend(): boolean {
    let isDeeper = false
    for (let i = 1; i <= prefetched; i++) {
      const at = indexOfPage[i]!
      if (at === 0 || indexes.isLeaf(at)) continue
      isDeeper = true
      lookFor(i)
      pageOf[i] = indexes.childOf(at, wanted, wantedAt, collectionBytes, wantedBytes)
      indexOfPage[i] = 0
    }
    if (!isDeeper) return false
    for (let i = 1; i <= prefetched; i++) {
      const at = indexes.of(pageOf[i]!)
      indexOfPage[i] = at
      touched[0]! ^= indexes.touch(at)
    }
    return true
  }

  /** The offset of a row, in `bytes`. */
  function rowFor(collection: string, key: string, slot: number): number {
    wasUsed = true
    const row = slot > prefetched ? isUnknown : rowOf[slot]!
    if (row === isAbsent) return none
    if (row !== isUnknown) {
      lookFor(slot)
      lookAt(pageOf[slot]!)
      if (isWanted(row)) return row
    } else {
      want(0, collection, key)
      lookFor(0)
    }
    return find()
  }

  /** The offset of the row that is looked for, in `bytes`. */
  function find(): number {
    let page = root
    for (let depth = 0; depth < maxDepth; depth++) {
      if (page < 2 || page > pageCount) return unsupported
      lookAt(page)
      const index = indexes.read(page, bytes, base)
      if (index !== 0) {
        if (indexes.isLeaf(index)) return findInLeaf(index)
        const child = indexes.childOf(index, wanted, wantedAt, collectionBytes, wantedBytes)
        if (child !== 0) {
          page = child
          continue
        }
      }
      const type = bytes[base]!
      if (type === leafType) return search(leafHeadBytes)
      if (type !== interiorType) return unsupported
      const row = search(interiorHeadBytes)
      if (row !== none) return row
      // The last of the children stands in the head.
      page = number32(
        bytes,
        place === cellCount(bytes, base) ? base + 8 : cellAt(bytes, base, interiorHeadBytes, place),
      )
    }
    return unsupported
  }

  /** Halves the page that is looked at. What it has in common with both neighbours is not compared again. */
  function search(headBytes: number): number {
    // What is captured would be loaded anew at each use.
    const page = bytes
    const from = base
    let low = 0
    let high = cellCount(page, from)
    if (headBytes + high * 2 > pageBytes) return unsupported
    let sameAsLow = 0
    let sameAsHigh = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      const row = rowAt(page, from, headBytes, middle)
      if (row === unsupported) return unsupported
      const text = row + page[row]!
      const nameBytes = textBytes(page, row + 1)
      let same = 0
      let order = 0
      if (nameBytes === collectionBytes) {
        const length = textsBytes(page, row)
        if (text + length > from + pageBytes) return unsupported
        const common = Math.min(length, wantedBytes)
        same = Math.min(sameAsLow, sameAsHigh)
        while (same < common && page[text + same] === wanted[wantedAt + same]) same++
        order = same < common ? page[text + same]! - wanted[wantedAt + same]! : length - wantedBytes
        if (order === 0) return row
      } else {
        if (text + nameBytes > from + pageBytes) return unsupported
        order = page.compare(wanted, wantedAt, wantedAt + collectionBytes, text, text + nameBytes)
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

  function findInLeaf(index: number): number {
    const hash = hashOfWanted()
    for (let i = indexes.candidate(index, hash, 0); i !== -1; i = indexes.candidate(index, hash, i + 1)) {
      const row = base + indexes.rowAt(index, i)
      if (isWanted(row)) return row
    }
    return none
  }

  function hashOfWanted(): number {
    return byteOfHash(wanted, wantedAt + collectionBytes, wantedAt + wantedBytes)
  }

  function isWanted(row: number): boolean {
    const page = bytes
    if (textBytes(page, row + 1) !== collectionBytes || textsBytes(page, row) !== wantedBytes) return false
    const text = row + page[row]!
    // Neighbours differ at the end.
    for (let i = wantedBytes - 1; i >= 0; i--) if (page[text + i] !== wanted[wantedAt + i]) return false
    return true
  }

  /** The type and the column that come next when a row is read. */
  let typeAt = 0
  let columnAt = 0

  function memberAt(row: number, collection: string, key: string): Member | undefined {
    if (!isWhole(row)) return undefined
    beginColumns(row)
    const texts = columnAt
    const nameType = nextType()
    const keyType = nextType()
    const nameBytes = columnBytes(nameType)
    const keyBytes = columnBytes(keyType)
    const contentTypeAt = columnAt
    const contentType = nextText()
    const nodeAt = columnAt
    const node = nextText()
    const valueAt = columnAt
    const valueType = nextType()
    const valueEnd = columnAt
    const revision = nextNumber()
    const createdAtMs = nextNumber()
    const clock = nextNumber()
    const expiresAtMs = nextNumber()
    const flags = nextNumber()
    const largeBytes = nextNumber()
    const checksum = nextNumber()
    if (valueType < 12 || revision === null || createdAtMs === null || clock === null || flags === null)
      return undefined
    const isJson = isText(valueType)
    const expected = memberChecksum(
      crc32(bytes, texts, valueEnd),
      nameBytes,
      keyBytes,
      nodeAt - contentTypeAt,
      valueAt - nodeAt,
      isJson,
      revision,
      createdAtMs,
      clock,
      expiresAtMs,
      flags,
      largeBytes,
    )
    if (expected !== checksum || !isText(nameType) || !isText(keyType))
      throw damagedMember(collection, key, 'the checksum of its row does not match')
    return {
      key,
      value:
        largeBytes !== null
          ? readValue(collection, key, revision, largeBytes, isJson)
          : isJson
            ? bytes.toString('utf8', valueAt, valueEnd)
            : Uint8Array.prototype.slice.call(bytes, valueAt, valueEnd),
      revision,
      createdAtMs,
      clock,
      node: node ?? '',
      expiresAtMs,
      contentType: contentType || jsonContentType,
      flags,
    }
  }

  function existingAt(row: number, collection: string, key: string): ExistingVersion | undefined {
    if (!isWhole(row)) return undefined
    beginColumns(row)
    const texts = columnAt
    const nameType = nextType()
    const keyType = nextType()
    const nameBytes = columnBytes(nameType)
    const keyBytes = columnBytes(keyType)
    const contentTypeBytes = columnBytes(nextType())
    const nodeBytes = columnBytes(nextType())
    const valueAt = columnAt
    const valueType = nextType()
    const valueEnd = columnAt
    const revision = nextNumber()
    const createdAtMs = nextNumber()
    const clock = nextNumber()
    const expiresAtMs = nextNumber()
    const flags = nextNumber()
    const largeBytes = nextNumber()
    const checksum = nextNumber()
    if (valueType < 12 || revision === null || createdAtMs === null || clock === null || flags === null)
      return undefined
    const expected = memberChecksum(
      crc32(bytes, texts, valueEnd),
      nameBytes,
      keyBytes,
      contentTypeBytes,
      nodeBytes,
      isText(valueType),
      revision,
      createdAtMs,
      clock,
      expiresAtMs,
      flags,
      largeBytes,
    )
    if (expected !== checksum || !isText(nameType) || !isText(keyType))
      throw damagedMember(collection, key, 'the checksum of its row does not match')
    return { revision, createdAtMs, expiresAtMs, bytes: keyBytes + (largeBytes ?? valueEnd - valueAt) }
  }

  function beginColumns(row: number): void {
    typeAt = row + 1
    columnAt = row + bytes[row]!
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
    if (!wasUsed && holdsMemory) release()
    holdsMemory = wasUsed
    wasUsed = false
  }, idleMs)
  idleTimer.unref()

  function release(): void {
    file?.release()
    indexes.release()
  }

  function resume(): void {
    if (file === null || fileBytes(`${path}-wal`) > 0) return
    const now = file.windows()
    windows = now.windows
    pageCount = Math.floor(now.bytes / pageBytes)
    isOpen = pageCount > 0 && isPlain(windows[0]!)
    indexes.forget(pageCount)
  }

  resume()
  return {
    read(collection, key, slot = 0) {
      if (!isOpen) return undefined
      const row = rowFor(collection, key, slot)
      if (row === none) return null
      return row === unsupported ? undefined : memberAt(row, collection, key)
    },
    existing(collection, key, slot = 0) {
      if (!isOpen) return undefined
      const row = rowFor(collection, key, slot)
      if (row === none) return null
      return row === unsupported ? undefined : existingAt(row, collection, key)
    },
    prefetch,
    pause() {
      isOpen = false
      prefetched = 0
    },
    resume,
    jobBegins() {},
    jobEnded() {},
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

/** Whether a column of this type is text; the others that are as long are bytes. */
function isText(type: number): boolean {
  return type > 12 && type % 2 === 1
}

/** Where a page begins in its window. */
function baseOf(page: number): number {
  return ((page - 1) & (windowPages - 1)) * pageBytes
}

function placeOf(number: number): number {
  return number === 0 ? 0 : ownPlaceBytes + (number - 1) * placeBytes
}
