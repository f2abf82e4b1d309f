import { KvistError } from '../../core/errors.ts'
import { defaultPageMembers, maxPageMembers } from '../../core/limits.ts'

/** Parses the `limit` of a page. A stream has no maximum, and without a limit it has all members. */
export function parseLimit(
  given: string | undefined,
  streamed: boolean,
  otherwise = defaultPageMembers,
): number {
  if (given === undefined) return streamed ? Number.POSITIVE_INFINITY : otherwise
  const limit = /^\d{1,15}$/.test(given) ? Number(given) : 0
  if (limit < 1 || (limit > maxPageMembers && !streamed)) {
    throw new KvistError('invalid_parameter', `limit is a number from 1 to ${maxPageMembers}`, {
      limit: maxPageMembers,
    })
  }
  return limit
}
