import type { Database } from 'bun:sqlite'
import { crc32, pieceChecksum } from './row-checksum.ts'
import { pieceBytes, piecesPerValue } from './schema.ts'

/** Writes and deletes large values in `value_pieces`; all changes of that table go through it. */
export interface PieceWriter {
  /** Stores a value under the revision of its member. */
  put(revision: number, value: Uint8Array): void
  /** Deletes the value of a revision; SQLite reuses its pages. */
  remove(revision: number): void
}

const firstId = `CAST(?1 AS INTEGER) * ${piecesPerValue}`

export function pieceWriter(db: Database): PieceWriter {
  const insert = db.query(`INSERT INTO value_pieces VALUES (${firstId} + ?2, ?3, ?4)`)
  const remove = db.query(
    `DELETE FROM value_pieces WHERE id BETWEEN ${firstId} AND ${firstId} + ${piecesPerValue - 1}`,
  )
  return {
    put(revision, value) {
      for (let piece = 0, from = 0; from < value.length; piece++, from += pieceBytes) {
        const bytes = value.subarray(from, from + pieceBytes)
        insert.run(revision, piece, pieceChecksum(crc32(bytes, 0, bytes.length), revision, piece), bytes)
      }
    },
    remove: (revision) => remove.run(revision),
  }
}
