import type { Database } from 'bun:sqlite'
import { jsonContentType, type RemovalCause, type Value } from '../../../core/member.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import { expiryWriter } from './expiry-row.ts'
import { memberParams, putMemberSql } from './member-row.ts'
import {
  collectionChecksum,
  crcOfText,
  feedBlockChecksum,
  feedChecksum,
  tombstoneChecksum,
} from './row-checksum.ts'
import { isLarge, neededVersion, schema, tableFormat, writeMeta } from './schema.ts'
import { pieceWriter } from './value-pieces.ts'

/**
 * Upgrades files of format 2, which has no checksums, and large values in `members` itself. One transaction renames the
 * old tables, creates the new ones and sets the new format, so that no older kvist opens the file any more. Then the rows
 * move to the new tables in transactions of a bounded size. Whenever that is interrupted, by kill -9 or a full disk, every
 * row is in exactly one of the two tables, and the next start continues.
 */

const oldFormat = 2
const usualBatchRows = 10_000
const batchBytes = 8 * 1024 * 1024
const reportEveryMs = 10_000

export function isUpgradable(format: number): boolean {
  return format === oldFormat
}

/** Upgrades the file if need be. `report` receives lines for the operator. Tests pass a smaller `batchRows`. */
export function upgradeTables(
  db: Database,
  report: (line: string) => void,
  batchRows = usualBatchRows,
): void {
  const isOld = numberOf(db, 'PRAGMA user_version') === oldFormat
  if (!isOld && leftToMove(db).length === 0) return
  const rows = numberOf(db, `SELECT total(members) FROM collections${isOld ? '' : oldSuffix}`)
  report(
    `${db.filename} has format ${oldFormat}: upgrading it to ${tableFormat}, about ${rows} members to go`,
  )
  const startedMs = monotonicMs()
  if (isOld) renameOldTables(db)
  let reportedMs = startedMs
  let movedRows = 0
  for (const table of leftToMove(db)) {
    for (let moved = 1; moved > 0; ) {
      moved = inTransaction(db, () => moves[table](db, batchRows))
      movedRows += moved
      db.run('PRAGMA wal_checkpoint(TRUNCATE)')
      if (monotonicMs() - reportedMs < reportEveryMs) continue
      reportedMs = monotonicMs()
      report(`upgrading ${db.filename}: ${movedRows} rows are moved`)
    }
    inTransaction(db, () => db.run(`DROP TABLE ${table}${oldSuffix}`))
  }
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  report(`${db.filename} has format ${tableFormat} now, after ${Math.round(monotonicMs() - startedMs)} ms`)
}

function numberOf(db: Database, sql: string): number {
  return Number(db.query(sql).values()[0]?.[0])
}

function inTransaction<T>(db: Database, work: () => T): T {
  return db.transaction(work).immediate()
}

const oldSuffix = `_${oldFormat}`

/** For each table a function that moves a batch of rows and returns how many. The counts of collections move last. */
const moves = {
  members: moveMembers,
  tombstones: moveTombstones,
  expiries: moveExpiries,
  feed: moveFeed,
  feed_blocks: moveFeedBlocks,
  collections: moveCollections,
} as const
type MovedTable = keyof typeof moves

/** The old tables that are still there. */
function leftToMove(db: Database): MovedTable[] {
  const names = new Set(db.query("SELECT name FROM sqlite_schema WHERE type = 'table'").values().flat())
  return (Object.keys(moves) as MovedTable[]).filter((table) => names.has(`${table}${oldSuffix}`))
}

/** Renames the old tables, creates the new ones, and sets the new format, in one transaction. */
function renameOldTables(db: Database): void {
  inTransaction(db, () => {
    const meta = db.query('SELECT name, value FROM meta').values() as [string, string | number][]
    db.run('DROP TABLE meta')
    db.run('DROP INDEX feed_endings')
    for (const table of Object.keys(moves)) db.run(`ALTER TABLE ${table} RENAME TO ${table}${oldSuffix}`)
    db.run(schema)
    for (const [name, value] of meta)
      writeMeta(db, name === 'applied_revision' ? 'flushed_revision' : name, value)
    writeMeta(db, 'needs_kvist', neededVersion)
    db.run(`PRAGMA user_version = ${tableFormat}`)
  })
}

interface OldMember {
  readonly collection: string
  readonly key: string
  readonly value: Value
  readonly revision: number
  readonly createdAtMs: number
  readonly clock: number
  readonly expiresAtMs: number | null
  readonly contentType: string
  readonly flags: number
  readonly node: string
}

