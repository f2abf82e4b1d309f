import type { Database } from 'bun:sqlite'
import { closeSync, fdatasyncSync, openSync, statSync } from 'node:fs'
import { pageBytes } from '../btree/page-format.ts'
import { committedPages, readAt } from '../table/sqlite-log.ts'
import { waitForLocks } from '../table/table.ts'
import { syncPath, writeFully } from '../wal/log-files.ts'
import type { Rester } from './rests.ts'
import { writeBack } from './writeback.ts'

/**
 * Checkpoints: the pages in SQLite's write-ahead log move into the file. SQLite does that, syncs the file and truncates the
 * log in one call, and writers that sync kvist's log meanwhile wait for a hundred megabytes. So after a job that rests,
 * `movePages` has it move them without a sync, and `settle` syncs the file a little at a time.
 *
 * Until the file is synced the log has all of its pages, and a start after a power cut moves them again. Nothing may write to the
 * tables meanwhile, for SQLite would begin the log anew; nor may its last connection be closed, which removes it.
 */

/** Kvist's readers block a checkpoint for a tick of the event loop at most; longer blocks come from other programs. */
export const checkpointWaitMs = 500

/** Moves all pages, syncs the file and truncates the log. Leaves it for a later call while another program blocks it. */
export function checkpoint(db: Database): void {
  waitForLocks(db, checkpointWaitMs)
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  waitForLocks(db)
}

/** Moves the pages and syncs nothing: `settle` has to follow. Returns whether all were moved; another program may block it. */
export function movePages(db: Database): boolean {
  // Another program may have committed what it did not sync.
  withLog(db, fdatasyncSync)
  db.run('PRAGMA synchronous = OFF')
  waitForLocks(db, checkpointWaitMs)
  try {
    const [busy, frames, moved] = db.query('PRAGMA wal_checkpoint(FULL)').values()[0]!
    return busy === 0 && frames === moved
  } finally {
    waitForLocks(db)
    db.run('PRAGMA synchronous = FULL')
  }
}

export interface Settling {
  /** The tables' file. */
  readonly fd: number
  /** After a failure the system may have dropped pages that it could not write: all of the log's are written once more. */
  readonly isRepeated: boolean
  /**
   * The log keeps its length up to this one. The next job then writes over it: it would wait for the file system to allocate its
   * blocks, and writers for the freeing of those.
   */
  readonly keptBytes: number
}

/** Syncs the file after `movePages`, with a pause after each part. Returns whether the log was kept. */
export function settle(
  db: Database,
  { fd, isRepeated, keptBytes }: Settling,
  pause: Rester['pause'],
): boolean {
  if (isRepeated) withLog(db, (log) => writePages(fd, log))
  writeBack(fd, pause)
  fdatasyncSync(fd)
  const isKept = statSync(`${db.filename}-wal`).size <= keptBytes
  if (!isKept) checkpoint(db)
  return isKept
}

/**
 * Syncs the file if a log is left beside it, before SQLite opens it: a process that was killed may have moved pages that it
 * had not synced, which a program that has the tables open meanwhile keeps SQLite from moving again.
 */
export function syncLeftTables(path: string): void {
  if ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0) return
  syncPath(path)
}

/** Writes the pages of the log to the file. */
function writePages(fd: number, log: number): void {
  const bytes = Buffer.alloc(pageBytes)
  for (const [page, offset] of committedPages(log).offsets)
    if (readAt(log, bytes, offset, pageBytes)) writeFully(fd, bytes, (page - 1) * pageBytes)
}

/** Opens SQLite's write-ahead log for a function. */
export function withLog<Result>(db: Database, use: (fd: number) => Result): Result {
  // SQLite has no locks on this file, so it can be closed.
  const fd = openSync(`${db.filename}-wal`, 'r')
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}
