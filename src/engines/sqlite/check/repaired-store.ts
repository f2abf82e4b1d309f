import { Database } from 'bun:sqlite'
import { rmSync } from 'node:fs'
import type { RemovalCause } from '../../../core/member.ts'
import { expiryWriter } from '../table/expiry-row.ts'
import { memberParams, putMemberSql } from '../table/member-row.ts'
import {
  collectionChecksum,
  crcOfText,
  feedBlockChecksum,
  feedChecksum,
  tombstoneChecksum,
} from '../table/row-checksum.ts'
import {
  blockRevisions,
  createSchema,
  isLarge,
  pieceBytes,
  piecesPerValue,
  writeMeta,
} from '../table/schema.ts'
import type { Counts, RevisionRange } from '../table/table.ts'
import { pieceWriter } from '../table/value-pieces.ts'
import { syncPath } from '../wal/log-files.ts'
import {
  type Chunk,
  recordClock,
  recordCollection,
  recordExpiresAtMs,
  recordKey,
  recordKind,
  recordMember,
  recordNode,
  recordRevision,
  recordTombstone,
} from '../wal/record.ts'
import type { LostMember } from './repair-report.ts'
import type { SalvagedTable, Trust } from './salvage-tables.ts'
import type { StoredRow } from './stored-row.ts'
import { expiryAt, feedAt, memberAt, pieceAt, tombstoneAt } from './stored-tables.ts'

/**
 * Builds the `kvist.db` of a repaired folder from salvaged rows and records. Members, tombstones and large values are taken; what
 * follows from them is made anew. The source's feed names the latest revision of each member: it confirms rows of doubtful
 * origin, and shows what is lost. It and unconfirmed rows wait in a file of their own, so that memory is bounded.
 */
export class RepairedStore {
  private readonly db: Database
  private readonly workPath: string
  private readonly insert
  private readonly hasOtherExpiry
  /** Whether `work.expiries` has all expiries of the source, so that a version with another one was renewed since. */
  private areExpiriesKnown = false

  constructor(path: string) {
    this.workPath = `${path}-work`
    rmSync(this.workPath, { force: true })
    this.db = new Database(path, { create: true, readwrite: true })
    const { db } = this
    db.run('PRAGMA page_size = 8192')
    // The file counts only once it is complete and synced.
    db.run('PRAGMA journal_mode = OFF')
    db.run('PRAGMA synchronous = OFF')
    db.run('PRAGMA cache_size = -16000')
    createSchema(db)
    db.run(`ATTACH '${this.workPath.replaceAll("'", "''")}' AS work`)
    db.run('PRAGMA work.journal_mode = OFF')
    db.run('PRAGMA work.synchronous = OFF')
    db.run(workSchema)
    const members = '?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?'
    this.insert = {
      member: db.query(`INSERT OR IGNORE INTO members VALUES (${members})`),
      tombstone: db.query('INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?)'),
      piece: db.query('INSERT OR IGNORE INTO value_pieces VALUES (?, ?, ?)'),
      expiry: db.query('INSERT OR REPLACE INTO work.expiries VALUES (?, ?, ?)'),
      named: db.query('INSERT OR IGNORE INTO work.named VALUES (?, ?, ?, ?, ?)'),
      possibleMember: db.query(`INSERT INTO work.members VALUES (${members})`),
      possibleTombstone: db.query('INSERT INTO work.tombstones VALUES (?, ?, ?, ?, ?, ?, ?)'),
    }
    this.hasOtherExpiry = db.query(`SELECT 1 WHERE
      (SELECT expires_at FROM work.expiries WHERE collection = ? AND key = ?) IS NOT ?`)
    db.run('BEGIN')
  }

  /** Adds a row of the source. Rows of `collections` and `meta` are the caller's. */
  addRow(name: SalvagedTable, row: StoredRow, trust: Trust): void {
    const isCertain = trust === 'certain'
    const { insert } = this
    if (name === 'members') {
      const values = columnsOf(row, memberAt.checksum)
      if (isCertain) insert.member.run(...values)
      else insert.possibleMember.run(...values)
    } else if (name === 'tombstones') {
      const values = columnsOf(row, tombstoneAt.checksum)
      if (isCertain) insert.tombstone.run(...values)
      else insert.possibleTombstone.run(...values)
    } else if (name === 'value_pieces')
      // A piece has the revision of its value in its checksum, and no other value ever had that.
      insert.piece.run(row.rowId, row.number(pieceAt.checksum), row.bytesOf(pieceAt.bytes))
    else if (name === 'expiries') {
      if (isCertain)
        insert.expiry.run(
          row.text(expiryAt.collection),
          row.text(expiryAt.key),
          row.number(expiryAt.expiresAt),
        )
    } else if (name === 'feed')
      insert.named.run(
        row.rowId,
        row.text(feedAt.collection),
        row.text(feedAt.key),
        row.textOrNull(feedAt.cause),
        isCertain ? 1 : 0,
      )
  }