function moveMembers(db: Database, batchRows: number): number {
  const rows = db.query<OldMember, []>(`
    SELECT collection, key, value, revision, created_at AS createdAtMs, clock, expires_at AS expiresAtMs,
      coalesce(content_type, '${jsonContentType}') AS contentType, flags, coalesce(node, '') AS node
    FROM members${oldSuffix} ORDER BY collection, key LIMIT ${batchRows}`)
  const put = db.query(putMemberSql)
  const pieces = pieceWriter(db)
  let moved = 0
  let bytes = 0
  let last: OldMember | undefined
  for (const row of rows.iterate()) {
    const { collection, key, value } = row
    const valueBytes = typeof value === 'string' ? Buffer.byteLength(value) : value.length
    const isOut = isLarge(Buffer.byteLength(collection), Buffer.byteLength(key) + valueBytes)
    put.run(...memberParams(collection, row, isOut ? valueBytes : null))
    if (isOut) pieces.put(row.revision, typeof value === 'string' ? Buffer.from(value) : value)
    last = row
    moved++
    bytes += valueBytes
    if (bytes >= batchBytes) break
  }
  if (last === undefined) return 0
  db.query(`DELETE FROM members${oldSuffix} WHERE (collection, key) <= (?, ?)`).run(last.collection, last.key)
  return moved
}

function moveTombstones(db: Database, batchRows: number): number {
  type Row = [string, string, number, RemovalCause, number, string | null]
  const rows = db.query(`SELECT collection, key, revision, ending, clock, node FROM tombstones${oldSuffix}
    ORDER BY collection, key LIMIT ${batchRows}`)
  const insert = db.query('INSERT INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?)')
  const moved = rows.values() as Row[]
  for (const [collection, key, revision, cause, clock, node] of moved) {
    const texts = crcOfText(node ?? '', crcOfText(key, crcOfText(collection)))
    const [collectionBytes, keyBytes] = [Buffer.byteLength(collection), Buffer.byteLength(key)]
    const checksum = tombstoneChecksum(texts, collectionBytes, keyBytes, revision, cause, clock)
    insert.run(collection, key, node, revision, cause, clock, checksum)
  }
  const last = moved.at(-1)
  if (last !== undefined)
    db.query(`DELETE FROM tombstones${oldSuffix} WHERE (collection, key) <= (?, ?)`).run(last[0], last[1])
  return moved.length
}

function moveExpiries(db: Database, batchRows: number): number {
  const rows = db.query(`SELECT expires_at, collection, key FROM expiries${oldSuffix}
    ORDER BY expires_at, collection, key LIMIT ${batchRows}`)
  const insert = expiryWriter(db)
  const moved = rows.values() as [number, string, string][]
  for (const row of moved) insert(...row)
  const last = moved.at(-1)
  if (last !== undefined)
    db.query(`DELETE FROM expiries${oldSuffix} WHERE (expires_at, collection, key) <= (?, ?, ?)`).run(...last)
  return moved.length
}

function moveFeed(db: Database, batchRows: number): number {
  const rows = db.query(`SELECT revision, collection, key, ending FROM feed${oldSuffix}
    ORDER BY revision LIMIT ${batchRows}`)
  const insert = db.query('INSERT INTO feed VALUES (?, ?, ?, ?, ?)')
  const moved = rows.values() as [number, string, string, RemovalCause | null][]
  for (const [revision, collection, key, cause] of moved) {
    const texts = crcOfText(key, crcOfText(collection))
    insert.run(
      revision,
      collection,
      key,
      cause,
      feedChecksum(texts, Buffer.byteLength(collection), revision, cause),
    )
  }
  const last = moved.at(-1)
  if (last !== undefined) db.query(`DELETE FROM feed${oldSuffix} WHERE revision <= ?`).run(last[0])
  return moved.length
}

function moveFeedBlocks(db: Database, batchRows: number): number {
  const rows = db.query(`SELECT collection, block, changes FROM feed_blocks${oldSuffix}
    ORDER BY collection, block LIMIT ${batchRows}`)
  const insert = db.query('INSERT INTO feed_blocks VALUES (?, ?, ?, ?)')
  const moved = rows.values() as [string, number, number][]
  for (const [collection, block, changes] of moved)
    insert.run(collection, block, changes, feedBlockChecksum(collection, block, changes))
  const last = moved.at(-1)
  if (last !== undefined)
    db.query(`DELETE FROM feed_blocks${oldSuffix} WHERE (collection, block) <= (?, ?)`).run(last[0], last[1])
  return moved.length
}

function moveCollections(db: Database, batchRows: number): number {
  const rows = db.query(
    `SELECT name, members, bytes FROM collections${oldSuffix} ORDER BY name LIMIT ${batchRows}`,
  )
  const insert = db.query('INSERT INTO collections VALUES (?, ?, ?, ?)')
  const moved = rows.values() as [string, number, number][]
  for (const [name, members, bytes] of moved)
    insert.run(name, members, bytes, collectionChecksum(name, members, bytes))
  const last = moved.at(-1)
  if (last !== undefined) db.query(`DELETE FROM collections${oldSuffix} WHERE name <= ?`).run(last[0])
  return moved.length
}
