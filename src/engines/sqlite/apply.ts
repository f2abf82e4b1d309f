import type { Database } from 'bun:sqlite'
import { stampToMs } from '../../core/clock.ts'
import { keyOfSortKey } from '../../core/keys.ts'
import { jsonContentType } from '../../core/member.ts'
import { enterFeed, type FeedEdits, feedEdits, leaveFeed, writeFeed } from './feed-edits.ts'
import { loadSegment } from './log.ts'
import { countRecord } from './memtable.ts'
import {
  type Chunk,
  recordClock,
  recordCollection,
  recordExpiresAtMs,
  recordKind,
  recordMember,
  recordPlace,
  recordReplacedExpiresAtMs,
  recordReplacedRevision,
  recordRevision,
  recordSortKey,
  recordTombstone,
} from './record.ts'
import { type Counts, readMeta } from './table.ts'

/** A part of the log that the tables do not have yet. */
export interface ApplySource {
  readonly number: number
  readonly path: string
  /** The last revision of the segment that counts: what a failed write left behind is passed over. */
  readonly lastRevision: number
}

/**
 * What to write of each collection: the keys as strings of their bytes, each with the place of its record behind it,
 * so that sorting them puts the records of a key side by side in the order in which they were written. Strings are
 * the cheapest thing to sort a few hundred thousand of: a Map and objects beside them took twice the time.
 */
type Entries = Map<string, string[]>

const placeChars = 6

/**
 * A key as it is sorted: with \xff behind each of its zeros, so that the end of a key, which is a zero and a segment,
 * comes before all that goes on, and no key comes between two places of another.
 */
function entryKey(sortKey: string): string {
  return sortKey.includes('\0') ? sortKey.replaceAll('\0', '\0\xff') : sortKey
}

/** A zero for the end of the key; the segment, of which there are few; the offset, large digits first. */
function placeText(segment: number, at: number): string {
  return String.fromCharCode(0, segment, at >>> 24, (at >>> 16) & 255, (at >>> 8) & 255, at & 255)
}

/**
 * Brings the tables up to the end of the given segments in one transaction, each member once, in key order: rows
 * that share a page are written together. The applied revision is part of the transaction, so doing it again after
 * a crash does no harm. Returns the revision that the tables now have. `chunks` is memory to read into, kept between
 * calls.
 */
export function applySegments(db: Database, sources: readonly ApplySource[], chunks: Chunk[] = []): number {
  const meta = readMeta(db)
  const entries: Entries = new Map()
  const deltas = new Map<string, Counts>()
  let revision = meta.appliedRevision
  let clock = meta.clock
  for (const [i, source] of sources.entries()) {
    const segment = loadSegment(source, meta.storeId, chunks[i])
    if (segment === null) throw new Error(`${source.path} cannot be read back`)
    chunks[i] = segment.chunk
    for (const at of segment.records) {
      const place = recordPlace(segment.chunk, at)
      if (place <= revision || place > source.lastRevision) continue
      collect(entries, deltas, segment.chunk, i, at)
      revision = place
      clock = Math.max(clock, recordClock(segment.chunk, at))
    }
    if (revision < source.lastRevision)
      throw new Error(`${source.path} ends before revision ${source.lastRevision}`)
  }
  inTransaction(db, () => {
    const feed = feedEdits(meta.appliedRevision, revision)
    const expiries: ExpiryEdits = { gone: [], come: [] }
    for (const [collection, found] of entries) {
      writeCollection(db, collection, found.sort(), chunks, feed, expiries)
    }
    writeFeed(db, feed, chunks)
    writeExpiries(db, expiries)
    writeCounts(db, deltas)
    const update = db.query('UPDATE meta SET value = ? WHERE name = ?')
    update.run(revision, 'applied_revision')
    update.run(clock, 'clock')
  })
  return revision
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

/** Moves what the write-ahead log of the tables holds into the file. Passes over it while a reader is in the way. */
export function checkpoint(db: Database): void {
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
}

function collect(
  entries: Entries,
  deltas: Map<string, Counts>,
  chunk: Chunk,
  segment: number,
  at: number,
): void {
  const collection = recordCollection(chunk, at)
  let found = entries.get(collection)
  if (found === undefined) {
    found = []
    entries.set(collection, found)
  }
  found.push(entryKey(recordSortKey(chunk, at)) + placeText(segment, at))
  countRecord(deltas, collection, chunk, at)
}

/** Writes the latest record of each key. The entries are sorted. */
function writeCollection(
  db: Database,
  collection: string,
  entries: string[],
  chunks: readonly Chunk[],
  feed: FeedEdits,
  expiries: ExpiryEdits,
): void {
  const write = memberWriter(db, collection)
  let next = keyOfEntry(entries[0]!)
  let first = 0
  for (let i = 0; i < entries.length; i++) {
    const sorted = next
    next = i + 1 < entries.length ? keyOfEntry(entries[i + 1]!) : ''
    if (sorted === next) continue
    const key = keyOfSortKey(sorted.includes('\0') ? sorted.replaceAll('\0\xff', '\0') : sorted)
    const before = placeOfEntry(entries[first]!)
    const latest = placeOfEntry(entries[i]!)
    first = i + 1
    const [beforeChunk, chunk] = [chunks[before.segment]!, chunks[latest.segment]!]
    // What the tables have is what the first of the records took the place of.
    const replaced = recordReplacedRevision(beforeChunk, before.at)
    const buried = write(key, chunk, latest.at)
    const gone = replaced === 0 ? buried : replaced
    const revision = recordRevision(chunk, latest.at)
    if (gone !== revision) {
      if (gone > 0) leaveFeed(feed, collection, gone)
      enterFeed(feed, revision, latest.segment, latest.at)
    }
    const expired = replaced === 0 ? null : recordReplacedExpiresAtMs(beforeChunk, before.at)
    editExpiry(expiries, collection, key, expired, recordExpiresAtMs(chunk, latest.at))
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
      bury.run(collection, key, t.revision, t.ending, t.clock, t.node || null)
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

function keyOfEntry(entry: string): string {
  return entry.slice(0, -placeChars)
}

function placeOfEntry(entry: string): { segment: number; at: number } {
  const from = entry.length - placeChars + 1
  const digit = (i: number) => entry.charCodeAt(from + i)
  return { segment: digit(0), at: digit(1) * 2 ** 24 + digit(2) * 2 ** 16 + digit(3) * 2 ** 8 + digit(4) }
}

function writeCounts(db: Database, deltas: Map<string, Counts>): void {
  const add = db.query(`
    INSERT INTO collections VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET members = members + ?2, bytes = bytes + ?3`)
  for (const [name, { members, bytes }] of deltas) add.run(name, members, bytes)
  db.run('DELETE FROM collections WHERE members = 0')
}
