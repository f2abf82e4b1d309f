import { KvistError } from './errors.ts'

/**
 * The clock of writes. The wall-clock time is a parameter everywhere, so that tests can set it.
 *
 * The hybrid logical clock (Kulkarni et al., 2014) orders writes across nodes without trusting their clocks to agree:
 * it follows the wall clock while that moves forward, and counts on from its last value while it does not. A stamp is
 * one number, milliseconds * 2048 + counter, which stays a safe integer until the year 2109.
 */

const countsPerMs = 2048

/** Returns the wall-clock part of a stamp, in milliseconds. */
export function stampToMs(stamp: number): number {
  return Math.floor(stamp / countsPerMs)
}

/** Returns the first stamp of a millisecond. */
export function msToStamp(ms: number): number {
  return ms * countsPerMs
}

export interface HybridClock {
  /** Returns a stamp larger than every stamp returned or observed before. */
  next(nowMs: number): number
  /** Observes a stamp read from disk at start or received from another node; later stamps are larger. */
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

/**
 * Throws `unprocessable` for a stamp of another node that is not a positive integer or is more than `maxAheadMs`
 * ahead. A clock that followed such a stamp would stay ahead for good.
 */
export function requireSaneStamp(stamp: number, nowMs: number, maxAheadMs: number): void {
  if (!Number.isSafeInteger(stamp) || stamp <= 0) {
    throw new KvistError('unprocessable', 'the clock of the origin is not a stamp')
  }
  const aheadMs = stampToMs(stamp) - nowMs
  if (aheadMs <= maxAheadMs) return
  const detail = `the clock of the origin is ${Math.ceil(aheadMs / 1000)} s ahead of this node's`
  throw new KvistError('unprocessable', detail, { limit_seconds: maxAheadMs / 1000 })
}
