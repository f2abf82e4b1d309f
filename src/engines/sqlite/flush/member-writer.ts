import type { Database } from 'bun:sqlite'
import { jsonContentType, type RemovalCause } from '../../../core/member.ts'
import { putMemberSql } from '../table/member-row.ts'
import { crc32, crcOfText, memberChecksum, tombstoneChecksum } from '../table/row-checksum.ts'
import { isLarge } from '../table/schema.ts'
import {
  type Chunk,
  type RecordTexts,
  recordClock,
  recordCollectionBytes,
  recordContentTypeBytes,
  recordIsText,
  recordKeyBytes,
  recordKind,
  recordMember,
  recordNode,
  recordNodeBytes,
  recordReplacedBytes,
  recordReplacedRevision,
  recordRevision,
  recordTexts,
} from '../wal/record.ts'
import type { PieceEdits } from './piece-edits.ts'

/** The result of writing a record. */
export interface WrittenRow {
  /** Revision of the replaced member or tombstone, 0 for none. */
  replacedRevision: number
  /** CRC-32 of collection and key. */
  namesCrc: number
}

/**
 * Writes the latest record of a key, at `at` in `chunk`, into `members` or `tombstones`, and notes the edits of large values. The first record of the key in
 * this job names the version in the tables that is replaced. Returns the same object every time.
 */
export type WriteMember = (
  key: string,
  chunk: Chunk,
  at: number,
  firstChunk: Chunk,
  firstAt: number,
) => Readonly<WrittenRow>

const emptyBytes = new Uint8Array()

export function memberWriter(db: Database, collection: string, pieces: PieceEdits): WriteMember {
  const putMember = db.query(putMemberSql)
  const deleteMember = db.query('DELETE FROM members WHERE collection = ? AND key = ?')
  // Only damage leaves a tombstone beside a member; it must not end the job.
  const putTombstone = db.query('INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?)')
  const deleteTombstone = tombstoneDeleter(db, collection)
  const texts: RecordTexts = { start: 0, namesEnd: 0, valueStart: 0, end: 0 }
  const written: WrittenRow = { replacedRevision: 0, namesCrc: 0 }

  function writeMember(key: string, chunk: Chunk, at: number, hasPieces: boolean): void {
    const { bytes } = chunk
    const isOut = isLargeRecord(chunk, at, texts)
    const m = recordMember(chunk, at, key, isOut)
    const isText = recordIsText(chunk, at)
    const largeBytes = isOut ? texts.end - texts.valueStart : null
    if (isOut && !hasPieces)
      pieces.come.push({ revision: m.revision, memory: bytes, from: texts.valueStart, to: texts.end })
    const checksum = memberChecksum(
      crc32(bytes, texts.namesEnd, isOut ? texts.valueStart : texts.end, written.namesCrc),
      recordCollectionBytes(chunk, at),
      recordKeyBytes(chunk, at),
      recordContentTypeBytes(chunk, at),
      recordNodeBytes(chunk, at),
      isText,
      m.revision,
      m.createdAtMs,
      m.clock,
      m.expiresAtMs,
      m.flags,
      largeBytes,
    )
    const contentType = m.contentType === jsonContentType ? null : m.contentType
    const value = isOut && !isText ? emptyBytes : m.value
    // biome-ignore format: the columns in one line
    putMember.run(collection, key, contentType, m.node || null, value, m.revision, m.createdAtMs, m.clock, m.expiresAtMs, m.flags, largeBytes, checksum)
  }

  function writeTombstone(key: string, chunk: Chunk, at: number, hasMember: boolean): void {
    const revision = recordRevision(chunk, at)
    const cause = recordKind(chunk, at) === 'expire' ? 'expire' : 'delete'
    const clock = recordClock(chunk, at)
    const node = recordNode(chunk, at)
    const checksum = tombstoneChecksum(
      crc32(chunk.bytes, texts.namesEnd, texts.valueStart, written.namesCrc),
      recordCollectionBytes(chunk, at),
      recordKeyBytes(chunk, at),
      revision,
      cause,
      clock,
    )
    if (hasMember) deleteMember.run(collection, key)
    putTombstone.run(collection, key, node || null, revision, cause, clock, checksum)
  }

  return (key, chunk, at, firstChunk, firstAt) => {
    recordTexts(chunk, at, texts)
    written.namesCrc = crc32(chunk.bytes, texts.start, texts.namesEnd)
    const replaced = recordReplacedRevision(firstChunk, firstAt)
    const revision = recordRevision(chunk, at)
    const hadPieces =
      replaced > 0 &&
      isLarge(recordCollectionBytes(firstChunk, firstAt), recordReplacedBytes(firstChunk, firstAt))
    // A renewal keeps the revision and the value, so the pieces stay.
    const hasPieces = hadPieces && replaced === revision
    if (hadPieces && !hasPieces) pieces.gone.push(replaced)
    // The tables have a member or a tombstone of a key, never both.
    written.replacedRevision = replaced === 0 ? deleteTombstone(key) : replaced
    if (recordKind(chunk, at) === 'put') writeMember(key, chunk, at, hasPieces)
    else writeTombstone(key, chunk, at, replaced > 0)
    return written
  }
}

function isLargeRecord(chunk: Chunk, at: number, { valueStart, end }: RecordTexts): boolean {
  return isLarge(recordCollectionBytes(chunk, at), recordKeyBytes(chunk, at) + end - valueStart)
}

interface TombstoneRow {
  readonly node: string | null
  readonly revision: number
  readonly cause: RemovalCause
  readonly clock: number
  readonly checksum: number
}

/**
 * Returns a function that deletes the tombstone of a key and returns its revision, 0 for none. A damaged tombstone counts
 * as revision 0 too, because its revision is unknown: its row stays in the feed, where readers report the damage.
 */
function tombstoneDeleter(db: Database, collection: string): (key: string) => number {
  const find = db.query<TombstoneRow, [string, string]>(
    'SELECT node, revision, cause, clock, checksum FROM tombstones WHERE collection = ? AND key = ?',
  )
  const remove = db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?')
  const hasTombstones =
    db.query('SELECT 1 FROM tombstones WHERE collection = ? LIMIT 1').values(collection).length > 0
  if (!hasTombstones) return () => 0
  const collectionBytes = Buffer.byteLength(collection)
  return (key) => {
    const row = find.get(collection, key)
    if (row === null) return 0
    remove.run(collection, key)
    const texts = crcOfText(row.node ?? '', crcOfText(key, crcOfText(collection)))
    const checksum = tombstoneChecksum(
      texts,
      collectionBytes,
      Buffer.byteLength(key),
      row.revision,
      row.cause,
      row.clock,
    )
    return checksum === row.checksum ? row.revision : 0
  }
}
