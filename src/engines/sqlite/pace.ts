/**
 * Slows writers down little by little where the tables are slower than the log: the room that is left shall last until
 * the job under way gives some back. Otherwise they would run ahead, and then all of them wait at once, for seconds.
 */
export interface Pace {
  /**
   * How long to wait after a group of so many bytes: `room` bytes may still be written, and the job takes `busyForMs`
   * yet, 0 where there is none.
   */
  pauseMs(nowMs: number, bytes: number, room: number, busyForMs: number): number
}

/** Timers are no finer than this; what is less adds up. */
const leastPauseMs = 2
/** So that nobody waits long for a job that ends sooner than thought. */
const longestPauseMs = 50

export function startPace(): Pace {
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

/** What is left of a job of which was thought that it takes so long: one that takes longer may take as long again. */
export function stillBusyMs(thoughtMs: number, soFarMs: number): number {
  return soFarMs < thoughtMs ? Math.max(thoughtMs - soFarMs, soFarMs / 10) : soFarMs
}
