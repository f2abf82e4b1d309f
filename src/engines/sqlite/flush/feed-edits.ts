import type { Database } from 'bun:sqlite'
import { damagedStore } from '../table/damage.ts'
import { feedBlockChecksum, feedChecksum } from '../table/row-checksum.ts'
import { blockRevisions } from '../table/schema.ts'
import { type Chunk, recordCollection, recordCollectionBytes, recordKey, recordKind } from '../wal/record.ts'
import type { Rester } from './rests.ts'

/**
 * The edits of one transaction to the feed: it appends a row for each flushed version, and deletes the rows of the
 * versions that those replace. Both happen in the order of revisions, in which neighbours share a page: so a deletion at
 * a random position costs a fraction of an entry in an index on the members' revisions (docs/design/engine-sqlite.md).
 */
export interface FeedEdits {
  /** The last revision in the tables; appended rows have larger ones. */
  readonly base: number
  /** For each revision after `base`: the index of its record's chunk, and the offset in it, 0 for no row. */
  readonly chunks: Uint8Array
  readonly offsets: Uint32Array
  /** For each revision after `base`: the CRC-32 of collection and key. */
  readonly namesCrcs: Uint32Array
  /** Revisions of the rows to delete, by collection. */
  readonly gone: Map<string, number[]>
}

export function feedEdits(base: number, last: number): FeedEdits {
  const count = last - base
  return {
    base,
    chunks: new Uint8Array(count),
    offsets: new Uint32Array(count),
    namesCrcs: new Uint32Array(count),
    gone: new Map(),
  }
}

/** Notes that the feed gets a row for a record. */
export function enterFeed(
  { base, chunks, offsets, namesCrcs }: FeedEdits,
  revision: number,
  chunk: number,
  at: number,
  namesCrc: number,
): void {
  const index = revision - base - 1
  chunks[index] = chunk
  offsets[index] = at
  namesCrcs[index] = namesCrc
}

/** Notes that the row of a revision is deleted. */
export function leaveFeed({ gone }: FeedEdits, collection: string, revision: number): void {
  const revisions = gone.get(collection)
  if (revisions === undefined) gone.set(collection, [revision])
  else revisions.push(revision)
}

export function writeFeed(
  db: Database,
  edits: FeedEdits,
  chunks: readonly Chunk[],
  rest: Rester['rest'],
): void {
  const blocks: BlockCounts = new Map()
  takeOut(db, edits, blocks, rest)
  append(db, edits, chunks, blocks, rest)
  writeBlocks(db, blocks)
}

/** By collection and block: the number of appended rows minus that of deleted ones. */
type BlockCounts = Map<string, Map<number, number>>

function takeOut(db: Database, { gone }: FeedEdits, blocks: BlockCounts, rest: Rester['rest']): void {
  for (const [collection, revisions] of gone)
    for (const revision of revisions) count(blocks, collection, revision, -1)
  const remove = db.query('DELETE FROM feed WHERE revision = ?')
  const all = gone.size === 1 ? [...gone.values()][0]! : [...gone.values()].flat()
  for (const revision of Float64Array.from(all).sort()) {
    remove.run(revision)
    rest()
  }
}

function append(
  db: Database,
  { base, chunks, offsets, namesCrcs }: FeedEdits,
  memory: readonly Chunk[],
  blocks: BlockCounts,
  rest: Rester['rest'],
): void {
  const insert = db.query('INSERT INTO feed VALUES (?, ?, ?, ?, ?)')
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i]!
    if (at === 0) continue
    const chunk = memory[chunks[i]!]!
    const revision = base + i + 1
    const collection = recordCollection(chunk, at)
    const kind = recordKind(chunk, at)
    const cause = kind === 'put' ? null : kind
    const checksum = feedChecksum(namesCrcs[i]!, recordCollectionBytes(chunk, at), revision, cause)
    insert.run(revision, collection, recordKey(chunk, at), cause, checksum)
    count(blocks, collection, revision, 1)
    rest()
  }
}

function count(blocks: BlockCounts, collection: string, revision: number, by: 1 | -1): void {
  let own = blocks.get(collection)
  if (own === undefined) {
    own = new Map()
    blocks.set(collection, own)
  }
  const block = Math.floor(revision / blockRevisions)
  own.set(block, (own.get(block) ?? 0) + by)
}

interface BlockRow {
  readonly changes: number
  readonly checksum: number
}

/** Updates the counts of the blocks. Each row has a checksum, so it is read, verified, changed and written back. */
function writeBlocks(db: Database, blocks: BlockCounts): void {
  const read = db.query<BlockRow, [string, number]>(
    'SELECT changes, checksum FROM feed_blocks WHERE collection = ? AND block = ?',
  )
  const put = db.query('INSERT OR REPLACE INTO feed_blocks VALUES (?, ?, ?, ?)')
  const remove = db.query('DELETE FROM feed_blocks WHERE collection = ? AND block = ?')
  for (const [collection, own] of blocks) {
    for (const [block, by] of own) {
      if (by === 0) continue
      const before = read.get(collection, block)
      if (before !== null && feedBlockChecksum(collection, block, before.changes) !== before.checksum)
        throw damagedStore(`the checksum of block ${block} of the feed of ${collection} does not match`)
      const changes = (before?.changes ?? 0) + by
      if (changes === 0) remove.run(collection, block)
      else put.run(collection, block, changes, feedBlockChecksum(collection, block, changes))
    }
  }
}
