import type { Rate } from './rate.ts'

/**
 * A token bucket as one number: when it is full again, by a monotonic clock. Each request moves that time on by what
 * one request takes to refill, and is refused where that would pass what the bucket holds (GCRA, ITU-T I.371). Between
 * requests nothing has to be done, and a bucket whose time has passed says no more than a new one.
 */
export interface RateBucket {
  fullAtMs: number
}

/** A rate as the arithmetic of its buckets. */
export class RateLimit {
  readonly rate: Rate
  /** The time in which one request is refilled. */
  private readonly requestMs: number
  /** The time in which an empty bucket is full again. */
  private readonly depthMs: number

  constructor(rate: Rate) {
    this.rate = rate
    this.requestMs = (rate.windowSeconds * 1000) / rate.requests
    this.depthMs = this.requestMs * rate.burst
  }

  /** Takes one request out of a bucket. Returns how many are left in it, or -1 and takes none when it has none. */
  take(bucket: RateBucket, nowMs: number): number {
    const afterMs = Math.max(bucket.fullAtMs, nowMs) + this.requestMs
    const leftMs = this.depthMs - (afterMs - nowMs)
    // Sums of fractions of a millisecond are not exact: half a microsecond decides nothing.
    if (leftMs < -roundingMs) return -1
    bucket.fullAtMs = afterMs
    return Math.floor((leftMs + roundingMs) / this.requestMs)
  }

  /** Returns the time until a bucket has a request again: 0 when it has one. */
  waitMs({ fullAtMs }: RateBucket, nowMs: number): number {
    return Math.max(0, fullAtMs + this.requestMs - this.depthMs - nowMs)
  }
}

const roundingMs = 0.0005

/**
 * Buckets by key, in bounded memory. A key that was not used while `maxKeys / 2` others were may be evicted: it then
 * begins with a full bucket, as every new key does, so that many keys gain no more by eviction than by their number.
 *
 * Two generations instead of a list in order of use: a key that was used lately costs one look into a map.
 */
export class RateBuckets {
  private readonly generationKeys: number
  private current = new Map<string, RateBucket>()
  private previous = new Map<string, RateBucket>()

  constructor(maxKeys: number) {
    this.generationKeys = Math.ceil(maxKeys / 2)
  }

  /** Returns the bucket of a key: a full one for a key that is new. */
  get(key: string): RateBucket {
    return this.current.get(key) ?? this.renew(key)
  }

  /** Buckets in memory. */
  get size(): number {
    return this.current.size + this.previous.size
  }

  private renew(key: string): RateBucket {
    const bucket = this.previous.get(key) ?? { fullAtMs: Number.NEGATIVE_INFINITY }
    if (this.current.size >= this.generationKeys) {
      this.previous = this.current
      this.current = new Map()
    } else {
      this.previous.delete(key)
    }
    this.current.set(key, bucket)
    return bucket
  }
}
