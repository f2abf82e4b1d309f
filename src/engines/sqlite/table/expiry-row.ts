import type { Database } from 'bun:sqlite'
import { crcOfText, expiryChecksum } from './row-checksum.ts'

/** Returns a function that inserts rows of `expiries`. */
export function expiryWriter(db: Database): (expiresAtMs: number, collection: string, key: string) => void {
  const insert = db.query('INSERT INTO expiries VALUES (?, ?, ?, ?)')
  return (expiresAtMs, collection, key) => {
    const namesCrc = crcOfText(key, crcOfText(collection))
    const checksum = expiryChecksum(namesCrc, Buffer.byteLength(collection), expiresAtMs)
    insert.run(expiresAtMs, collection, key, checksum)
  }
}
