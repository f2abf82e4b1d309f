import type { ChangesPage, ExpiringRef, MemberRef, ScanPage, ScanRange } from '../../core/engine.ts'
import { compareKeys } from '../../core/keys.ts'
import { maxPageBytes } from '../../core/limits.ts'
import { type Change, type Member, revisionOf, type Tombstone } from '../../core/member.ts'
import { findRecord, isLatest, type Memtable, overlayKeys } from './memtable.ts'
import {
  type Chunk,
  recordBytes,
  recordCollection,
  recordCreatedAtMs,
  recordExpiresAtMs,
  recordKey,
  recordKind,
  recordMember,
  recordRevision,
  recordTombstone,
} from './record.ts'
import type { ExpiringRow, Standing, TableReader } from './table.ts'

/** The state of the store: what the tables have, and over it the parts of the log that they do not have yet. */
export interface Overlay {
  /** The oldest first. */
  readonly tables: Memtable[]
  readonly reader: TableReader
  /** Collections that the tables know: of others they need not be asked. */
  readonly inTables: Set<string>
}

/** A scan passes over this many keys for each that it may return, then says where to go on. */
const examinedPerMember = 10
const leastExamined = 1000

export function readMember(
  { tables, reader, inTables }: Overlay,
  collection: string,
  key: string,
): Member | null {
  const found = findRecord(tables, collection, key)
  if (found !== null) {
    const { chunk } = found.table
    return recordKind(chunk, found.at) === 'put' ? recordMember(chunk, found.at, key) : null
  }
  return inTables.has(collection) ? reader.read(collection, key) : null
}

export function readTombstone(
  { tables, reader }: Overlay,
  collection: string,
  key: string,
): Tombstone | null {
  const found = findRecord(tables, collection, key)
  if (found === null) return reader.tombstone(collection, key)
  const { chunk } = found.table
  return recordKind(chunk, found.at) === 'put' ? null : recordTombstone(chunk, found.at, key)
}

export function readStanding(
  { tables, reader, inTables }: Overlay,
  { collection, key }: MemberRef,
): Standing | null {
  const found = findRecord(tables, collection, key)
  if (found !== null) return recordStanding(found.table.chunk, found.at)
  return inTables.has(collection) ? reader.standing(collection, key) : null
}

export function recordStanding(chunk: Chunk, at: number): Standing | null {
  if (recordKind(chunk, at) !== 'put') return null
  return {
    revision: recordRevision(chunk, at),
    createdAtMs: recordCreatedAtMs(chunk, at),
    expiresAtMs: recordExpiresAtMs(chunk, at),
    bytes: recordBytes(chunk, at),
  }
}

/** Merges the rows of the tables with the keys of the overlay, which wins where both have one. */
export function scanMembers(overlay: Overlay, range: ScanRange): ScanPage {
  const { collection, from, to, order, limit, keysOnly } = range
  const keys = overlayKeys(overlay.tables, collection, from, to, order)
  const rows = overlay.inTables.has(collection) ? overlay.reader.scan(range) : noRows()
  const members: Member[] = []
  let bytes = 0
  let examined = 0
  let last = ''
  const enough = Math.max(leastExamined, limit * examinedPerMember)
  let key = keys.next()
  let row = rows.next()
  try {
    while (!key.done || !row.done) {
      const side = key.done
        ? 1
        : row.done
          ? -1
          : compareKeys(key.value, row.value.key) * (order === 'asc' ? 1 : -1)
      const current: string = side <= 0 ? key.value! : row.value.key
      if (members.length === limit || bytes >= maxPageBytes || examined === enough) {
        return { members, next: order === 'asc' ? current : last }
      }
      examined++
      last = current
      const member =
        side <= 0 ? latestMember(overlay.tables, collection, current, keysOnly) : (row.value as Member)
      if (member !== null) {
        members.push(member)
        bytes += member.value.length
      }
      if (side <= 0) key = keys.next()
      if (side >= 0) row = rows.next()
    }
    return { members, next: null }
  } finally {
    rows.return?.()
  }
}

function* noRows(): IterableIterator<Member> {}

function latestMember(
  tables: readonly Memtable[],
  collection: string,
  key: string,
  keysOnly: boolean,
): Member | null {
  const found = findRecord(tables, collection, key)
  if (found === null || recordKind(found.table.chunk, found.at) !== 'put') return null
  return recordMember(found.table.chunk, found.at, key, keysOnly)
}

