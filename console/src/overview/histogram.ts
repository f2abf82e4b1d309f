import type { Labels, Scrape } from './prometheus.ts'

/** Histograms of Prometheus: what lies between two scrapes, and quantiles of it. */

/** A bucket counts what is at most as large as its bound, so it contains those before it. */
export interface Bucket {
  readonly bound: number
  readonly count: number
}

/** Sums the selected series of a histogram. The buckets are ordered by their bounds, the last one's is infinite. */
export function bucketsOf(
  scrape: Scrape,
  name: string,
  counts: (labels: Labels) => boolean = () => true,
): readonly Bucket[] {
  const byBound = new Map<number, number>()
  for (const { labels, value } of scrape.get(`${name}_bucket`) ?? []) {
    const { le } = labels
    if (le === undefined || !counts(labels)) continue
    const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)
    if (!Number.isNaN(bound)) byBound.set(bound, (byBound.get(bound) ?? 0) + value)
  }
  return [...byBound].map(([bound, count]) => ({ bound, count })).sort((a, b) => a.bound - b.bound)
}

/** Returns what was counted after `before`. What `before` lacks had been 0. */
export function bucketsBetween(before: readonly Bucket[], after: readonly Bucket[]): readonly Bucket[] {
  const counts = new Map(before.map(({ bound, count }) => [bound, count]))
  return after.map(({ bound, count }) => ({ bound, count: Math.max(0, count - (counts.get(bound) ?? 0)) }))
}

/**
 * Returns the value below which the share `q` of what was counted lies, by linear interpolation within its bucket, as
 * `histogram_quantile` does; null if nothing was counted. In the last bucket it is the largest finite bound.
 */
export function quantileOf(buckets: readonly Bucket[], q: number): number | null {
  const total = buckets.at(-1)?.count ?? 0
  if (total <= 0) return null
  const rank = q * total
  let lower = { bound: 0, count: 0 }
  for (const bucket of buckets) {
    if (bucket.count >= rank && bucket.count > lower.count) {
      if (bucket.bound === Number.POSITIVE_INFINITY) return lower.bound
      const within = (rank - lower.count) / (bucket.count - lower.count)
      return lower.bound + (bucket.bound - lower.bound) * within
    }
    lower = bucket
  }
  return lower.bound
}
