import type { Database } from 'bun:sqlite'
import { sortKey } from '../../core/keys.ts'
import { loadSegment } from './log.ts'
import { recordDelta } from './memtable.ts'
import {
  type Chunk,
  recordClock,
  recordCollection,
  recordKey,
  recordKind,
  recordMember,
  recordRevision,
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

interface Place {
  readonly chunk: Chunk
  readonly at: number
}

type Latest = Map<string, Map<string, Place>>

/**
 * Brings the tables up to the end of the given segments in one transaction, each member once, in key order: rows
 * that share a page are written together. The applied revision is part of the transaction, so doing it again after
 * a crash does no harm. Returns the revision that the tables now have. `chunks` is memory to read into, kept between
 * calls.
 */
export function applySegments(db: Database, sources: readonly ApplySource[], chunks: Chunk[] = []): number {
  const meta = readMeta(db)
  const latest: Latest = new Map()
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
      collect(latest, deltas, segment.chunk, at)
      revision = recordAt
      clock = Math.max(clock, recordClock(segment.chunk, at))
    }
    if (revision < source.lastRevision)
      throw new Error(`${source.path} ends before revision ${source.lastRevision}`)
  }
  db.run('BEGIN IMMEDIATE')
  try {
    for (const [collection, members] of latest) writeCollection(db, collection, members)
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

function collect(latest: Latest, deltas: Map<string, Counts>, chunk: Chunk, at: number): void {
  const collection = recordCollection(chunk, at)
  let members = latest.get(collection)
  let counts = deltas.get(collection)
  if (members === undefined || counts === undefined) {
    members = new Map()
    counts = { members: 0, bytes: 0 }
    latest.set(collection, members)
    deltas.set(collection, counts)
  }
  members.set(recordKey(chunk, at), { chunk, at })
  const delta = recordDelta(chunk, at)
  counts.members += delta.members
  counts.bytes += delta.bytes
}

function writeCollection(db: Database, collection: string, members: Map<string, Place>): void {
  const put = db.query('INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const remove = db.query('DELETE FROM members WHERE collection = ? AND key = ?')
  const bury = db.query('INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?)')
  const unbury = db.query('DELETE FROM tombstones WHERE collection = ? AND key = ?')
  const hasTombstones =
    db.query('SELECT 1 FROM tombstones WHERE collection = ? LIMIT 1').values(collection).length > 0

  for (const key of inKeyOrder(members)) {
    const { chunk, at } = members.get(key)!
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

function inKeyOrder(members: Map<string, Place>): string[] {
  const keys = [...members.keys()]
  const sortKeys = keys.map(sortKey)
  if (sortKeys.every((text, i) => text === keys[i])) return keys.sort()
  return keys
    .map((key, i) => ({ key, by: sortKeys[i]! }))
    .sort((a, b) => (a.by < b.by ? -1 : 1))
    .map(({ key }) => key)
}

function writeCounts(db: Database, deltas: Map<string, Counts>): void {
  const add = db.query(`
    INSERT INTO collections VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET members = members + ?2, bytes = bytes + ?3`)
  for (const [name, { members, bytes }] of deltas) add.run(name, members, bytes)
  db.run('DELETE FROM collections WHERE members = 0')
}
