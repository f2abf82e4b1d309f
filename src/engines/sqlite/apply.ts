import type { Database } from 'bun:sqlite'
import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import { stampToMs } from '../../core/clock.ts'
import { jsonContentType } from '../../core/member.ts'
import { enterFeed, type FeedEdits, feedEdits, leaveFeed, writeFeed } from './feed-edits.ts'
import { inKeyOrder, type KeyOrder, type Records } from './key-order.ts'
import { readSegment } from './log.ts'
import { countRecord } from './memtable.ts'
import {
  type Chunk,
  chunkOf,
  recordClock,
  recordCollection,
  recordExpiresAtMs,
  recordKey,
  recordKind,
  recordMember,
  recordPlace,
  recordReplacedExpiresAtMs,
  recordReplacedRevision,
  recordRevision,
  recordTombstone,
} from './record.ts'
import { type Counts, type Meta, readMeta, waitForLocks } from './table.ts'

/** A part of the log that the tables do not have yet. */
export interface ApplySource {
  readonly number: number
  readonly path: string
  /** The segment as it is in its file; both threads see it. */
  readonly memory: ArrayBufferLike
  /** The last revision of the segment that counts: what a failed write left behind is passed over. */
  readonly lastRevision: number
}

/**
 * Brings the tables up to the end of the given segments in one transaction, each member once, in key order: rows
 * that share a page are written together. The applied revision is part of the transaction, so doing it again after
 * a crash does no harm. Returns the revision that the tables now have.
 */
export function applySegments(db: Database, sources: readonly ApplySource[]): number {
  const meta = readMeta(db)
  const job = readJob(sources, meta)
  inTransaction(db, () => {
    const feed = feedEdits(meta.appliedRevision, job.revision)
    const expiries: ExpiryEdits = { gone: [], come: [] }
    for (const [collection, own] of job.collections) {
      writeCollection(db, collection, job.records, inKeyOrder(job.records, own), feed, expiries)
    }
    writeFeed(db, feed, job.records.chunks)
    writeExpiries(db, expiries)
    writeCounts(db, job.counts)
    const update = db.query('UPDATE meta SET value = ? WHERE name = ?')
    update.run(job.revision, 'applied_revision')
    update.run(job.clock, 'clock')
  })
  return job.revision
}

/** What the segments say that the tables do not have. */
interface ApplyJob {
  readonly records: Records
  /** Indexes of the records of each collection. */
  readonly collections: Map<string, number[]>
  /** What changes in the counts of the collections. */
  readonly counts: Map<string, Counts>
  readonly revision: number
  readonly clock: number
}

function readJob(sources: readonly ApplySource[], meta: Meta): ApplyJob {
  const segments = sources.map((source) => {
    const segment = readSegment(source, chunkOf(Buffer.from(source.memory)), meta.storeId)
    if (segment === null) throw new Error(`${source.path} was never begun`)
    return segment
  })
  const chunks = segments.map(({ chunk }) => chunk)
  const most = segments.reduce((sum, { records }) => sum + records.length, 0)
  const records = { chunks, chunkOf: new Uint8Array(most), offsetOf: new Uint32Array(most) }
  const collections = new Map<string, number[]>()
  const counts = new Map<string, Counts>()
  let { appliedRevision: revision, clock } = meta
  let count = 0
  for (const [i, { chunk, records: offsets }] of segments.entries()) {
    const { path, lastRevision } = sources[i]!
    for (const at of offsets) {
      const place = recordPlace(chunk, at)
      if (place <= revision || place > lastRevision) continue
      const collection = recordCollection(chunk, at)
      const own = collections.get(collection)
      if (own === undefined) collections.set(collection, [count])
      else own.push(count)
      records.chunkOf[count] = i
      records.offsetOf[count++] = at
      countRecord(counts, collection, chunk, at)
      revision = place
      clock = Math.max(clock, recordClock(chunk, at))
    }
    if (revision < lastRevision) throw new Error(`${path} ends before revision ${lastRevision}`)
  }
  return { records, collections, counts, revision, clock }
}

