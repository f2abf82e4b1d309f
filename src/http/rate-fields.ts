import type { RateLimit } from '../core/rate-limit.ts'
import { headerBlockOf } from './response.ts'

/**
 * The header fields that say how many requests are left (draft-ietf-httpapi-ratelimit-headers-11): the policy, which is
 * the same in all responses, and what the client has of it.
 */
export class RateFields {
  private readonly policy: string
  private readonly seconds: number
  /** The lines for so many requests left: formatted once. */
  private readonly blocks: (string | undefined)[] = []

  constructor({ rate }: RateLimit) {
    const { requests, windowSeconds, burst } = rate
    const more = burst === requests ? '' : `;kvist-burst=${burst}`
    this.policy = `"default";q=${requests};w=${windowSeconds}${more}`
    this.seconds = Math.ceil(windowSeconds / requests)
  }

  /**
   * Returns the lines of a response after which so many requests are left. `t` is the time in which there will be no
   * more than those: that in which one is refilled.
   */
  left(requests: number): string {
    const shown = shownRequests(requests)
    // Numbers beyond the exact ones are hundreds: their blocks follow those of the exact ones.
    const index = shown <= maxExact ? shown : maxExact + shown / step
    this.blocks[index] ??= this.block(shown, this.seconds)
    return this.blocks[index]
  }

  /** Returns the lines of a response that refuses a request, and says after what time to try again. */
  none(retryAfterSeconds: number): string {
    return this.block(0, retryAfterSeconds)
  }

  private block(requests: number, seconds: number): string {
    return headerBlockOf({
      'RateLimit-Policy': this.policy,
      RateLimit: `"default";r=${requests};t=${seconds}`,
    })
  }
}

/** Numbers above this one are rounded down to hundreds, so that not every one needs lines of its own. */
const maxExact = 2000
const step = 100

function shownRequests(requests: number): number {
  return requests <= maxExact ? requests : requests - (requests % step)
}
