import type { Database } from 'bun:sqlite'
import { nodeIdLength, randomName } from '../../../core/origin.ts'
import { metaChecksum } from './row-checksum.ts'

/**
 * The tables, to which the log is flushed, ordered by key. The flusher writes them (flush.ts), the server's thread reads
 * them. Any sqlite3 shell can open the file; rows that it writes have no valid checksum, and reading them throws
 * `damaged`.
 */
export const tableFormat = 3
/** The first version of kvist that reads this format; a file says it to older ones that do not. */
export const neededVersion = '0.1.0'
/** "kvst", in the header of the file, distinguishes kvist's files from other SQLite files. */
export const applicationId = 0x6b767374

/** Characters of the id of a store. */
export const storeIdLength = 16

/** The number of revisions that a row of `feed_blocks` covers. */
export const blockRevisions = 4096

/**
 * A value is large, and stored in `value_pieces`, when collection, key and value together have more bytes than this. So a
 * member's row never overflows its page: SQLite keeps up to 2,030 bytes of a row there, and content type, node, numbers
 * and the row's header take at most 363. A row with overflow pages would be read whole at every comparison.
 */
export const maxInlineBytes = 1664

/** Whether a value is stored in `value_pieces`; `keyAndValueBytes` is the size that the collection's counts include. */
export function isLarge(collectionBytes: number, keyAndValueBytes: number): boolean {
  return collectionBytes + keyAndValueBytes > maxInlineBytes
}

/** The size of every piece of a large value except the last. */
export const pieceBytes = 64 * 1024
/** The ids of a value's pieces begin with `revision * piecesPerValue`. */
export const piecesPerValue = 1024

/**
 * Each row has a checksum (row-checksum.ts). The texts that it covers are adjacent and in the order of the log's records,
 * so that both rows and records are hashed in place.
 */
export const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL, checksum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE collections (
    name TEXT PRIMARY KEY,
    members INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE members (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    content_type TEXT, -- NULL for application/json
    node TEXT, -- NULL for this one
    value ANY NOT NULL, -- TEXT is JSON, BLOB is anything else; empty when it is large
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- milliseconds
    clock INTEGER NOT NULL, -- milliseconds * 2048 + counter
    expires_at INTEGER, -- milliseconds
    flags INTEGER NOT NULL,
    large_bytes INTEGER, -- of a value that lies in value_pieces; NULL when it is here
    checksum INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
  ) STRICT, WITHOUT ROWID;
  -- Large values, under the revision of their member, in pieces of ${pieceBytes} bytes; JSON as UTF-8.
  CREATE TABLE value_pieces (
    id INTEGER PRIMARY KEY, -- revision * ${piecesPerValue} + number of the piece
    checksum INTEGER NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE TABLE expiries (
    expires_at INTEGER NOT NULL,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (expires_at, collection, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE tombstones (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    node TEXT,
    revision INTEGER NOT NULL,
    cause TEXT NOT NULL, -- delete or expire
    clock INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
  ) STRICT, WITHOUT ROWID;
  -- The latest state of every member and tombstone, in the order of revisions.
  CREATE TABLE feed (
    revision INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    cause TEXT, -- NULL for a member that is there
    checksum INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX feed_tombstones ON feed (revision) WHERE cause IS NOT NULL;
  -- How many rows of a block of ${blockRevisions} revisions are of a collection; only where there are some.
  CREATE TABLE feed_blocks (
    collection TEXT NOT NULL,
    block INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (collection, block)
  ) STRICT, WITHOUT ROWID;
`

/** The tables whose pages are checked when they are searched or scanned (btree/tree-check.ts). */
export const treeNames = ['members', 'tombstones', 'expiries', 'feed', 'feed_blocks'] as const
export type TreeName = (typeof treeNames)[number]
/** The root pages of their b-trees; they do not change while the file is open. */
export type TreeRoots = Readonly<Record<TreeName, number>>

/** Creates the tables in an empty file. */
export function createSchema(db: Database): void {
  db.run('BEGIN')
  db.run(schema)
  writeMeta(db, 'store_id', randomName(storeIdLength))
  writeMeta(db, 'node_id', randomName(nodeIdLength))
  writeMeta(db, 'flushed_revision', 0)
  writeMeta(db, 'clock', 0)
  writeMeta(db, 'forgotten_revision', 0)
  writeMeta(db, 'needs_kvist', neededVersion)
  db.run(`PRAGMA application_id = ${applicationId}`)
  db.run(`PRAGMA user_version = ${tableFormat}`)
  db.run('COMMIT')
}

export function writeMeta(db: Database, name: string, value: string | number): void {
  db.query('INSERT OR REPLACE INTO meta VALUES (?, ?, ?)').run(name, value, metaChecksum(name, value))
}
