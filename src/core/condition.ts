import { stampToMs } from './clock.ts'
import { KvistError } from './errors.ts'
import type { Member } from './member.ts'

/** The condition of a write on the member as it exists; `any` matches every revision of an existing member. */
export interface Condition {
  readonly ifMatch?: readonly number[] | 'any'
  readonly ifNoneMatch?: readonly number[] | 'any'
  /** The member must exist and must not have been written after this time. */
  readonly unmodifiedSinceMs?: number
}

/** Throws `precondition_failed`, with the member's revision, unless the condition holds. */
export function requireCondition(
  { ifMatch, ifNoneMatch, unmodifiedSinceMs }: Condition,
  current: Member | null,
): void {
  const revision = current?.revision ?? null
  if (ifMatch !== undefined) {
    if (revision === null)
      throw new KvistError('precondition_failed', 'there is no such member', { revision })
    if (ifMatch !== 'any' && !ifMatch.includes(revision)) {
      throw new KvistError('precondition_failed', `the member is at revision ${revision}`, { revision })
    }
  }
  if (unmodifiedSinceMs !== undefined) {
    if (current === null) throw new KvistError('precondition_failed', 'there is no such member', { revision })
    if (stampToMs(current.clock) > unmodifiedSinceMs) {
      throw new KvistError('precondition_failed', `the member was written since, at revision ${revision}`, {
        revision,
      })
    }
  }
  if (ifNoneMatch === undefined || revision === null) return
  if (ifNoneMatch === 'any' || ifNoneMatch.includes(revision)) {
    throw new KvistError('precondition_failed', `the member exists, at revision ${revision}`, { revision })
  }
}
