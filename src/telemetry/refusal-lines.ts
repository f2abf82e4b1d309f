import { maxRatedAddresses, maxRefusedLinesPerMinute } from '../core/limits.ts'
import { RateBuckets, RateLimit } from '../core/rate-limit.ts'

/**
 * Decides which refused requests have a line of their own. Who has no token can be refused as often as they like: they
 * must not fill the disk. So a network has so many lines in a minute, and the others are counted.
 */
export class RefusalLines {
  private readonly monotonicMs: () => number
  private readonly buckets = new RateBuckets(maxRatedAddresses)
  private counts = new Map<string, number>()

  constructor(monotonicMs: () => number) {
    this.monotonicMs = monotonicMs
  }

  /** Returns whether a refused request of this network has a line of its own; otherwise counts it. */
  take(network: string): boolean {
    if (limit.take(this.buckets.get(network), this.monotonicMs()) >= 0) return true
    const name = this.counts.has(network) || this.counts.size < maxCounted ? network : others
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    return false
  }

  /** Returns how many requests were counted since the last call, by network. */
  takeCounts(): ReadonlyMap<string, number> {
    const { counts } = this
    if (counts.size > 0) this.counts = new Map()
    return counts
  }
}

const limit = new RateLimit({
  requests: maxRefusedLinesPerMinute,
  windowSeconds: 60,
  burst: maxRefusedLinesPerMinute,
})

/** Networks that are counted apart in a minute. */
const maxCounted = 1000
const others = 'others'
