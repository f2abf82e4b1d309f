import { Database } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { RefusedFile, refusal, sqliteCode } from './table/table.ts'

/**
 * Locks a data folder for this process. Throws RefusedFile where another process holds the lock. It is SQLite's exclusive
 * lock on an empty file beside the data: the system releases it however the process ends, so it is never stale.
 */
export function lockFolder(dir: string): { release(): void } {
  return lock(dir, { create: true, readwrite: true }, 'BEGIN EXCLUSIVE')
}

/**
 * Locks a data folder against a process that writes it, and writes nothing itself: several may read. A folder without the lock's
 * file has been opened by no kvist.
 */
export function lockForReading(dir: string): { release(): void } {
  if (!existsSync(join(dir, 'lock'))) return { release() {} }
  return lock(dir, { readonly: true }, 'BEGIN; SELECT count(*) FROM sqlite_schema')
}

function lock(dir: string, options: { create?: true; readwrite?: true; readonly?: true }, sql: string) {
  const path = join(dir, 'lock')
  let db: Database | undefined
  try {
    db = new Database(path, options)
    db.run('PRAGMA busy_timeout = 0')
    if (options.readonly !== true) db.run('PRAGMA journal_mode = MEMORY')
    db.run(sql)
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
