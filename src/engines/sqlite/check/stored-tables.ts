import { type KeyFormat, rowIds, rowsBy } from '../btree/page-check.ts'
import {
  collectionChecksum,
  crc32,
  expiryChecksum,
  feedBlockChecksum,
  feedChecksum,
  memberChecksum,
  metaChecksum,
  pieceChecksum,
  tombstoneChecksum,
} from '../table/row-checksum.ts'
import { piecesPerValue } from '../table/schema.ts'
import type { StoredRow } from './stored-row.ts'

/** The tables of `kvist.db` as their rows are stored (table/schema.ts), and how a row's own checksum is verified. */

export interface StoredTable {
  readonly keys: KeyFormat
  readonly hasRowIds: boolean
  readonly columns: number
  /** Whether the row is what was written. */
  verify(row: StoredRow): boolean
  /** What the row is about, for people. Of a damaged row it may be anything. */
  name(row: StoredRow): RowName
}

export interface RowName {
  readonly collection?: string
  readonly key?: string
  readonly revision?: number
}

/** The columns of `members`. */
export const memberAt = {
  collection: 0,
  key: 1,
  contentType: 2,
  node: 3,
  value: 4,
  revision: 5,
  createdAt: 6,
  clock: 7,
  expiresAt: 8,
  flags: 9,
  largeBytes: 10,
  checksum: 11,
} as const
export const tombstoneAt = {
  collection: 0,
  key: 1,
  node: 2,
  revision: 3,
  cause: 4,
  clock: 5,
  checksum: 6,
} as const
/** Of `feed`; the revision is the row id. */
export const feedAt = { collection: 1, key: 2, cause: 3, checksum: 4 } as const
export const expiryAt = { expiresAt: 0, collection: 1, key: 2, checksum: 3 } as const
export const blockAt = { collection: 0, block: 1, changes: 2, checksum: 3 } as const
export const collectionAt = { name: 0, members: 1, bytes: 2, checksum: 3 } as const
export const metaAt = { name: 0, value: 1, checksum: 2 } as const
/** Of `value_pieces`; the id is the row id. */
export const pieceAt = { checksum: 1, bytes: 2 } as const

export const storedTables = {
  meta: {
    keys: rowsBy(1),
    hasRowIds: false,
    columns: 3,
    verify(row) {
      const value = row.value(metaAt.value)
      if (!row.isText(metaAt.name) || (typeof value !== 'string' && typeof value !== 'number')) return false
      return metaChecksum(row.text(metaAt.name), value) === row.number(metaAt.checksum)
    },
    name: () => ({}),
  },
  collections: {
    keys: rowsBy(1),
    hasRowIds: false,
    columns: 4,
    verify: (row) =>
      row.isText(collectionAt.name) &&
      collectionChecksum(
        row.text(collectionAt.name),
        row.number(collectionAt.members),
        row.number(collectionAt.bytes),
      ) === row.number(collectionAt.checksum),
    name: (row) => ({ collection: row.text(collectionAt.name) }),
  },
  members: { keys: rowsBy(2), hasRowIds: false, columns: 12, verify: verifyMember, name: nameOf(0, 1, 5) },
  value_pieces: {
    keys: rowIds,
    hasRowIds: true,
    columns: 3,
    verify(row) {
      if (!row.isBytes(pieceAt.bytes)) return false
      const crc = crc32(row.bytes, row.offset(pieceAt.bytes), row.offset(pieceAt.bytes + 1))
      const { revision, piece } = pieceOf(row.rowId)
      return pieceChecksum(crc, revision, piece) === row.number(pieceAt.checksum)
    },
    name: (row) => ({ revision: pieceOf(row.rowId).revision }),
  },
  expiries: {
    keys: rowsBy(3),
    hasRowIds: false,
    columns: 4,
    verify: (row) =>
      areTexts(row, expiryAt.collection, expiryAt.key) &&
      expiryChecksum(
        namesCrc(row, expiryAt.collection),
        row.length(expiryAt.collection),
        row.number(expiryAt.expiresAt),
      ) === row.number(expiryAt.checksum),
    name: nameOf(1, 2, null),
  },
  tombstones: {
    keys: rowsBy(2),
    hasRowIds: false,
    columns: 7,
    verify: verifyTombstone,
    name: nameOf(0, 1, 3),
  },
  feed: {
    keys: rowIds,
    hasRowIds: true,
    columns: 5,
    verify: (row) =>
      areTexts(row, feedAt.collection, feedAt.key) &&
      feedChecksum(
        namesCrc(row, feedAt.collection),
        row.length(feedAt.collection),
        row.rowId,
        row.textOrNull(feedAt.cause),
      ) === row.number(feedAt.checksum),
    name: (row) => ({ ...nameOf(1, 2, null)(row), revision: row.rowId }),
  },
  feed_blocks: {
    keys: rowsBy(2),
    hasRowIds: false,
    columns: 4,
    verify: (row) =>
      row.isText(blockAt.collection) &&
      feedBlockChecksum(
        row.text(blockAt.collection),
        row.number(blockAt.block),
        row.number(blockAt.changes),
      ) === row.number(blockAt.checksum),
    name: (row) => ({ collection: row.text(blockAt.collection) }),
  },
  /** The index of the feed's tombstones: a revision and the row id, which are the same. */
  feed_tombstones: {
    keys: rowsBy(2),
    hasRowIds: false,
    columns: 2,
    verify: (row) => row.number(0) === row.number(1),
    name: (row) => ({ revision: row.number(0) }),
  },
} as const satisfies Record<string, StoredTable>

