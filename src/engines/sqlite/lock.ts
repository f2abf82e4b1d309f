import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { RefusedFile } from './table.ts'

/**
 * Holds a data folder for this process alone. The lock is SQLite's own, on an empty file beside the data: the
 * operating system lets go of it however the process ends, so there is never a stale one.
 */
export function lockFolder(dir: string): { release(): void } {
  const db = new Database(join(dir, 'lock'), { create: true, readwrite: true })
  try {
    db.run('PRAGMA busy_timeout = 0')
    db.run('PRAGMA journal_mode = MEMORY')
    db.run('BEGIN EXCLUSIVE')
  } catch {
    db.close()
    throw new RefusedFile(`${dir} is held by another kvist`)
  }
  return { release: () => db.close() }
}
