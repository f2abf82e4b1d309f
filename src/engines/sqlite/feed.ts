import type { ChangesPage, ChangesScope, FeedCursor } from '../../core/engine.ts'
import { maxPageBytes } from '../../core/limits.ts'
import { type Change, revisionOf } from '../../core/member.ts'
import { beganAfter, cursorText, parseCursor, requireServed } from '../revision-cursor.ts'
import { type Found, findRecord, type Memtable } from './memtable/memtable.ts'
import { type Overlay, readMember, readMemberHead, readTombstone, requireWhole } from './overlay.ts'
import { damagedStore } from './table/damage.ts'
import { blockRevisions } from './table/schema.ts'
import type { FeedRowCursor, TableReader } from './table/table-reader.ts'
import {
  type Chunk,
  recordCollection,
  recordKey,
  recordKind,
  recordMember,
  recordPosition,
  recordRevision,
  recordTombstone,
  recordValueBytes,
} from './wal/record.ts'

/**
 * The feed: first the rows of the tables, then the records that only the log has, whose revisions are all larger. A row
 * whose member has a newer version in the log is skipped; that version follows at its own revision.
 */

/** A page examines at most this many rows and records, some 20 ms of work, then returns where to continue. */
export const maxExaminedChanges = 20_000
/** The cost of scanning a block for the rows of one collection, in examined rows. */
const blockCost = 500
const blocksAtOnce = 64

/** A page under construction. */
interface Draft {
  readonly limit: number
  readonly maxBytes: number
  readonly changes: Change[]
  /** The revision of each change. */
  readonly revisions: number[]
  bytes: number
  /** The page ended because the next value exceeds `maxBytes`. */
  isCut: boolean
  examined: number
  /** Everything up to this revision was examined. */
  passed: number
}

function isFull({ limit, changes, examined }: Draft): boolean {
  return changes.length >= limit || examined >= maxExaminedChanges
}

/** Adds the size of a value before it is read; false where it does not fit, which ends the page. */
function fits(draft: Draft, valueBytes: number): boolean {
  draft.bytes += valueBytes
  draft.isCut = draft.bytes > draft.maxBytes
  return !draft.isCut
}

function take(draft: Draft, change: Change, revision: number): void {
  draft.passed = revision
  draft.changes.push(change)
  draft.revisions.push(revision)
}

/** Which changes to return, and how many at most. */
export interface ChangesQuery {
  readonly limit: number
  readonly scope?: ChangesScope | undefined
  readonly maxBytes?: number | undefined
}

/**
 * Returns a page of the changes after a cursor; `head` is the newest published revision. Throws `invalid_cursor`,
 * `compacted` and `damaged`.
 */
export function changesAfter(
  overlay: Overlay,
  head: number,
  cursor: FeedCursor,
  { limit, scope, maxBytes = maxPageBytes }: ChangesQuery,
): ChangesPage {
  const after = parseCursor(cursor)
  if (overlay.damage !== null) throw damagedStore(overlay.damage)
  const forgotten = overlay.reader.forgotten()
  requireServed(after, forgotten, head)
  const began = beganAfter(after, forgotten, head)
  const draft: Draft = {
    limit,
    maxBytes,
    changes: [],
    revisions: [],
    bytes: 0,
    isCut: false,
    examined: 0,
    passed: after.revision,
  }
  const atEnd = readChanges(draft, overlay, scope)
  const { changes, revisions, passed, isCut } = draft
  return {
    changes,
    cursorAfter: (index) => cursorText(revisions[index]!, began),
    next: cursorText(atEnd ? head : passed, began),
    atEnd,
    isCut,
  }
}

/** Fills the page; false when it was full before the end of the feed. */
function readChanges(draft: Draft, overlay: Overlay, scope: ChangesScope | undefined): boolean {
  if (scope?.key === undefined) {
    return readTables(draft, overlay, scope?.collection) && readLog(draft, overlay.tables, scope?.collection)
  }
  const { collection, key } = scope
  const head = draft.maxBytes < maxPageBytes ? readMemberHead(overlay, collection, key) : null
  if (head !== null && head.revision > draft.passed && !fits(draft, head.valueBytes)) return false
  const change = latestChange(overlay, collection, key)
  if (change !== null && revisionOf(change) > draft.passed) take(draft, change, revisionOf(change))
  return true
}

/** The latest change of a member; null if it never existed or its tombstone is forgotten. */
function latestChange(overlay: Overlay, collection: string, key: string): Change | null {
  const found = findRecord(overlay.tables, collection, key)
  if (found !== null) return changeOfRecord(found.table.chunk, found.at, collection, key)
  const member = readMember(overlay, collection, key)
  if (member !== null) return { type: 'put', collection, member }
  const tombstone = readTombstone(overlay, collection, key)
  return tombstone === null ? null : { type: tombstone.cause, collection, tombstone }
}

