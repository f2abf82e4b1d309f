/**
 * The checksum that ends every row of the tables: a CRC-32 of the row's texts and bytes, one after the other, with the
 * row's numbers and the lengths of the texts folded in. It is stored as a signed number of 32 bits, and every read of a
 * row's content verifies it (docs/design/engine-sqlite.md).
 */

/** Told apart by the checksum, so that a row of one table never passes for a row of another. */
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

/** In place of a number that is missing. */
const missing = -1

/** Up to so many bytes a loop is quicker than a call out of JavaScript, and the view of the bytes that one needs. */
const shortBytes = 200

/** Eight tables of 256: what each byte of eight contributes to the CRC (the "slicing by eight" of Intel). */
const slices = slicesOfCrc()

function slicesOfCrc(): Uint32Array {
  const made = new Uint32Array(8 * 256)
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

/** CRC-32 of a stretch of bytes, going on from the CRC of what comes before it. */
export function crc32(bytes: Uint8Array, from: number, to: number, before = 0): number {
  if (to - from > shortBytes) return Bun.hash.crc32(bytes.subarray(from, to), before)
  let crc = ~before
  let at = from
  for (; at + 8 <= to; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      slices[7 * 256 + (crc & 255)]! ^
      slices[6 * 256 + ((crc >>> 8) & 255)]! ^
      slices[5 * 256 + ((crc >>> 16) & 255)]! ^
      slices[4 * 256 + (crc >>> 24)]! ^
      slices[3 * 256 + bytes[at + 4]!]! ^
      slices[2 * 256 + bytes[at + 5]!]! ^
      slices[256 + bytes[at + 6]!]! ^
      slices[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = slices[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** Folds a safe integer into a checksum, in steps that never make two different numbers the same. */
function fold(checksum: number, number: number): number {
  let folded = Math.imul(checksum ^ number, 0x9e3779b1)
  folded ^= folded >>> 15
  folded = Math.imul(folded ^ Math.floor(number / 2 ** 32), 0x85ebca6b)
  return folded ^ (folded >>> 13)
}

/** `textsCrc` is that of collection, key, content type, node and inline value; a large value has none here. */
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
  let checksum = fold(textsCrc, tables.members)
  checksum = fold(checksum, ((collectionBytes * 1024 + keyBytes) * 512 + contentTypeBytes) * 256 + nodeBytes)
  checksum = fold(checksum, isText ? 1 : 0)
  checksum = fold(checksum, revision)
  checksum = fold(checksum, createdAtMs)
  checksum = fold(checksum, clock)
  checksum = fold(checksum, expiresAtMs ?? missing)
  checksum = fold(checksum, flags)
  return fold(checksum, largeBytes ?? missing)
}

export function pieceChecksum(bytesCrc: number, revision: number, piece: number): number {
  return fold(fold(fold(bytesCrc, tables.valuePieces), revision), piece)
}

/** `textsCrc` is that of collection, key and node. */
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

/** `textsCrc` is that of collection and key; `cause` is null for a living member. */
export function feedChecksum(
  textsCrc: number,
  collectionBytes: number,
  revision: number,
  cause: string | null,
): number {
  return fold(fold(fold(fold(textsCrc, tables.feed), collectionBytes), revision), causeCode(cause))
}

/** What is no cause has a code that no row was written with. */
function causeCode(cause: string | null): number {
  return cause === null ? 0 : cause === 'delete' ? 1 : cause === 'expire' ? 2 : 3
}

/** `textsCrc` is that of collection and key. */
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

/** Room for the longest text that a row holds; what is longer is hashed in a buffer of its own. */
const scratch = Buffer.alloc(8192)

/** As `crc32`, of a text in UTF-8. A damaged row may have bytes or a number where a text should be: never the same CRC. */
export function crcOfText(text: string, before = 0): number {
  if (typeof text !== 'string') return crcOfText(`no text: ${text}`, before)
  if (text.length * 3 > scratch.length) {
    const bytes = Buffer.from(text)
    return crc32(bytes, 0, bytes.length, before)
  }
  return crc32(scratch, 0, scratch.write(text), before)
}
