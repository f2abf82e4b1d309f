import { KvistError } from '../core/errors.ts'
import { maxRatedAddresses, maxRatedTokens, maxWrongTokensPerMinute } from '../core/limits.ts'
import { type Rate, showRate } from '../core/rate.ts'
import { type RateBucket, RateBuckets, RateLimit } from '../core/rate-limit.ts'
import { type Principal, tokenIdOf } from './principal.ts'

export interface ClientLimitOptions {
  /** The rate of each token that has none of its own, and of each client without one; null for no limit. */
  readonly rate: Rate | null
  /** Milliseconds of a monotonic clock. */
  readonly monotonicMs: () => number
}

/** What was refused, since the start. */
export interface LimitCounts {
  /** Requests beyond the rate of their token or address. */
  rateLimited: number
  /** Wrong tokens. */
  wrongTokens: number
  /** Those of them that were too many of one address. */
  wrongTokensLimited: number
}

export function limitCounts(): LimitCounts {
  return { rateLimited: 0, wrongTokens: 0, wrongTokensLimited: 0 }
}

/** The refusal of a request that was too many. */
interface RateRefusal {
  readonly error: KvistError
  readonly retryAfterSeconds: number
}

/** The rates of the clients of a server, whatever protocol they speak. Clients are distinguished by token, else network. */
export class ClientLimits {
  private readonly usual: RateLimit | null
  private readonly monotonicMs: () => number
  private readonly byToken = new RateBuckets(maxRatedTokens)
  private readonly byNetwork = new RateBuckets(maxRatedAddresses)
  private readonly wrongTokens = new RateBuckets(maxRatedAddresses)

  constructor({ rate, monotonicMs }: ClientLimitOptions) {
    this.usual = rate === null ? null : new RateLimit(rate)
    this.monotonicMs = monotonicMs
  }

  /** Returns the limit of a client; null when it has none. */
  limitOf({ rateLimit }: Principal): RateLimit | null {
    return rateLimit ?? this.usual
  }

  /** Counts a request. Returns how many the client may still send at once; -1 when this one is too many. */
  take(limit: RateLimit, principal: Principal, network: string): number {
    return limit.take(this.bucketOf(principal, network), this.monotonicMs())
  }

  /** Returns the error of a request that was too many, and after what time the client has another one. */
  refusal(limit: RateLimit, principal: Principal, network: string): RateRefusal {
    const waitMs = limit.waitMs(this.bucketOf(principal, network), this.monotonicMs())
    const sender = tokenIdOf(principal) === null ? 'this address' : 'this token'
    return rateRefusal(`${sender} sends more than ${showRate(limit.rate)}`, limit, waitMs)
  }

  /**
   * Counts a wrong token. Returns the error when the network has sent too many of them: what it is to get instead of
   * a response that the token is wrong. A right token is accepted all the same, or one client could lock out the others
   * behind the same address.
   */
  wrongToken(network: string, counts: LimitCounts): KvistError | null {
    const bucket = this.wrongTokens.get(network)
    const nowMs = this.monotonicMs()
    counts.wrongTokens++
    if (wrongTokenLimit.take(bucket, nowMs) >= 0) return null
    counts.wrongTokensLimited++
    const waitMs = wrongTokenLimit.waitMs(bucket, nowMs)
    return rateRefusal('this address sends too many wrong tokens', wrongTokenLimit, waitMs).error
  }

  private bucketOf(principal: Principal, network: string): RateBucket {
    const id = tokenIdOf(principal)
    return id === null ? this.byNetwork.get(network) : this.byToken.get(id)
  }
}

const wrongTokenLimit = new RateLimit({
  requests: maxWrongTokensPerMinute,
  windowSeconds: 60,
  burst: maxWrongTokensPerMinute,
})

function rateRefusal(why: string, { rate }: RateLimit, waitMs: number): RateRefusal {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000))
  const error = new KvistError('rate_limited', `${why}: try again in ${retryAfterSeconds} s`, {
    limit: showRate(rate),
    retry_after_seconds: retryAfterSeconds,
  })
  return { error, retryAfterSeconds }
}
