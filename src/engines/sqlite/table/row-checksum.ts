/**
 * The checksum of every row of the tables: a CRC-32 of the row's concatenated texts and bytes, with the row's numbers and
 * the lengths of the texts folded in. It is stored as a signed 32-bit number, and every read of a row's content verifies
 * it (docs/design/engine-sqlite.md).
 */

/** A number per table, folded into the checksum, so that a row of one table is not valid in another. */
const tables = {
  meta: 1,
  collections: 2,
  members: 3,
  valuePieces: 4,
  expiries: 5,
  tombstones: 6,
  feed: 7,
  feedBlocks: 8,
} as const

/** Folded for NULL in a numeric column. */
const missing = -1

/** Up to this many bytes a loop is faster than a native call, which also needs a subarray. */
const shortBytes = 200

/**
 * Eight tables of 256 entries: the contribution of each of eight bytes to the CRC (Intel's "slicing by eight"). Signed,
 * because numbers past 2 ** 31 make the loop run several times as long, in some processes.
 */
const slices = slicesOfCrc()

function slicesOfCrc(): Int32Array {
  const made = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1
    made[byte] = crc
  }
  for (let i = 256; i < made.length; i++) {
    const before = made[i - 256]!
    made[i] = made[before & 255]! ^ (before >>> 8)
  }
  return made
}

/** CRC-32 of the bytes `from` to `to`, continuing the CRC `before` of the bytes that precede them. */
export function crc32(bytes: Uint8Array, from: number, to: number, before = 0): number {
  return plainCrc.of(bytes, from, to, before)
}

/** Computes CRC-32s, and finds out meanwhile whether the bytes are ASCII. */
export class TextCrc {
  /** Whether the bytes of the last call were all ASCII; false for long ones, which are not looked at one by one. */
  isAscii = false

  /** As `crc32`. */
  of(bytes: Uint8Array, from: number, to: number, before = 0): number {
    if (to - from > shortBytes) {
      this.isAscii = false
      return Bun.hash.crc32(bytes.subarray(from, to), before)
    }
    let crc = ~before
    let bits = 0
    let at = from
    for (; at + 8 <= to; at += 8) {
      const first = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      const e = bytes[at + 4]!
      const f = bytes[at + 5]!
      const g = bytes[at + 6]!
      const h = bytes[at + 7]!
      bits |= first | e | f | g | h
      crc ^= first
      crc =
        slices[7 * 256 + (crc & 255)]! ^
        slices[6 * 256 + ((crc >>> 8) & 255)]! ^
        slices[5 * 256 + ((crc >>> 16) & 255)]! ^
        slices[4 * 256 + (crc >>> 24)]! ^
        slices[3 * 256 + e]! ^
        slices[2 * 256 + f]! ^
        slices[256 + g]! ^
        slices[h]!
    }
    for (; at < to; at++) {
      bits |= bytes[at]!
      crc = slices[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8)
    }
    this.isAscii = (bits & 0x80808080) === 0
    return ~crc >>> 0
  }
}

const plainCrc = new TextCrc()

/** Folds a safe integer into a checksum. A change in one 32-bit half of the number always changes the result. */
function fold(checksum: number, number: number): number {
  return foldHalves(checksum, number, Math.floor(number / 2 ** 32))
}

function foldHalves(checksum: number, low: number, high: number): number {
  let folded = Math.imul(checksum ^ low, 0x9e3779b1)
  folded ^= folded >>> 15
  folded = Math.imul(folded ^ high, 0x85ebca6b)
  return folded ^ (folded >>> 13)
}

/** `textsCrc` covers collection, key, content type, node and an inline value; pieces have checksums of their own. */
export function memberChecksum(
  textsCrc: number,
  collectionBytes: number,
  keyBytes: number,
  contentTypeBytes: number,
  nodeBytes: number,
  isText: boolean,
  revision: number,
  createdAtMs: number,
  clock: number,
  expiresAtMs: number | null,
  flags: number,
  largeBytes: number | null,
): number {
  let checksum = foldLengths(textsCrc, collectionBytes, keyBytes, contentTypeBytes, nodeBytes, isText)
  checksum = fold(checksum, revision)
  checksum = fold(checksum, createdAtMs)
  checksum = fold(checksum, clock)
  checksum = fold(checksum, expiresAtMs ?? missing)
  checksum = fold(checksum, flags)
  return fold(checksum, largeBytes ?? missing)
}