/**
 * Changes after a revision: those of the tables first, then those of the overlay, whose revisions are all larger. A
 * row of the tables that the overlay has a newer record of is left out, and comes when its own revision does.
 */
export function changesAfter(
  overlay: Overlay,
  after: number,
  limit: number,
  collection: string | undefined,
): ChangesPage {
  const changes: Change[] = []
  let bytes = 0
  for (const change of changesInOrder(overlay, after)) {
    if (collection !== undefined && change.collection !== collection) continue
    changes.push(change)
    if (change.type === 'put') bytes += change.member.value.length
    if (changes.length >= limit || bytes >= maxPageBytes) break
  }
  const last = changes.at(-1)
  return {
    changes,
    pointAfter: (index) => String(revisionOf(changes[index]!)),
    next: String(last === undefined ? after : revisionOf(last)),
    atEnd: last === undefined,
  }
}

function* changesInOrder({ tables, reader }: Overlay, after: number): Generator<Change> {
  // The tables may have what the overlay has not let go of yet: of that the overlay tells.
  for (const { collection, key, tombstone } of changedRows(reader, after)) {
    if (findRecord(tables, collection, key) !== null) continue
    if (tombstone !== null) yield { type: tombstone.ending, collection, tombstone }
    else yield { type: 'put', collection, member: reader.read(collection, key)! }
  }
  for (const table of tables) {
    for (let i = firstAfter(table, after); i < table.offsets.length; i++) {
      const at = table.offsets[i]!
      if (isLatest(tables, table, at)) yield recordChange(table, at)
    }
  }
}

/** Members and tombstones of the tables, merged by their revisions. */
function* changedRows(
  reader: TableReader,
  after: number,
): Generator<MemberRef & { tombstone: Tombstone | null }> {
  const puts = reader.changedAfter(after)
  const ends = reader.tombstonesAfter(after)
  let put = puts.next()
  let end = ends.next()
  try {
    while (!put.done || !end.done) {
      if (end.done || (!put.done && put.value.revision < end.value.revision)) {
        const { collection, key }: MemberRef = put.value
        yield { collection, key, tombstone: null }
        put = puts.next()
      } else {
        const { collection, ...tombstone } = end.value
        yield { collection, key: tombstone.key, tombstone }
        end = ends.next()
      }
    }
  } finally {
    puts.return?.()
    ends.return?.()
  }
}

function recordChange(table: Memtable, at: number): Change {
  const { chunk } = table
  const collection = recordCollection(chunk, at)
  const key = recordKey(chunk, at)
  if (recordKind(chunk, at) === 'put')
    return { type: 'put', collection, member: recordMember(chunk, at, key) }
  const tombstone = recordTombstone(chunk, at, key)
  return { type: tombstone.ending, collection, tombstone }
}

/** The index of the first record after a revision: records stand in the order of their revisions. */
function firstAfter({ chunk, offsets }: Memtable, revision: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (recordRevision(chunk, offsets[middle]!) <= revision) low = middle + 1
    else high = middle
  }
  return low
}

export function expiringMembers(overlay: Overlay, atMs: number, limit: number): ExpiringRef[] {
  const found = [...expiringInTables(overlay, atMs, limit), ...expiringInOverlay(overlay, atMs)]
  return found
    .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
    .slice(0, limit)
    .map(({ collection, key, revision }) => ({ collection, key, revision }))
}

function expiringInTables({ tables, reader }: Overlay, atMs: number, limit: number): ExpiringRow[] {
  const found: ExpiringRow[] = []
  for (let skip = 0; found.length < limit; skip += limit) {
    const rows = reader.expiring(atMs, limit, skip)
    found.push(...rows.filter(({ collection, key }) => findRecord(tables, collection, key) === null))
    if (rows.length < limit) break
  }
  return found
}

function expiringInOverlay({ tables }: Overlay, atMs: number): ExpiringRow[] {
  const found: ExpiringRow[] = []
  for (const table of tables) {
    const { chunk, expiring } = table
    let kept = 0
    for (const at of expiring) {
      const expiresAtMs = recordExpiresAtMs(chunk, at)!
      const due = expiresAtMs <= atMs
      // What was written over since is of no more use here: dropping it keeps the next look short.
      if (due && !isLatest(tables, table, at)) continue
      expiring[kept++] = at
      if (!due) continue
      found.push({
        collection: recordCollection(chunk, at),
        key: recordKey(chunk, at),
        revision: recordRevision(chunk, at),
        expiresAtMs,
      })
    }
    expiring.length = kept
  }
  return found
}
