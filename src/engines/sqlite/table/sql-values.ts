import { damagedMember } from './damage.ts'
import type { MemberRow } from './member-row.ts'
import { crc32, pieceChecksum } from './row-checksum.ts'
import { pieceBytes, piecesPerValue } from './schema.ts'
import type { ReadConnection } from './sql-connection.ts'
import type { ReadValue } from './sql-cursors.ts'

/** Reads large values, which are stored in pieces (value-pieces.ts), whole or in part. */

const firstPieceId = `CAST(?1 AS INTEGER) * ${piecesPerValue}`
const piecesOfValue = `SELECT checksum, bytes FROM value_pieces
  WHERE id BETWEEN ${firstPieceId} + ?2 AND ${firstPieceId} + ?3 ORDER BY id`

/** Texts up to this size are assembled in memory that is kept. */
const maxScratchBytes = 2 * 1024 * 1024
let scratchMemory = Buffer.alloc(0)

function scratch(bytes: number): Buffer {
  if (scratchMemory.length < bytes) scratchMemory = Buffer.allocUnsafeSlow(bytes)
  return scratchMemory.subarray(0, bytes)
}

/**
 * Reads the pieces `first` to `last` of a large value, and calls `use` with the bytes of each and their offset in the value.
 * Throws `damaged` unless all of them are there, as they were written; for the whole value pass `piecesPerValue - 1`.
 */
type ReadPieces = (
  member: { readonly collection: string; readonly key: string; readonly revision: number },
  valueBytes: number,
  first: number,
  last: number,
  use: (bytes: Uint8Array, offset: number) => void,
) => void

export function pieceReader({ prepare, begin }: ReadConnection): ReadPieces {
  const pieces = prepare<{ checksum: number; bytes: Uint8Array }, [number, number, number]>(piecesOfValue)
  return ({ collection, key, revision }, valueBytes, first, last, use) => {
    begin()
    let piece = first
    for (const { checksum, bytes } of pieces.iterate(revision, first, last)) {
      const from = piece * pieceBytes
      const isWhole = bytes instanceof Uint8Array && bytes.length === Math.min(pieceBytes, valueBytes - from)
      if (!isWhole || pieceChecksum(crc32(bytes, 0, bytes.length), revision, piece) !== checksum)
        throw damagedMember(collection, key, `piece ${piece} of its value is not what was written`)
      use(bytes, from)
      piece++
    }
    if (piece !== Math.min(Math.ceil(valueBytes / pieceBytes), last + 1))
      throw damagedMember(collection, key, `of its value only ${piece - first} pieces are there`)
  }
}

/** Returns a function that assembles large values from their verified pieces. */
export function valueReader(readPieces: ReadPieces): ReadValue {
  return (collection, key, revision, valueBytes, isText) => {
    // Text is assembled in reused memory and then decoded: fresh memory costs a page fault for each of its pages.
    const value =
      isText && valueBytes <= maxScratchBytes ? scratch(valueBytes) : Buffer.allocUnsafeSlow(valueBytes)
    readPieces({ collection, key, revision }, valueBytes, 0, piecesPerValue - 1, (bytes, offset) =>
      value.set(bytes, offset),
    )
    return isText ? value.toString('utf8') : new Uint8Array(value.buffer)
  }
}

/** Returns a function that reads a part of a value, in the row or in pieces. */
export function partReader(readPieces: ReadPieces) {
  return (collection: string, row: MemberRow, from: number, to: number): Uint8Array => {
    const { value, largeBytes } = row
    if (largeBytes === null) return Buffer.from(value).subarray(from, to)
    const end = Math.min(to, largeBytes)
    if (from >= end) return new Uint8Array()
    const part = new Uint8Array(end - from)
    const [first, last] = [Math.floor(from / pieceBytes), Math.floor((end - 1) / pieceBytes)]
    readPieces({ collection, ...row }, largeBytes, first, last, (bytes, offset) => {
      const start = Math.max(from - offset, 0)
      part.set(bytes.subarray(start, end - offset), offset + start - from)
    })
    return part
  }
}