  /**
   * Decides on the rows of doubtful origin: one that the feed names is taken. Others are dropped if the feed is whole; otherwise the
   * newest of a member is taken if nothing else is known of it, and `report` is called.
   */
  takePossible(
    { isFeedWhole, areExpiriesWhole }: { isFeedWhole: boolean; areExpiriesWhole: boolean },
    report: (member: LostMember) => void,
  ): void {
    const { db } = this
    this.areExpiriesKnown = areExpiriesWhole
    const isNamed = db.query(`SELECT 1 FROM work.named
      WHERE revision = ?1 AND collection = ?2 AND key = ?3 AND cause IS ?4 AND is_certain = 1`)
    const isKnown = db.query(`SELECT 1 FROM members WHERE collection = ?1 AND key = ?2
      UNION ALL SELECT 1 FROM tombstones WHERE collection = ?1 AND key = ?2
      UNION ALL SELECT 1 FROM work.named WHERE revision = ?3 AND is_certain = 1
      UNION ALL SELECT 1 FROM work.taken WHERE revision = ?3`)
    const take = db.query('INSERT INTO work.taken VALUES (?)')
    for (const { table, cause, expiry, insert } of [
      { table: 'members', cause: 'NULL', expiry: 'expires_at', insert: this.insert.member },
      { table: 'tombstones', cause: 'cause', expiry: 'NULL', insert: this.insert.tombstone },
    ]) {
      const rows = db.query(`SELECT *, revision AS r, ${cause} AS c, ${expiry} AS e FROM work.${table}
        ORDER BY revision DESC, clock DESC`)
      for (const values of rows.iterate() as IterableIterator<Record<string, never>>) {
        const { r: revision, c, e: expiresAtMs, ...columns } = values
        const { collection, key } = columns as unknown as { collection: string; key: string }
        const row = Object.values(columns)
        if (c === null && !this.isLastExpiry(collection, key, expiresAtMs ?? null)) continue
        if (isNamed.get(revision!, collection, key, c ?? null) !== null) {
          insert.run(...row)
          continue
        }
        // An unconfirmed token or setting could be one that a client made up within a value.
        if (isFeedWhole || collection.startsWith('_')) continue
        if (isKnown.get(collection, key, revision!) !== null) continue
        take.run(revision!)
        insert.run(...row)
        report({
          collection,
          key,
          revision: Number(revision),
          what: 'it may be older than the last, or deleted',
        })
      }
    }
  }

  /** A renewal leaves the revision and changes the expiry. */
  private isLastExpiry(collection: string, key: string, expiresAtMs: number | null): boolean {
    return !this.areExpiriesKnown || this.hasOtherExpiry.get(collection, key, expiresAtMs) === null
  }

  /** Removes members of whose large values pieces are missing. */
  dropIncomplete(report: (member: LostMember) => void): void {
    const rows = this.db.query(`SELECT collection, key, revision, large_bytes AS bytes FROM members
      WHERE large_bytes IS NOT NULL`)
    const pieces = this.db.query(`SELECT count(*), total(length(bytes)) FROM value_pieces
      WHERE id BETWEEN ?1 * ${piecesPerValue} AND ?1 * ${piecesPerValue} + ${piecesPerValue - 1}`)
    const incomplete: LostMember[] = []
    for (const row of rows.iterate() as IterableIterator<LostMember & { bytes: number }>) {
      const [count, bytes] = pieces.values(row.revision)[0] as [number, number]
      if (count === Math.ceil(row.bytes / pieceBytes) && bytes === row.bytes) continue
      const { collection, key, revision } = row
      incomplete.push({ collection, key, revision, what: 'a part of its value cannot be read' })
    }
    const remove = this.db.query('DELETE FROM members WHERE collection = ? AND key = ?')
    const miss = this.db.query('INSERT OR IGNORE INTO work.missing VALUES (?, ?, ?, NULL)')
    for (const member of incomplete) {
      remove.run(member.collection, member.key)
      miss.run(member.revision, member.collection, member.key)
      report(member)
    }
  }

  /** Notes what the feed names and was not found, so that `fillFrom` can find it and `lost` list it. */
  noteMissing(): void {
    this.db.run(`INSERT OR IGNORE INTO work.missing SELECT revision, collection, key, cause FROM work.named n
      WHERE is_certain = 1
        AND NOT EXISTS (SELECT 1 FROM members m WHERE m.collection = n.collection AND m.key = n.key AND m.revision >= n.revision)
        AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.collection = n.collection AND t.key = n.key AND t.revision >= n.revision)`)
  }