function inTransaction(db: Database, work: () => void): void {
  db.run('BEGIN IMMEDIATE')
  try {
    work()
    db.run('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.run('ROLLBACK')
    throw error
  }
}

/**
 * Forgets tombstones of before a time, in the order of their revisions, as far as the first that is younger and at
 * most `limit`; says how many. Up to which revision some are missing is part of the transaction.
 */
export function forgetTombstones(db: Database, beforeMs: number, limit: number): number {
  const oldest = db.query<OldTombstone, [number]>(`
    SELECT f.revision, f.collection, f.key, t.clock FROM feed f JOIN tombstones t USING (collection, key)
    WHERE f.ending IS NOT NULL ORDER BY f.revision LIMIT ?`)
  const rows = oldest.all(limit)
  const young = rows.findIndex(({ clock }) => stampToMs(clock) >= beforeMs)
  const old = young < 0 ? rows : rows.slice(0, young)
  const last = old.at(-1)
  if (last === undefined) return 0
  inTransaction(db, () => {
    const unbury = db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?')
    const feed = feedEdits(0, 0)
    for (const { collection, key, revision } of old) {
      unbury.run(collection, key)
      leaveFeed(feed, collection, revision)
    }
    writeFeed(db, feed, [])
    db.query("UPDATE meta SET value = ? WHERE name = 'forgotten_revision'").run(last.revision)
  })
  return old.length
}

interface OldTombstone {
  readonly revision: number
  readonly collection: string
  readonly key: string
  readonly clock: number
}

/** A reader is in the way for a turn of the event loop; who is for longer is none of ours. */
export const checkpointWaitMs = 500

/** Moves what the write-ahead log of the tables holds into the file. Passes over it while somebody is in the way. */
export function checkpoint(db: Database): void {
  waitForLocks(db, checkpointWaitMs)
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  waitForLocks(db)
}

/**
 * After so many rows what is left of their strings is let go of: otherwise the heap grows by a hundred megabytes in the
 * course of a job.
 */
const rowsPerTidying = 32_768

/**
 * What SQLite has written to its log by now goes to the disk now. Left to the commit, all of it would go at once, and
 * writers whose own log wants to be synced would wait behind it.
 */
function syncWritten(path: string): void {
  const fd = openSync(`${path}-wal`, 'r')
  try {
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes the latest record of each key; the records come in the order of keys. */
function writeCollection(
  db: Database,
  collection: string,
  records: Records,
  { order, isFollowed }: KeyOrder,
  feed: FeedEdits,
  expiries: ExpiryEdits,
): void {
  const { chunks, chunkOf, offsetOf } = records
  const write = memberWriter(db, collection)
  let first = 0
  for (let i = 0; i < order.length; i++) {
    if (isFollowed[i] === 1) continue
    // What the tables have is what the first of the records took the place of.
    const [firstChunk, firstAt] = [chunks[chunkOf[order[first]!]!]!, offsetOf[order[first]!]!]
    const [chunk, at] = [chunks[chunkOf[order[i]!]!]!, offsetOf[order[i]!]!]
    first = i + 1
    if (i % rowsPerTidying === rowsPerTidying - 1) {
      Bun.gc(true)
      syncWritten(db.filename)
    }
    const key = recordKey(chunk, at)
    const replaced = recordReplacedRevision(firstChunk, firstAt)
    const buried = write(key, chunk, at)
    const gone = replaced === 0 ? buried : replaced
    const revision = recordRevision(chunk, at)
    if (gone !== revision) {
      if (gone > 0) leaveFeed(feed, collection, gone)
      enterFeed(feed, revision, chunkOf[order[i]!]!, at)
    }
    const expired = replaced === 0 ? null : recordReplacedExpiresAtMs(firstChunk, firstAt)
    editExpiry(expiries, collection, key, expired, recordExpiresAtMs(chunk, at))
  }
}

/** Writes a record's member or tombstone. Returns the revision of the tombstone that was there, 0 for none. */
function memberWriter(db: Database, collection: string): (key: string, chunk: Chunk, at: number) => number {
  const put = db.query('INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const remove = db.query('DELETE FROM members WHERE collection = ? AND key = ?')
  const bury = db.query('INSERT INTO tombstones VALUES (?, ?, ?, ?, ?, ?)')
  const unbury = db.query<{ revision: number }, [string, string]>(
    'DELETE FROM tombstones WHERE collection = ? AND key = ? RETURNING revision',
  )
  const hasTombstones =
    db.query('SELECT 1 FROM tombstones WHERE collection = ? LIMIT 1').values(collection).length > 0
  return (key, chunk, at) => {
    const buried = hasTombstones ? (unbury.get(collection, key)?.revision ?? 0) : 0
    if (recordKind(chunk, at) === 'put') {
      const m = recordMember(chunk, at, key)
      const contentType = m.contentType === jsonContentType ? null : m.contentType
      // biome-ignore format: the columns in one line
      put.run(collection, key, m.value, m.revision, m.createdAtMs, m.clock, m.expiresAtMs, contentType, m.flags, m.node || null)
    } else {
      const t = recordTombstone(chunk, at, key)
      remove.run(collection, key)
      bury.run(collection, key, t.revision, t.cause, t.clock, t.node || null)
    }
    return buried
  }
}

interface Expiry {
  readonly collection: string
  readonly key: string
  readonly expiresAtMs: number
}

/** What comes into the table of expiries, and what goes. */
interface ExpiryEdits {
  readonly gone: Expiry[]
  readonly come: Expiry[]
}

function editExpiry(
  { gone, come }: ExpiryEdits,
  collection: string,
  key: string,
  before: number | null,
  after: number | null,
): void {
  if (before === after) return
  if (before !== null) gone.push({ collection, key, expiresAtMs: before })
  if (after !== null) come.push({ collection, key, expiresAtMs: after })
}

function writeExpiries(db: Database, { gone, come }: ExpiryEdits): void {
  const remove = db.query('DELETE FROM expiries WHERE expires_at = ? AND collection = ? AND key = ?')
  const insert = db.query('INSERT INTO expiries VALUES (?, ?, ?)')
  // Keys of one time stand in their order already.
  for (const { collection, key, expiresAtMs } of gone.sort(byTime)) remove.run(expiresAtMs, collection, key)
  for (const { collection, key, expiresAtMs } of come.sort(byTime)) insert.run(expiresAtMs, collection, key)
}

function byTime(a: Expiry, b: Expiry): number {
  return a.expiresAtMs - b.expiresAtMs
}

function writeCounts(db: Database, deltas: Map<string, Counts>): void {
  const add = db.query(`
    INSERT INTO collections VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET members = members + ?2, bytes = bytes + ?3`)
  for (const [name, { members, bytes }] of deltas) add.run(name, members, bytes)
  db.run('DELETE FROM collections WHERE members = 0')
}
