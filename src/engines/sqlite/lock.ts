import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { RefusedFile, refusal, sqliteCode } from './table/table.ts'

/**
 * Locks a data folder for this process. Throws RefusedFile where another process holds the lock. It is SQLite's exclusive
 * lock on an empty file beside the data: the system releases it however the process ends, so it is never stale.
 */
export function lockFolder(dir: string): { release(): void } {
  const path = join(dir, 'lock')
  let db: Database | undefined
  try {
    db = new Database(path, { create: true, readwrite: true })
    db.run('PRAGMA busy_timeout = 0')
    db.run('PRAGMA journal_mode = MEMORY')
    db.run('BEGIN EXCLUSIVE')
  } catch (error) {
    db?.close()
    if (sqliteCode(error).startsWith('SQLITE_BUSY')) {
      throw new RefusedFile(`${dir} is held by another kvist`)
    }
    throw refusal(path, error)
  }
  const held = db
  return { release: () => held.close() }
}
