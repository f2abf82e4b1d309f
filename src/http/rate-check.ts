import type { ClientLimits, LimitCounts } from '../auth/client-limits.ts'
import { showRate } from '../core/rate.ts'
import type { RateLimit } from '../core/rate-limit.ts'
import type { RequestContext } from './context.ts'
import { RateFields } from './rate-fields.ts'

/** Rates whose header fields are kept: that of the server, and those of tokens with one of their own. */
const maxKnown = 64

/**
 * Returns the check that counts a request against the rate of its client, and sets the header lines that say what is
 * left. It throws `rate_limited`.
 */
export function rateCheck(limits: ClientLimits, counts: LimitCounts): (context: RequestContext) => void {
  const known = new Map<string, RateFields>()
  let last: RateLimit | null = null
  let fields: RateFields | null = null

  function fieldsOf(limit: RateLimit): RateFields {
    if (limit === last && fields !== null) return fields
    const rate = showRate(limit.rate)
    fields = known.get(rate) ?? new RateFields(limit)
    if (known.size >= maxKnown) known.clear()
    known.set(rate, fields)
    last = limit
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
