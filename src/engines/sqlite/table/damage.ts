import { KvistError } from '../../../core/errors.ts'

/** The error for damaged data of a member. The client sees which member it is; `what` is only for the server's log. */
export function damagedMember(collection: string, key: string, what: string): KvistError {
  const detail = `what is stored of ${JSON.stringify(key)} in ${collection} is damaged`
  return new KvistError('damaged', detail, { collection, key }, new Error(what))
}

/** Maps the error of a failed read to a KvistError: `damaged` or `storage_failed`. */
export function readFault(error: unknown): KvistError {
  if (error instanceof KvistError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  // Kvist's statements are valid for its schema, so SQLITE_ERROR means that the schema in the file is damaged.
  const isDamage = /^SQLITE_(CORRUPT|NOTADB|ERROR$)/.test(code)
  if (isDamage) return new KvistError('damaged', 'what is stored here is damaged', {}, error)
  return new KvistError('storage_failed', 'the tables cannot be read', {}, error)
}

/** As `damagedMember`, where the member is unknown. */
export function damagedStore(what: string): KvistError {
  return new KvistError('damaged', 'what is stored here is damaged', {}, new Error(what))
}