/** The count of the numbers of a member that its checksum covers, in the order of the columns. */
export const memberNumbers = 6

/**
 * As `memberChecksum`, of numbers in 32-bit halves, the low one before the high one. Truncating a number past 2 ** 31 to its low
 * half takes a call of the runtime, and a row has the halves as they are.
 */
export function memberRowChecksum(
  textsCrc: number,
  collectionBytes: number,
  keyBytes: number,
  contentTypeBytes: number,
  nodeBytes: number,
  isText: boolean,
  halves: Int32Array,
): number {
  let checksum = foldLengths(textsCrc, collectionBytes, keyBytes, contentTypeBytes, nodeBytes, isText)
  for (let i = 0; i < 2 * memberNumbers; i += 2) checksum = foldHalves(checksum, halves[i]!, halves[i + 1]!)
  return checksum
}

function foldLengths(
  textsCrc: number,
  collectionBytes: number,
  keyBytes: number,
  contentTypeBytes: number,
  nodeBytes: number,
  isText: boolean,
): number {
  const checksum = foldHalves(textsCrc, tables.members, 0)
  const both = collectionBytes * 1024 + keyBytes
  const folded =
    contentTypeBytes === 0 && nodeBytes === 0
      ? foldHalves(checksum, both << 17, both >>> 15)
      : fold(checksum, (both * 512 + contentTypeBytes) * 256 + nodeBytes)
  return foldHalves(folded, isText ? 1 : 0, 0)
}

export function pieceChecksum(bytesCrc: number, revision: number, piece: number): number {
  return fold(fold(fold(bytesCrc, tables.valuePieces), revision), piece)
}

/** `textsCrc` covers collection, key and node. */
export function tombstoneChecksum(
  textsCrc: number,
  collectionBytes: number,
  keyBytes: number,
  revision: number,
  cause: string,
  clock: number,
): number {
  let checksum = fold(textsCrc, tables.tombstones)
  checksum = fold(checksum, collectionBytes * 1024 + keyBytes)
  checksum = fold(checksum, revision)
  checksum = fold(checksum, causeCode(cause))
  return fold(checksum, clock)
}

/** `textsCrc` covers collection and key; `cause` is null for a member. */
export function feedChecksum(
  textsCrc: number,
  collectionBytes: number,
  revision: number,
  cause: string | null,
): number {
  return fold(fold(fold(fold(textsCrc, tables.feed), collectionBytes), revision), causeCode(cause))
}

/** The code of a cause; any other text has a code with which no row is ever written. */
function causeCode(cause: string | null): number {
  return cause === null ? 0 : cause === 'delete' ? 1 : cause === 'expire' ? 2 : 3
}

/** `textsCrc` covers collection and key. */
export function expiryChecksum(textsCrc: number, collectionBytes: number, expiresAtMs: number): number {
  return fold(fold(fold(textsCrc, tables.expiries), collectionBytes), expiresAtMs)
}

export function feedBlockChecksum(collection: string, block: number, changes: number): number {
  return fold(fold(fold(crcOfText(collection), tables.feedBlocks), block), changes)
}

export function collectionChecksum(name: string, members: number, bytes: number): number {
  return fold(fold(fold(crcOfText(name), tables.collections), members), bytes)
}

export function metaChecksum(name: string, value: string | number): number {
  return fold(crcOfText(`${name}=${value}`), tables.meta)
}

/** Scratch memory for encoding texts; a text that may not fit is encoded to a buffer of its own. */
const scratch = Buffer.alloc(8192)

/**
 * As `crc32`, for the UTF-8 bytes of a text. A damaged row may hold a number or bytes in a text column; their CRC is that
 * of another text, so that the checksum does not match.
 */
export function crcOfText(text: string, before = 0): number {
  if (typeof text !== 'string') return crcOfText(`no text: ${text}`, before)
  if (text.length * 3 > scratch.length) {
    const bytes = Buffer.from(text)
    return crc32(bytes, 0, bytes.length, before)
  }
  return crc32(scratch, 0, scratch.write(text), before)
}
