import type { Database } from 'bun:sqlite'
import { type Chunk, recordCollection, recordKey, recordKind } from './record.ts'
import { blockRevisions } from './table.ts'

/**
 * What a transaction does to the feed: rows at its end, for what the log says; and rows taken out, of what that took
 * the place of. Both go to the table in the order of revisions, in which neighbours share a page: so a row in a random
 * place costs a fraction of what an entry in an index on the members' revisions did (docs/design/engine-sqlite.md).
 */
export interface FeedEdits {
  /** Up to this revision the tables have the feed; rows that come have larger ones. */
  readonly base: number
  /** For each revision after `base` the chunk of its record, and the offset in it; 0 where the feed gets no row. */
  readonly chunks: Uint8Array
  readonly offsets: Uint32Array
  /** By collection. */
  readonly gone: Map<string, number[]>
}

export function feedEdits(base: number, last: number): FeedEdits {
  const count = last - base
  return { base, chunks: new Uint8Array(count), offsets: new Uint32Array(count), gone: new Map() }
}

/** A record's revision gets a row. */
export function enterFeed({ base, chunks, offsets }: FeedEdits, revision: number, chunk: number, at: number) {
  chunks[revision - base - 1] = chunk
  offsets[revision - base - 1] = at
}

/** The row of a revision is taken out. */
export function leaveFeed({ gone }: FeedEdits, collection: string, revision: number): void {
  const revisions = gone.get(collection)
  if (revisions === undefined) gone.set(collection, [revision])
  else revisions.push(revision)
}

export function writeFeed(db: Database, edits: FeedEdits, chunks: readonly Chunk[]): void {
  const blocks: BlockCounts = new Map()
  takeOut(db, edits, blocks)
  append(db, edits, chunks, blocks)
  writeBlocks(db, blocks)
}

/** By collection and block, how many rows come, less those that go. */
type BlockCounts = Map<string, Map<number, number>>

function takeOut(db: Database, { gone }: FeedEdits, blocks: BlockCounts): void {
  for (const [collection, revisions] of gone)
    for (const revision of revisions) count(blocks, collection, revision, -1)
  const remove = db.query('DELETE FROM feed WHERE revision = ?')
  const all = gone.size === 1 ? [...gone.values()][0]! : [...gone.values()].flat()
  for (const revision of Float64Array.from(all).sort()) remove.run(revision)
}

function append(
  db: Database,
  { base, chunks, offsets }: FeedEdits,
  memory: readonly Chunk[],
  blocks: BlockCounts,
): void {
  const insert = db.query('INSERT INTO feed VALUES (?, ?, ?, ?)')
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i]!
    if (at === 0) continue
    const chunk = memory[chunks[i]!]!
    const revision = base + i + 1
    const collection = recordCollection(chunk, at)
    const kind = recordKind(chunk, at)
    insert.run(revision, collection, recordKey(chunk, at), kind === 'put' ? null : kind)
    count(blocks, collection, revision, 1)
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

function writeBlocks(db: Database, blocks: BlockCounts): void {
  const add = db.query(`
    INSERT INTO feed_blocks VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET changes = changes + ?3`)
  const clear = db.query('DELETE FROM feed_blocks WHERE collection = ? AND block = ? AND changes = 0')
  for (const [collection, own] of blocks) {
    for (const [block, by] of own) {
      if (by !== 0) add.run(collection, block, by)
      if (by < 0) clear.run(collection, block)
    }
  }
}
