import type { Database } from 'bun:sqlite'
import { closeSync, fdatasyncSync, openSync, statSync } from 'node:fs'
import { stampToMs } from '../../../core/clock.ts'
import { collectGarbage } from '../../../runtime/garbage.ts'
import { countRecord } from '../memtable/memtable.ts'
import { damagedMember, damagedStore } from '../table/damage.ts'
import { collectionChecksum, crcOfText, expiryChecksum } from '../table/row-checksum.ts'
import { writeMeta } from '../table/schema.ts'
import { type Counts, type Meta, readMeta, waitForLocks } from '../table/table.ts'
import { requireSpace } from '../wal/log-files.ts'
import { readSegmentInMemory } from '../wal/log-reader.ts'
import {
  chunkOf,
  recordClock,
  recordCollection,
  recordEnd,
  recordExpiresAtMs,
  recordKey,
  recordPosition,
  recordReplacedExpiresAtMs,
  recordReplacedRevision,
  recordRevision,
} from '../wal/record.ts'
import { enterFeed, type FeedEdits, feedEdits, leaveFeed, writeFeed } from './feed-edits.ts'
import { inKeyOrder, type KeyOrder, type Records } from './key-order.ts'
import { memberWriter } from './member-writer.ts'

/** A part of the log that the tables do not have yet. */
export interface FlushSource {
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
 * a crash does no harm. Returns the revision that the tables now have: the last of the segments, unless there are more
 * than `maxRecords`; then that of the frame in which so many are reached.
 */
export function flushSegments(
  db: Database,
  sources: readonly FlushSource[],
  maxRecords = Number.POSITIVE_INFINITY,
  cacheBytes = 16_000_000,
): number {
  const meta = readMeta(db)
  const job = readJob(sources, meta, maxRecords)
  // What is not written out before the commit is not known to have room.
  const unwrittenBytes = maxRecords === Number.POSITIVE_INFINITY ? 0 : leastCacheBytes
  db.run(`PRAGMA cache_size = -${Math.ceil((unwrittenBytes || cacheBytes) / 1024)}`)
  inTransaction(db, () => {
    const feed = feedEdits(meta.flushedRevision, job.revision)
    const expiries: ExpiryEdits = { gone: [], come: [] }
    for (const [collection, own] of job.collections) {
      writeCollection(db, collection, job.records, inKeyOrder(job.records, own), feed, expiries)
    }
    writeFeed(db, feed, job.records.chunks)
    writeExpiries(db, expiries)
    writeCounts(db, job.counts)
    writeMeta(db, 'flushed_revision', job.revision)
    writeMeta(db, 'clock', job.clock)
    requireSpaceToCheckpoint(db, unwrittenBytes)
  })
  return job.revision
}

/** What SQLite holds in memory of the file where there is little room on the disk. */
const leastCacheBytes = 128 * 1024

/**
 * Throws as the system does when the file has no room for what the transaction adds to it: once that is committed, only a
 * checkpoint can give back the room that it takes in the write-ahead log.
 */
function requireSpaceToCheckpoint(db: Database, unwrittenBytes: number): void {
  const pages = Number(db.query('PRAGMA page_count').values()[0]?.[0])
  const pageBytes = Number(db.query('PRAGMA page_size').values()[0]?.[0])
  const added = pages * pageBytes - statSync(db.filename).size
  requireSpace(db.filename, Math.max(0, added) + unwrittenBytes)
}

/** What the segments say that the tables do not have. */
interface FlushJob {
  readonly records: Records
  /** Indexes of the records of each collection. */
  readonly collections: Map<string, number[]>
  /** What changes in the counts of the collections. */
  readonly counts: Map<string, Counts>
  readonly revision: number
  readonly clock: number
}

function readJob(sources: readonly FlushSource[], meta: Meta, maxRecords: number): FlushJob {
  const segments = sources.map((source) =>
    readSegmentInMemory(source, chunkOf(Buffer.from(source.memory)), meta.storeId),
  )
  const chunks = segments.map(({ chunk }) => chunk)
  const most = segments.reduce((sum, { records }) => sum + records.length, 0)
  const records = { chunks, chunkOf: new Uint8Array(most), offsetOf: new Uint32Array(most) }
  const collections = new Map<string, number[]>()
  const counts = new Map<string, Counts>()
  let { flushedRevision: revision, clock } = meta
  let count = 0
  for (const [i, { chunk, firstRevision, records: offsets }] of segments.entries()) {
    const { path, lastRevision } = sources[i]!
    revision = Math.max(revision, firstRevision - 1)
    let end = 0
    for (const at of offsets) {
      const position = recordPosition(chunk, at)
      // A frame is written whole: readers of the tables never see half of a commit.
      const isInFrame = at === end
      end = recordEnd(chunk, at)
      if (position <= revision || position > lastRevision) continue
      if (count >= maxRecords && !isInFrame) return { records, collections, counts, revision, clock }
      if (position > revision + 1) throw new Error(`${path} lacks revision ${revision + 1}`)
      const collection = recordCollection(chunk, at)
      const own = collections.get(collection)
      if (own === undefined) collections.set(collection, [count])
      else own.push(count)
      records.chunkOf[count] = i
      records.offsetOf[count++] = at
      countRecord(counts, collection, chunk, at)
      revision = position
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
    SELECT f.revision, f.collection, f.key, t.clock, t.revision AS ownRevision
    FROM feed f LEFT JOIN tombstones t USING (collection, key)
    WHERE f.cause IS NOT NULL ORDER BY f.revision LIMIT ?`)
  const rows = oldest.all(limit)
  for (const { collection, key, revision, ownRevision } of rows)
    if (revision !== ownRevision)
      throw damagedMember(collection, key, 'its tombstone is not the one that the feed names')
  const young = rows.findIndex(({ clock }) => stampToMs(clock) >= beforeMs)
  const old = young < 0 ? rows : rows.slice(0, young)
  const last = old.at(-1)
  if (last === undefined) return 0
  inTransaction(db, () => {
    const deleteTombstone = db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?')
    const feed = feedEdits(0, 0)
    for (const { collection, key, revision } of old) {
      deleteTombstone.run(collection, key)
      leaveFeed(feed, collection, revision)
    }
    writeFeed(db, feed, [])
    writeMeta(db, 'forgotten_revision', last.revision)
  })
  return old.length
}

interface OldTombstone {
  readonly revision: number
  readonly collection: string
  readonly key: string
  readonly clock: number
  /** Of the tombstone itself; null where it is missing. */
  readonly ownRevision: number | null
}

/** Our readers block it for a tick of the event loop at most; anything longer is another program. */
export const checkpointWaitMs = 500

/** Moves what the write-ahead log of the tables holds into the file. Passes over it while somebody is in the way. */
export function checkpoint(db: Database): void {
  waitForLocks(db, checkpointWaitMs)
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  waitForLocks(db)
}

/**
 * After so many rows what is left of their strings is released: otherwise the heap grows by a hundred megabytes in the
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
      collectGarbage()
      syncWritten(db.filename)
    }
    const key = recordKey(chunk, at)
    const written = write(key, chunk, at, firstChunk, firstAt)
    const revision = recordRevision(chunk, at)
    if (written.replacedRevision !== revision) {
      if (written.replacedRevision > 0) leaveFeed(feed, collection, written.replacedRevision)
      enterFeed(feed, revision, chunkOf[order[i]!]!, at, written.namesCrc)
    }
    const expired =
      recordReplacedRevision(firstChunk, firstAt) === 0
        ? null
        : recordReplacedExpiresAtMs(firstChunk, firstAt)
    editExpiry(expiries, collection, key, expired, recordExpiresAtMs(chunk, at))
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
  const insert = db.query('INSERT INTO expiries VALUES (?, ?, ?, ?)')
  // Keys with the same expiry are in order already.
  for (const { collection, key, expiresAtMs } of gone.sort(byTime)) remove.run(expiresAtMs, collection, key)
  for (const { collection, key, expiresAtMs } of come.sort(byTime)) {
    const namesCrc = crcOfText(key, crcOfText(collection))
    insert.run(
      expiresAtMs,
      collection,
      key,
      expiryChecksum(namesCrc, Buffer.byteLength(collection), expiresAtMs),
    )
  }
}

function byTime(a: Expiry, b: Expiry): number {
  return a.expiresAtMs - b.expiresAtMs
}

/** Each row has a checksum, so rows are read, changed and written back. */
function writeCounts(db: Database, deltas: Map<string, Counts>): void {
  const read = db.query<CountsRow, [string]>(
    'SELECT members, bytes, checksum FROM collections WHERE name = ?',
  )
  const remove = db.query('DELETE FROM collections WHERE name = ?')
  const put = db.query('INSERT OR REPLACE INTO collections VALUES (?, ?, ?, ?)')
  for (const [name, delta] of deltas) {
    const before = read.get(name) ?? noMembers
    if (before !== noMembers && collectionChecksum(name, before.members, before.bytes) !== before.checksum)
      throw damagedStore(`the checksum of the counts of ${name} does not match`)
    const [members, bytes] = [before.members + delta.members, before.bytes + delta.bytes]
    if (members === 0) remove.run(name)
    else put.run(name, members, bytes, collectionChecksum(name, members, bytes))
  }
}

interface CountsRow extends Counts {
  readonly checksum: number
}

const noMembers: CountsRow = { members: 0, bytes: 0, checksum: 0 }