  /** Of those, how many are still missing. */
  get stillMissing(): number {
    let count = 0
    for (const _ of this.lost()) count++
    return count
  }

  get missing(): number {
    return Number(this.db.query('SELECT count(*) FROM work.missing').values()[0]?.[0])
  }

  /**
   * Takes a record of the log if it is the revision that the feed names and the tables lack; returns whether it is. Of several, as
   * renewals leave them, the last one is taken.
   */
  fillFrom(chunk: Chunk, at: number): boolean {
    const kind = recordKind(chunk, at)
    const [collection, key, revision] = [
      recordCollection(chunk, at),
      recordKey(chunk, at),
      recordRevision(chunk, at),
    ]
    const isMissing = this.db
      .query('SELECT 1 FROM work.missing WHERE revision = ? AND collection = ? AND key = ? AND cause IS ?')
      .get(revision, collection, key, kind === 'put' ? null : kind)
    if (isMissing === null) return false
    if (kind === 'put' && !this.isLastExpiry(collection, key, recordExpiresAtMs(chunk, at))) return false
    const newer = this.db
      .query('SELECT 1 FROM members WHERE collection = ? AND key = ? AND clock >= ?')
      .get(collection, key, recordClock(chunk, at))
    if (newer === null) this.applyRecord(chunk, at)
    return true
  }

  /** Makes a record the state of its member. Call it in the order of revisions. */
  applyRecord(chunk: Chunk, at: number): void {
    const { db } = this
    const collection = recordCollection(chunk, at)
    const key = recordKey(chunk, at)
    db.query('DELETE FROM members WHERE collection = ? AND key = ?').run(collection, key)
    db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?').run(collection, key)
    if (recordKind(chunk, at) !== 'put') {
      const { revision, cause, removedClock } = recordTombstone(chunk, at, key)
      this.putTombstone(collection, key, recordNode(chunk, at) || null, revision, cause, removedClock)
      return
    }
    const member = recordMember(chunk, at, key)
    const value = typeof member.value === 'string' ? Buffer.from(member.value) : member.value
    const isOut = isLarge(Buffer.byteLength(collection), Buffer.byteLength(key) + value.length)
    db.query(putMemberSql).run(...memberParams(collection, member, isOut ? value.length : null))
    if (!isOut) return
    const pieces = pieceWriter(db)
    pieces.remove(member.revision)
    pieces.put(member.revision, value)
  }

  private putTombstone(
    collection: string,
    key: string,
    node: string | null,
    revision: number,
    cause: RemovalCause,
    clock: number,
  ): void {
    const texts = crcOfText(node ?? '', crcOfText(key, crcOfText(collection)))
    const [collectionBytes, keyBytes] = [Buffer.byteLength(collection), Buffer.byteLength(key)]
    const checksum = tombstoneChecksum(texts, collectionBytes, keyBytes, revision, cause, clock)
    this.insert.tombstone.run(collection, key, node, revision, cause, clock, checksum)
  }

  /** What the feed names, was not found, and was not written again since: members, and tombstones. */
  *lost(): Generator<LostMember & { readonly cause: RemovalCause | null }> {
    const rows = this.db.query(`SELECT revision, collection, key, cause FROM work.missing l
      WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.collection = l.collection AND m.key = l.key AND m.revision >= l.revision)
        AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.collection = l.collection AND t.key = l.key AND t.revision >= l.revision)
      ORDER BY collection, key`)
    for (const row of rows.iterate() as IterableIterator<LostMember & { cause: RemovalCause | null }>)
      yield { ...row, what: 'it cannot be read' }
  }

  /** The members of each collection that there are now, and those that are named as missing. */
  counts(): Map<string, number> {
    const rows = this.db.query(`SELECT name, sum(n) FROM (
        SELECT collection AS name, count(*) AS n FROM members GROUP BY 1
        UNION ALL SELECT collection, count(*) FROM work.missing l WHERE cause IS NULL AND NOT EXISTS (
          SELECT 1 FROM members m WHERE m.collection = l.collection AND m.key = l.key) GROUP BY 1) GROUP BY 1`)
    return new Map(rows.values() as [string, number][])
  }

  /** The highest revision and clock of the rows; 0 for none. */
  newest(): { readonly revision: number; readonly clock: number } {
    const [row] = this.db
      .query(`SELECT max(r), max(c) FROM (SELECT max(revision) AS r, max(clock) AS c FROM members
        UNION ALL SELECT max(revision), max(clock) FROM tombstones UNION ALL SELECT max(revision), 0 FROM work.named)`)
      .values() as [number | null, number | null][]
    return { revision: row?.[0] ?? 0, clock: row?.[1] ?? 0 }
  }