/** Adds the rows of the tables; false when the page was full first. */
function readTables(draft: Draft, overlay: Overlay, collection: string | undefined): boolean {
  const { tables, reader } = overlay
  // Revisions that are in the tables and in a memtable that is not released yet are read from the memtable.
  const before = firstPosition(tables)
  if (draft.passed + 1 >= before) return true
  if (collection === undefined) return takeRows(draft, overlay, reader.feed(draft.passed, before), before)
  return readBlocks(draft, overlay, collection, before)
}

/** As `readTables` for one collection: reads only the blocks of revisions that have changes of it. */
function readBlocks(draft: Draft, overlay: Overlay, collection: string, before: number): boolean {
  const { reader } = overlay
  requireWhole(overlay, 'feed_blocks', [collection], [collection])
  for (const block of blocksOf(reader, collection, Math.floor((draft.passed + 1) / blockRevisions))) {
    const start = block * blockRevisions
    if (start >= before) return true
    draft.passed = Math.max(draft.passed, start - 1)
    if (isFull(draft)) return false
    draft.examined += blockCost
    const end = Math.min(before, start + blockRevisions)
    if (!takeRows(draft, overlay, reader.feed(draft.passed, end, collection), end)) return false
    draft.passed = end - 1
  }
  return true
}

function* blocksOf(reader: TableReader, collection: string, from: number): Generator<number> {
  for (let next = from; ; ) {
    const blocks = reader.feedBlocks(collection, next, blocksAtOnce)
    yield* blocks
    if (blocks.length < blocksAtOnce) return
    next = blocks.at(-1)! + 1
  }
}

/** Adds the rows after `passed` and before a revision; false when the page was full first. */
function takeRows(draft: Draft, overlay: Overlay, rows: FeedRowCursor, before: number): boolean {
  const after = draft.passed
  const isDone = takeEach(draft, overlay.tables, rows)
  requireWhole(overlay, 'feed', [after], [isDone ? before : draft.passed])
  return isDone
}

function takeEach(draft: Draft, tables: readonly Memtable[], rows: FeedRowCursor): boolean {
  try {
    while (rows.next()) {
      if (isFull(draft)) return false
      draft.examined++
      const { revision, collection, key } = rows
      const found = findRecord(tables, collection, key)
      if (found === null) {
        if (!fits(draft, rows.valueBytes)) return false
        take(draft, rows.change(), revision)
      } else if (recordRevision(found.table.chunk, found.at) === revision) {
        // The member was renewed since: it keeps its position in the feed, and shows the new expiry.
        if (!takeRecord(draft, found, collection, key, revision)) return false
      }
      draft.passed = revision
    }
    return true
  } finally {
    rows.close()
  }
}

function readLog(draft: Draft, tables: readonly Memtable[], collection: string | undefined): boolean {
  for (const table of tables) {
    if (collection !== undefined && !table.collections.has(collection)) continue
    const { chunk, offsets } = table
    for (let i = firstAfter(table, draft.passed); i < offsets.length; i++) {
      if (isFull(draft)) return false
      const at = offsets[i]!
      const position = recordPosition(chunk, at)
      draft.examined++
      const own = recordCollection(chunk, at)
      if (collection === undefined || own === collection) {
        const key = recordKey(chunk, at)
        // A renewal has no revision: the new expiry is shown at the member's own revision.
        const latest = findRecord(tables, own, key)!
        const isLatest = recordRevision(latest.table.chunk, latest.at) === position
        if (isLatest && !takeRecord(draft, latest, own, key, position)) return false
      }
      draft.passed = position
    }
  }
  return true
}

/** Adds the change of a record; false where its value does not fit. */
function takeRecord(
  draft: Draft,
  { table: { chunk }, at }: Found,
  collection: string,
  key: string,
  revision: number,
): boolean {
  const isPut = recordKind(chunk, at) === 'put'
  if (isPut && !fits(draft, recordValueBytes(chunk, at))) return false
  take(draft, changeOfRecord(chunk, at, collection, key), revision)
  return true
}

function firstPosition(tables: readonly Memtable[]): number {
  for (const { chunk, offsets } of tables) if (offsets.length > 0) return recordPosition(chunk, offsets[0]!)
  return Number.MAX_SAFE_INTEGER
}

/** The index of the first record after a position in the log. */
function firstAfter({ chunk, offsets }: Memtable, position: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (recordPosition(chunk, offsets[middle]!) <= position) low = middle + 1
    else high = middle
  }
  return low
}

function changeOfRecord(chunk: Chunk, at: number, collection: string, key: string): Change {
  if (recordKind(chunk, at) === 'put')
    return { type: 'put', collection, member: recordMember(chunk, at, key) }
  const tombstone = recordTombstone(chunk, at, key)
  return { type: tombstone.cause, collection, tombstone }
}
