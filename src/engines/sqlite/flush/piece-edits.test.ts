import type { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from '../../../../test/support/engine.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { openForWriting } from '../table/table.ts'
import { checkpoint } from './checkpoint.ts'
import { type PieceEdits, writePieces } from './piece-edits.ts'

const countFile = '/proc/self/io'
const memory = new Uint8Array(100_000).fill(7)
const values = 60

/** The bytes that the process has read by system calls. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)/.exec(readFileSync(countFile, 'utf8'))![1])
}

/** Writes pieces in a transaction whose pages SQLite cannot all keep, and returns what its commit reads. */
function bytesReadByCommit(db: Database, edits: PieceEdits): number {
  db.run('BEGIN IMMEDIATE')
  writePieces(db, edits, () => {})
  const before = bytesRead()
  db.run('COMMIT')
  return bytesRead() - before
}

test('a commit reads nothing back of the large values that were written before it', () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'kvist.db')
  using db = openForWriting(path)
  db.run('PRAGMA cache_size = -500')
  const r = random(seedOfRun())
  const shuffled = (from: number) => {
    return Array.from({ length: values }, (_, i) => ({ revision: from + i, by: r.int(1e6) }))
      .sort((a, b) => a.by - b.by)
      .map(({ revision }) => revision)
  }
  const largeValue = (revision: number) => ({ revision, memory, from: 0, to: memory.length })
  for (let job = 0; job < 3; job++) {
    const gone = job === 0 ? [] : shuffled((job - 1) * values + 1)
    const come = shuffled(job * values + 1).map(largeValue)
    expect(bytesReadByCommit(db, { gone, come })).toBeLessThan(statSync(`${path}-wal`).size / 20)
    checkpoint(db)
  }
  expect(db.query('SELECT count(*), sum(length(bytes)) FROM value_pieces').values()).toEqual([
    [2 * values, values * memory.length],
  ])
})
