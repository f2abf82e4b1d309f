import type { Database } from 'bun:sqlite'
import { existsSync, rmSync } from 'node:fs'
import { collectGarbage, garbageMeter } from '../../../runtime/garbage.ts'
import { type PinnedFacts, readFacts } from '../pin/pin-tables.ts'
import { type PinnedPages, savePages } from '../pin/pinned-pages.ts'
import { freeBytes, openForWriting, sqliteCode } from '../table/table.ts'
import { checkTables } from '../table/table-check.ts'
import { checkpoint, movePages, type Settling, settle, withLog } from './checkpoint.ts'
import { type FlushSource, flushSegments, forgetTombstones, garbageBytes } from './flush.ts'
import { type Rests, resterOf } from './rests.ts'
import { startWriteback } from './writeback.ts'

/**
 * The thread that writes the tables, so that the server's thread never waits for them. It runs one job at a time: the
 * engine sends the next one after the reply to the last.
 */
declare const self: Worker

export type Job =
  | {
      readonly do: 'flush'
      readonly dbPath: string
      readonly sources: readonly FlushSource[]
      readonly maxRecords: number
      readonly cacheBytes: number
      readonly rests: Rests
    }
  | { readonly do: 'forget'; readonly dbPath: string; readonly beforeMs: number; readonly limit: number }
  | { readonly do: 'snapshot'; readonly dbPath: string; readonly to: string }
  /** Checks the tables; damage is reported as a failure with the description as its detail. */
  | { readonly do: 'check'; readonly dbPath: string }
  /**
   * Moves the pages that earlier jobs wrote from SQLite's write-ahead log into the file. Pinned pages are saved before
   * that; `hasCommits` says that there is something to move.
   */
  | {
      readonly do: 'checkpoint'
      readonly dbPath: string
      readonly pinned: PinnedPages | null
      readonly hasCommits: boolean
      /** Whether the file is not synced now but by a `settle`, the next job that writes. */
      readonly isSettledLater: boolean
    }
  /** Syncs the tables' file after such a checkpoint (checkpoint.ts). */
  | ({ readonly do: 'settle'; readonly dbPath: string; readonly rests: Rests } & Settling)
  /** Checkpoints, and reads what the tables hold then. */
  | { readonly do: 'facts'; readonly dbPath: string }
  /** Closes the file. The last connection to do so checkpoints it, and removes its -wal and -shm. */
  | { readonly do: 'close' }

export type JobResult =
  | {
      readonly ok: true
      /** The number of forgotten tombstones. */
      readonly count: number
      /** After a flush: the last revision in the tables, and the free bytes in their file. */
      readonly revision: number
      readonly freeBytes: number
      /** How long a `flush` or a `settle` rested, in milliseconds. */
      readonly restedMs: number
      /** Whether a checkpoint that is settled later moved all pages into the file. */
      readonly isMoved: boolean
      /** Whether a `settle` left the log at its length. */
      readonly isLogKept: boolean
      /** The result of a `facts` job. */
      readonly facts?: PinnedFacts
    }
  | { readonly ok: false; readonly full: boolean; readonly detail: string }

let db: Database | undefined
/** A flush leaves some hundred megabytes of garbage strings. */
const garbage = garbageMeter(garbageBytes, collectGarbage)

function run(job: Job): JobResult {
  try {
    if (job.do === 'close') {
      db?.close()
      db = undefined
      return nothingDone
    }
    if (job.do === 'snapshot') {
      snapshot(job.dbPath, job.to)
      return nothingDone
    }
    if (job.do === 'check') return check(job.dbPath)
    db ??= openForWriting(job.dbPath)
    if (job.do === 'forget') return { ...nothingDone, count: forgetTombstones(db, job.beforeMs, job.limit) }
    if (job.do === 'flush') {
      return withLog(db, (log) => flush(db!, job, log))
    }
    if (job.do === 'facts') {
      checkpoint(db)
      return { ...nothingDone, facts: readFacts(db) }
    }
    if (job.do === 'settle') {
      const { pause, restedMs } = resterOf(job.rests)
      const isLogKept = settle(db, job, pause)
      return { ...nothingDone, isLogKept, restedMs: restedMs() }
    }
    if (job.pinned !== null) savePages(job.pinned, job.hasCommits)
    if (job.isSettledLater) return { ...nothingDone, isMoved: movePages(db) }
    checkpoint(db)
    return nothingDone
  } catch (error) {
    const code = sqliteCode(error)
    return {
      ok: false,
      full: code.startsWith('SQLITE_FULL') || code === 'ENOSPC',
      detail: error instanceof Error ? error.message : String(error),
    }
  }
}

/** The result of a job that had nothing to do. */
const nothingDone = {
  ok: true,
  count: 0,
  revision: 0,
  freeBytes: 0,
  restedMs: 0,
  isMoved: false,
  isLogKept: false,
} as const

/** Flushes segments, while SQLite's log, which `log` is, is written to the disk little by little. */
function flush(on: Database, job: Job & { do: 'flush' }, log: number): JobResult {
  const { sources, maxRecords, cacheBytes } = job
  const { rest, restedMs } = resterOf(job.rests, () => startWriteback(log))
  const revision = flushSegments(on, sources, maxRecords, cacheBytes, rest)
  return { ...nothingDone, revision, freeBytes: freeBytes(on), restedMs: restedMs() }
}

function check(dbPath: string): JobResult {
  using own = openForWriting(dbPath)
  const damage = checkTables(own)
  return damage === null ? nothingDone : { ok: false, full: false, detail: damage }
}

function snapshot(dbPath: string, to: string): void {
  using own = openForWriting(dbPath)
  const isTaken = existsSync(to)
  try {
    own.query('VACUUM INTO ?').run(to)
  } catch (error) {
    // A partial copy would only take disk space. A file that was there before is not ours to remove.
    if (!isTaken) rmSync(to, { force: true })
    throw error
  }
}

function bytesOf(sources: readonly FlushSource[]): number {
  return sources.reduce((sum, { memory }) => sum + memory.byteLength, 0)
}

self.onmessage = (event: MessageEvent<Job>) => {
  self.postMessage(run(event.data))
  // No caller waits for this thread now.
  if (event.data.do === 'flush') garbage.add(bytesOf(event.data.sources))
}
