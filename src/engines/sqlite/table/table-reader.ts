import type { ExpiringRef } from '../../../core/engine.ts'
import type { Change, Member, MemberHead, Tombstone, Value } from '../../../core/member.ts'
import type { StoredOrigin } from '../../../core/origin.ts'
import type { ExistingVersion } from '../wal/record.ts'

export interface TableRange {
  readonly collection: string
  readonly from: string | null
  readonly to: string | null
  readonly order: 'asc' | 'desc'
}

/**
 * Reads the tables, on the server's thread. Whatever is read is verified; what is not as it was written throws `damaged`.
 * Cursors are used within the tick that made them, and closed.
 */
export interface TableReader {
  read(collection: string, key: string): Member | null
  readHead(collection: string, key: string): MemberHead | null
  /** A large value, by the revision and the size that its member's row says. */
  value(collection: string, key: string, revision: number, bytes: number, isText: boolean): Value
  /**
   * Throws `damaged` unless the rows between which a key would be have valid checksums: a row whose key was damaged cannot
   * be found by its key, but keeps its position.
   */
  verifyAbsence(collection: string, key: string): void
  existing(collection: string, key: string): ExistingVersion | null
  tombstone(collection: string, key: string): Tombstone | null
  /** Of the member or its tombstone. */
  origin(collection: string, key: string): StoredOrigin | null
  /** Members of a range of keys, in their order. One at a time of those that have the same bounds and order. */
  scan(range: TableRange): MemberRowCursor
  /** The feed after a revision and before another, in order; with a collection, its rows alone, whatever lies between. */
  feed(after: number, before: number, collection?: string): FeedRowCursor
  /** Blocks of revisions that have changes of a collection, from one on, in order. */
  feedBlocks(collection: string, from: number, limit: number): number[]
  /** The newest revision of which the tombstone was forgotten; 0 when none ever was. */
  forgotten(): number
  /** The clock stamp of the oldest tombstone. */
  oldestTombstone(): number | null
  /** In the order of their times, `skip` of them passed over. */
  expiring(atMs: number, limit: number, skip: number): ExpiringRef[]
  /** How large the file is. */
  bytes(): number
  /** Lets go of the state of the tables that is being read, so that the next read sees the newest. */
  release(): void
  close(): void
}

export interface MemberRowCursor {
  /** Goes to the next row; false when there is none. */
  next(): boolean
  /** Of the row that it is at. */
  readonly key: string
  /** About, of the value of the row. */
  readonly valueBytes: number
  /** The member of the row; only here a large value is read. With `keysOnly` its value is empty. */
  member(keysOnly: boolean): Member
  close(): void
}

export interface FeedRowCursor {
  next(): boolean
  readonly revision: number
  readonly collection: string
  readonly key: string
  /** About, of the value of the row; 0 where it names a tombstone. */
  readonly valueBytes: number
  /** The change of the row; only here a large value is read. */
  change(): Change
  close(): void
}
