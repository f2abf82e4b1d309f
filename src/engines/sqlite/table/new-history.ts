import { Database } from 'bun:sqlite'
import { randomName } from '../../../core/origin.ts'
import { storeIdLength, writeMeta } from './schema.ts'

/**
 * Gives the tables of a restored store a new store id: what is written to it from now on is another history, into which
 * segments of the old log do not fit. The node id stays. No engine may have the file open.
 */
export function newHistory(dbPath: string): void {
  using db = new Database(dbPath, { readwrite: true, create: false })
  db.run('PRAGMA synchronous = FULL')
  writeMeta(db, 'store_id', randomName(storeIdLength))
}