export type StoredTableName = keyof typeof storedTables
export const storedTableNames = Object.keys(storedTables) as StoredTableName[]

export function isRowOf(table: StoredTable, row: StoredRow): boolean {
  return row.columns === table.columns && table.verify(row)
}

/** The revision and the number of a piece from its id. */
export function pieceOf(id: number): { readonly revision: number; readonly piece: number } {
  const revision = Math.floor(id / piecesPerValue)
  return { revision, piece: id - revision * piecesPerValue }
}

/** CRC-32 of collection and key, which are adjacent columns. */
export function namesCrc(row: StoredRow, collection: number): number {
  return crc32(row.bytes, row.offset(collection), row.offset(collection + 2))
}

function nameOf(collection: number, key: number, revision: number | null) {
  return (row: StoredRow): RowName => ({
    ...(row.isText(collection) && { collection: row.text(collection) }),
    ...(row.isText(key) && { key: row.text(key) }),
    ...(revision !== null && { revision: row.number(revision) }),
  })
}

function areTexts(row: StoredRow, ...columns: readonly number[]): boolean {
  return columns.every((column) => row.isText(column))
}

function isTextOrNull(row: StoredRow, column: number): boolean {
  return row.isNull(column) || row.isText(column)
}

function verifyMember(row: StoredRow): boolean {
  const { collection, key, contentType, node, value } = memberAt
  if (!areTexts(row, collection, key) || !isTextOrNull(row, contentType) || !isTextOrNull(row, node))
    return false
  const isText = row.isText(value)
  if (!isText && !row.isBytes(value)) return false
  const checksum = memberChecksum(
    crc32(row.bytes, row.offset(collection), row.offset(value + 1)),
    row.length(collection),
    row.length(key),
    row.length(contentType),
    row.length(node),
    isText,
    row.number(memberAt.revision),
    row.number(memberAt.createdAt),
    row.number(memberAt.clock),
    row.numberOrNull(memberAt.expiresAt),
    row.number(memberAt.flags),
    row.numberOrNull(memberAt.largeBytes),
  )
  return checksum === row.number(memberAt.checksum)
}

function verifyTombstone(row: StoredRow): boolean {
  const { collection, key, node, cause } = tombstoneAt
  if (!areTexts(row, collection, key, cause) || !isTextOrNull(row, node)) return false
  const checksum = tombstoneChecksum(
    crc32(row.bytes, row.offset(collection), row.offset(node + 1)),
    row.length(collection),
    row.length(key),
    row.number(tombstoneAt.revision),
    row.text(cause),
    row.number(tombstoneAt.clock),
  )
  return checksum === row.number(tombstoneAt.checksum)
}
