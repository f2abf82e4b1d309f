import type { Database } from 'bun:sqlite'
import { statSync } from 'node:fs'
import { stampToMs } from '../../../core/clock.ts'
import { collectGarbage } from '../../../runtime/garbage.ts'
import { countRecord } from '../memtable/memtable.ts'
import { damagedMember, damagedStore } from '../table/damage.ts'
import { expiryWriter } from '../table/expiry-row.ts'
import { collectionChecksum } from '../table/row-checksum.ts'
import { writeMeta } from '../table/schema.ts'
import { type Counts, type Meta, readMeta } from '../table/table.ts'
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
import { type PieceEdits, writePieces } from './piece-edits.ts'
import type { Rester } from './rests.ts'

/** Bytes of segments after which garbage is collected: one segment, unless they are as small as in tests. */
export const garbageBytes = 1024 * 1024

/** A segment that is not in the tables yet. */
export interface FlushSource {
  readonly number: number
  readonly path: string
  /** The bytes of the segment, shared by both threads. */
  readonly memory: ArrayBufferLike
  /** The last revision of the segment that counts; frames behind it, which a failed write left, are ignored. */
  readonly lastRevision: number
}

/**
 * Flushes the segments to the tables in one transaction, each member once, in key order, so that rows that share a page
 * are written together. The transaction also sets `flushed_revision`, so a repetition after a crash does no harm. Returns
 * that revision: the last of the segments, or with more than `maxRecords` records the last of the frame that reaches it.
 */
export function flushSegments(
  db: Database,
  sources: readonly FlushSource[],
  maxRecords = Number.POSITIVE_INFINITY,
  cacheBytes = 16_000_000,
  rest: Rester['rest'] = () => {},
): number {
  const meta = readMeta(db)
  const job = readJob(sources, meta, maxRecords)
  // The space check below cannot see pages that SQLite still caches, so on a full disk the cache is kept small.
  const unwrittenBytes = maxRecords === Number.POSITIVE_INFINITY ? 0 : leastCacheBytes
  db.run(`PRAGMA cache_size = -${Math.ceil((unwrittenBytes || cacheBytes) / 1024)}`)
  inTransaction(db, () => {
    const feed = feedEdits(meta.flushedRevision, job.revision)
    const edits = { feed, pieces: { gone: [], come: [] }, expiries: { gone: [], come: [] }, rest }
    for (const [collection, own] of job.collections) {
      writeCollection(db, collection, job.records, inKeyOrder(job.records, own), edits)
    }
    writePieces(db, edits.pieces, rest)
    writeFeed(db, feed, job.records.chunks, rest)
    writeExpiries(db, edits.expiries)
    writeCounts(db, job.counts)
    writeMeta(db, 'flushed_revision', job.revision)
    writeMeta(db, 'clock', job.clock)
    requireSpaceToCheckpoint(db, unwrittenBytes)
  })
  return job.revision
}

/** SQLite's page cache while the disk is full. */
const leastCacheBytes = 128 * 1024

/**
 * Throws ENOSPC when the disk has no room for the pages that the transaction adds to the file. Once it is committed, only
 * a checkpoint frees the space that it takes in the write-ahead log, and the checkpoint needs that room.
 */
function requireSpaceToCheckpoint(db: Database, unwrittenBytes: number): void {
  const pages = Number(db.query('PRAGMA page_count').values()[0]?.[0])
  const pageBytes = Number(db.query('PRAGMA page_size').values()[0]?.[0])
  const added = pages * pageBytes - statSync(db.filename).size
  requireSpace(db.filename, Math.max(0, added) + unwrittenBytes)
}

/** The records of the segments that are not in the tables yet. */
interface FlushJob {
  readonly records: Records
  /** Indexes of the records of each collection. */
  readonly collections: Map<string, number[]>
  /** Changes of the collections' counts. */
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
 * Deletes up to `limit` tombstones older than `beforeMs`, in the order of revisions up to the first younger one, and
 * returns how many. The same transaction sets `forgotten_revision` and `forgotten_clock`. Throws `damaged`.
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
    writeFeed(db, feed, [], () => {})
    writeMeta(db, 'forgotten_revision', last.revision)
    writeMeta(db, 'forgotten_clock', last.clock)
  })
  return old.length
}

interface OldTombstone {
  readonly revision: number
  readonly collection: string
  readonly key: string
  readonly clock: number
  /** The revision of the tombstone's own row; null where that is missing. */
  readonly ownRevision: number | null
}

/**
 * The garbage of the rows' strings is collected after every this many rows; otherwise the heap grows by a hundred
 * megabytes during a job.
 */
const rowsPerTidying = 32_768

/** What a job writes after the members, in other orders than that of their keys. */
interface JobEdits {
  readonly feed: FeedEdits
  readonly pieces: PieceEdits
  readonly expiries: ExpiryEdits
  readonly rest: Rester['rest']
}

/** Writes the latest record of each key of a collection, in the order of keys. */
function writeCollection(
  db: Database,
  collection: string,
  records: Records,
  { order, isFollowed }: KeyOrder,
  { feed, pieces, expiries, rest }: JobEdits,
): void {
  const { chunks, chunkOf, offsetOf } = records
  const write = memberWriter(db, collection, pieces)
  let first = 0
  let rows = 0
  for (let i = 0; i < order.length; i++) {
    if (isFollowed[i] === 1) continue
    rest()
    // The version in the tables is the one that the first record of the key replaced.
    const [firstChunk, firstAt] = [chunks[chunkOf[order[first]!]!]!, offsetOf[order[first]!]!]
    const [chunk, at] = [chunks[chunkOf[order[i]!]!]!, offsetOf[order[i]!]!]
    first = i + 1
    if (++rows % rowsPerTidying === 0) collectGarbage()
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

/** The rows to insert into `expiries`, and those to delete. */
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
  const insert = expiryWriter(db)
  // Keys with the same expiry are in order already.
  for (const { collection, key, expiresAtMs } of gone.sort(byTime)) remove.run(expiresAtMs, collection, key)
  for (const { collection, key, expiresAtMs } of come.sort(byTime)) insert(expiresAtMs, collection, key)
}

function byTime(a: Expiry, b: Expiry): number {
  return a.expiresAtMs - b.expiresAtMs
}

/** Updates the counts of collections. Each row has a checksum, so it is read, verified, changed and written back. */
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
