import type { ExpiringRef } from '../../../core/engine.ts'
import type { Change, Member, MemberHead, MemberVersion, Tombstone, Value } from '../../../core/member.ts'
import type { StoredOrigin } from '../../../core/origin.ts'
import type { ExistingVersion } from '../wal/record.ts'

export interface TableRange {
  readonly collection: string
  readonly from: string | null
  readonly to: string | null
  readonly order: 'asc' | 'desc'
}

/**
 * Reads the tables, on the server's thread. Every read verifies checksums, and throws `damaged` where one does not match.
 * Use a cursor only in the tick of the event loop that made it, and close it.
 */
export interface TableReader {
  read(collection: string, key: string): Member | null
  readHead(collection: string, key: string): MemberHead | null
  /** Reads a large value; `revision` and `bytes` are those in its member's row. */
  value(collection: string, key: string, revision: number, bytes: number, isText: boolean): Value
  /** See `Engine.readPart`. Of a large value, reads only the pieces that hold the part. */
  part(collection: string, key: string, version: MemberVersion, from: number, to: number): Uint8Array | null
  /**
   * Throws `damaged` unless the two rows next to the position of a missing key have valid checksums: a row whose key was
   * damaged cannot be found by its key, but keeps its position.
   */
  verifyAbsence(collection: string, key: string): void
  existing(collection: string, key: string): ExistingVersion | null
  tombstone(collection: string, key: string): Tombstone | null
  /** The origin of the member or its tombstone; null where there is neither. */
  origin(collection: string, key: string): StoredOrigin | null
  /** Members of a range of keys, in order. Of ranges with the same kinds of bounds and order only one may be open. */
  scan(range: TableRange): MemberRowCursor
  /** Rows of the feed between two revisions, both excluded, in order; with `collection` only its rows. */
  feed(after: number, before: number, collection?: string): FeedRowCursor
  /** The numbers of up to `limit` blocks that have changes of a collection, from block `from` on, in order. */
  feedBlocks(collection: string, from: number, limit: number): number[]
  /** The revision of the newest forgotten tombstone; 0 for none. */
  forgotten(): number
  /** See `Engine.forgottenClock`. */
  forgottenClock(): number
  /** The stamp of the removal of the tombstone with the lowest revision; null for none. */
  oldestTombstone(): number | null
  /** Members that expire up to `atMs`, in the order of their expiries, after the first `skip`. */
  expiring(atMs: number, limit: number, skip: number): ExpiringRef[]
  /** The size of the file in bytes. */
  bytes(): number
  /** Ends the read transaction, so that the next read sees the newest state of the tables. */
  release(): void
  close(): void
}

export interface MemberRowCursor {
  /** Advances to the next row; false at the end. */
  next(): boolean
  /** The key of the current row. */
  readonly key: string
  /** The approximate size of the row's value, in bytes. */
  readonly valueBytes: number
  /** The member of the current row, with an empty value for `keysOnly`. Only this call reads a large value. */
  member(keysOnly: boolean): Member
  close(): void
}

export interface FeedRowCursor {
  next(): boolean
  readonly revision: number
  readonly collection: string
  readonly key: string
  /** The approximate size of the row's value, in bytes; 0 where it names a tombstone. */
  readonly valueBytes: number
  /** The change of the current row. Only this call reads a large value. */
  change(): Change
  close(): void
}
