import type { RateLimit } from '../core/rate-limit.ts'
import { headerBlockOf } from './response.ts'

/**
 * The header fields that say how many requests are left (draft-ietf-httpapi-ratelimit-headers-11): the policy, which is
 * the same in all responses, and what the client has of it.
 */
export class RateFields {
  private readonly policy: string
  private readonly seconds: number
  /** Formatted lines, and of how many requests left they are: a number has the slot of its last bits. */
  private readonly blocks: string[] = new Array(slots).fill('')
  private readonly counts = new Int32Array(slots).fill(-1)

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
    const slot = requests & (slots - 1)
    if (this.counts[slot] !== requests) {
      this.counts[slot] = requests
      this.blocks[slot] = this.block(requests, this.seconds)
    }
    return this.blocks[slot]!
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

/** A power of two. */
const slots = 1024
