import { KvistError } from '../../../core/errors.ts'

/** What was found not to be as it was written: where, for the client and the log, and what, for the log alone. */
export function damagedMember(collection: string, key: string, what: string): KvistError {
  const detail = `what is stored of ${JSON.stringify(key)} in ${collection} is damaged`
  return new KvistError('damaged', detail, { collection, key }, new Error(what))
}

/** What a read that failed is to the engine's callers. */
export function readFault(error: unknown): KvistError {
  if (error instanceof KvistError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // The statements are kvist's own: one that SQLite does not understand finds other tables or columns than were made.
  const isDamage = /^SQLITE_(CORRUPT|NOTADB|ERROR$)/.test(code)
  if (isDamage) return new KvistError('damaged', 'what is stored here is damaged', {}, error)
  return new KvistError('storage_failed', 'the tables cannot be read', {}, error)
}

/** As `damagedMember`, where it cannot be said whose data it is. */
export function damagedStore(what: string): KvistError {
  return new KvistError('damaged', 'what is stored here is damaged', {}, new Error(what))
}
