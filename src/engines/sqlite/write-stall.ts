/**
 * Throttles writers where flushing is slower than the log, so that the room that is left lasts until the flush job
 * under way frees some. Without it writers run ahead and then all of them wait at once, for seconds.
 */
export interface WriteStall {
  /**
   * How long to wait after a group of `bytes`, while `room` bytes may still be written and the flush job takes
   * `busyForMs` more, 0 for no job.
   */
  pauseMs(nowMs: number, bytes: number, room: number, busyForMs: number): number
}

/** Timers are no finer than this; shorter pauses add up until they reach it. */
const leastPauseMs = 2
/** Bounds each pause, for a job may end sooner than estimated. */
const longestPauseMs = 50

export function startWriteStall(): WriteStall {
  let lastMs = 0
  /** By how much writers are ahead. */
  let aheadMs = 0
  return {
    pauseMs(nowMs, bytes, room, busyForMs) {
      const dueMs = (bytes * busyForMs) / Math.max(room, 1)
      aheadMs = busyForMs === 0 ? 0 : Math.max(0, aheadMs + dueMs - (nowMs - lastMs))
      lastMs = nowMs
      return aheadMs > leastPauseMs ? Math.min(aheadMs, longestPauseMs) : 0
    },
  }
}

/** Remaining time of a job given its estimate; one that overran is assumed to need as long again. */
export function remainingJobMs(estimateMs: number, elapsedMs: number): number {
  return elapsedMs < estimateMs ? Math.max(estimateMs - elapsedMs, elapsedMs / 10) : elapsedMs
}
