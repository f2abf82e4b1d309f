import type { Database } from 'bun:sqlite'
import { keyOfSortKey } from '../../core/keys.ts'
import { loadSegment } from './log.ts'
import { countRecord } from './memtable.ts'
import {
  type Chunk,
  recordClock,
  recordCollection,
  recordKind,
  recordMember,
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
      const recordAt = recordRevision(segment.chunk, at)
      if (recordAt <= revision || recordAt > source.lastRevision) continue
      collect(entries, deltas, segment.chunk, i, at)
      revision = recordAt
      clock = Math.max(clock, recordClock(segment.chunk, at))
    }
    if (revision < source.lastRevision)
      throw new Error(`${source.path} ends before revision ${source.lastRevision}`)
  }
  db.run('BEGIN IMMEDIATE')
  try {
    for (const [collection, found] of entries) writeCollection(db, collection, found.sort(), chunks)
    writeCounts(db, deltas)
    const update = db.query('UPDATE meta SET value = ? WHERE name = ?')
    update.run(revision, 'applied_revision')
    update.run(clock, 'clock')
    db.run('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.run('ROLLBACK')
    throw error
  }
  return revision
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
): void {
  const put = db.query('INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const remove = db.query('DELETE FROM members WHERE collection = ? AND key = ?')
  const bury = db.query('INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?)')
  const unbury = db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?')
  const hasTombstones =
    db.query('SELECT 1 FROM tombstones WHERE collection = ? LIMIT 1').values(collection).length > 0

  let next = keyOfEntry(entries[0]!)
  for (let i = 0; i < entries.length; i++) {
    const sorted = next
    next = i + 1 < entries.length ? keyOfEntry(entries[i + 1]!) : ''
    if (sorted === next) continue
    const key = keyOfSortKey(sorted.includes('\0') ? sorted.replaceAll('\0\xff', '\0') : sorted)
    const { chunk, at } = placeOfEntry(entries[i]!, chunks)
    if (recordKind(chunk, at) === 'put') {
      const m = recordMember(chunk, at, key)
      const contentType = m.contentType === 'application/json' ? null : m.contentType
      // biome-ignore format: the columns in one line
      put.run(collection, key, m.value, m.revision, m.createdAtMs, m.clock, m.expiresAtMs, contentType, m.flags, m.node || null)
      if (hasTombstones) unbury.run(collection, key)
    } else {
      const t = recordTombstone(chunk, at, key)
      remove.run(collection, key)
      bury.run(collection, key, t.revision, t.ending, t.clock, t.node || null)
    }
  }
}

function keyOfEntry(entry: string): string {
  return entry.slice(0, -placeChars)
}

function placeOfEntry(entry: string, chunks: readonly Chunk[]): { chunk: Chunk; at: number } {
  const from = entry.length - placeChars + 1
  const digit = (i: number) => entry.charCodeAt(from + i)
  return {
    chunk: chunks[digit(0)]!,
    at: digit(1) * 2 ** 24 + digit(2) * 2 ** 16 + digit(3) * 2 ** 8 + digit(4),
  }
}

function writeCounts(db: Database, deltas: Map<string, Counts>): void {
  const add = db.query(`
    INSERT INTO collections VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET members = members + ?2, bytes = bytes + ?3`)
  for (const [name, { members, bytes }] of deltas) add.run(name, members, bytes)
  db.run('DELETE FROM collections WHERE members = 0')
}