  /** Makes what follows from members and tombstones, writes `meta`, and closes the file, synced. Returns what it holds. */
  finish(meta: RepairedMeta): { readonly members: number; readonly tombstones: number } {
    const { db } = this
    // Indexes are built anew by the next start: members may be missing, or older than their entries.
    db.run("DELETE FROM members WHERE collection = '_indexes' OR collection GLOB '_index-*'")
    db.run(`DELETE FROM value_pieces WHERE id / ${piecesPerValue} NOT IN (SELECT revision FROM members
      WHERE large_bytes IS NOT NULL)`)
    this.makeFeed()
    this.makeExpiries()
    this.makeCounts()
    for (const [name, value] of Object.entries(meta)) if (value !== null) writeMeta(db, name, value)
    db.run('COMMIT')
    const count = (table: string) => Number(db.query(`SELECT count(*) FROM ${table}`).values()[0]?.[0])
    const held = { members: count('members'), tombstones: count('tombstones') }
    this.close()
    syncPath(db.filename)
    return held
  }

  close(): void {
    this.db.close()
    rmSync(this.workPath, { force: true })
  }

  private makeFeed(): void {
    const { db } = this
    const rows = db.query(`SELECT revision, collection, key, NULL FROM members
      UNION ALL SELECT revision, collection, key, cause FROM tombstones ORDER BY 1`)
    const insert = db.query('INSERT INTO feed VALUES (?, ?, ?, ?, ?)')
    const putBlock = db.query('INSERT INTO feed_blocks VALUES (?, ?, ?, ?)')
    let block = 0
    let changes = new Map<string, number>()
    const endBlock = () => {
      for (const [name, count] of changes)
        putBlock.run(name, block, count, feedBlockChecksum(name, block, count))
      changes = new Map()
    }
    for (const [revision, collection, key, cause] of valuesOf<[number, string, string, string | null]>(
      rows,
    )) {
      const own = Math.floor(revision / blockRevisions)
      if (own !== block) endBlock()
      block = own
      const crc = crcOfText(key, crcOfText(collection))
      insert.run(
        revision,
        collection,
        key,
        cause,
        feedChecksum(crc, Buffer.byteLength(collection), revision, cause),
      )
      changes.set(collection, (changes.get(collection) ?? 0) + 1)
    }
    endBlock()
  }

  private makeExpiries(): void {
    const rows = this.db.query(`SELECT expires_at, collection, key FROM members WHERE expires_at IS NOT NULL
      ORDER BY 1, 2, 3`)
    const insert = expiryWriter(this.db)
    for (const row of valuesOf<[number, string, string]>(rows)) insert(...row)
  }

  private makeCounts(): void {
    const rows = this.db.query(`SELECT collection, count(*) AS members,
      sum(octet_length(key) + coalesce(large_bytes, octet_length(value))) AS bytes FROM members GROUP BY 1`)
    const insert = this.db.query('INSERT INTO collections VALUES (?, ?, ?, ?)')
    for (const { collection, members, bytes } of rows.all() as (Counts & { collection: string })[])
      insert.run(collection, members, bytes, collectionChecksum(collection, members, bytes))
  }
}

/** The rows of `meta` to write; null leaves what a new file has. */
export interface RepairedMeta {
  readonly node_id: string | null
  readonly flushed_revision: number
  readonly clock: number
  readonly forgotten_revision: number
  readonly forgotten_clock: number | null
  readonly lost_revisions: string | null
}

export function rangesText(ranges: readonly RevisionRange[]): string | null {
  return ranges.length === 0 ? null : JSON.stringify(ranges)
}

const workSchema = `
  CREATE TABLE work.named (revision INTEGER PRIMARY KEY, collection TEXT, key TEXT, cause TEXT, is_certain INTEGER);
  CREATE TABLE work.missing (revision INTEGER PRIMARY KEY, collection TEXT, key TEXT, cause TEXT);
  CREATE TABLE work.expiries (collection TEXT, key TEXT, expires_at INTEGER, PRIMARY KEY (collection, key)) WITHOUT ROWID;
  CREATE TABLE work.taken (revision INTEGER PRIMARY KEY);
  CREATE TABLE work.members (collection, key, content_type, node, value, revision, created_at, clock, expires_at,
    flags, large_bytes, checksum);
  CREATE TABLE work.tombstones (collection, key, node, revision, cause, clock, checksum);
`

function columnsOf(row: StoredRow, last: number) {
  return Array.from({ length: last + 1 }, (_, column) => row.value(column))
}

function* valuesOf<Row>(query: ReturnType<Database['query']>): Generator<Row> {
  for (const row of query.iterate() as IterableIterator<object>) yield Object.values(row) as Row
}
