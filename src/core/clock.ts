/**
 * Time, passed in wherever it is needed so that tests can set it.
 *
 * The hybrid logical clock (Kulkarni et al., 2014) orders writes across nodes without trusting their clocks to agree:
 * it is the wall clock while that moves forward, and counts on from its last value while it does not. A stamp is one
 * number, milliseconds * 2048 + counter, which stays a safe integer until the year 2109.
 */

const countsPerMs = 2048

/** The wall-clock part of a stamp. */
export function stampToMs(stamp: number): number {
  return Math.floor(stamp / countsPerMs)
}

/** The first stamp of a millisecond. */
export function msToStamp(ms: number): number {
  return ms * countsPerMs
}

export interface HybridClock {
  /** A stamp larger than every stamp given or seen before. */
  next(nowMs: number): number
  /** Takes note of a stamp from elsewhere: from disk at start, or from another node. */
  observe(stamp: number): void
}

export function hybridClock(): HybridClock {
  let last = 0
  return {
    next(nowMs) {
      last = Math.max(last + 1, msToStamp(nowMs))
      return last
    },
    observe(stamp) {
      if (stamp > last) last = stamp
    },
  }
}
