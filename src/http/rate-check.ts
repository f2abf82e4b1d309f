import type { ClientLimits, LimitCounts } from '../auth/client-limits.ts'
import type { RateLimit } from '../core/rate-limit.ts'
import type { RequestContext } from './context.ts'
import { RateFields } from './rate-fields.ts'

/**
 * Returns the check that counts a request against the rate of its client, and sets the header lines that say what is
 * left. It throws `rate_limited`.
 */
export function rateCheck(limits: ClientLimits, counts: LimitCounts): (context: RequestContext) => void {
  const fieldsByLimit = new WeakMap<RateLimit, RateFields>()
  const fieldsOf = (limit: RateLimit): RateFields => {
    const known = fieldsByLimit.get(limit)
    if (known !== undefined) return known
    const fields = new RateFields(limit)
    fieldsByLimit.set(limit, fields)
    return fields
  }
  return (context) => {
    const { principal, connection } = context
    const limit = limits.limitOf(principal)
    if (limit === null) return
    const left = limits.take(limit, principal, connection.network)
    if (left >= 0) {
      context.limitHeaders = fieldsOf(limit).left(left)
      return
    }
    counts.rateLimited++
    const { error, retryAfterSeconds } = limits.refusal(limit, principal, connection.network)
    context.limitHeaders = fieldsOf(limit).none(retryAfterSeconds)
    throw error
  }
}
