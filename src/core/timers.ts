/**
 * Starts the timers of background work. Tests substitute their own, so that they need not wait for time to pass. A timer
 * does not keep the process alive.
 */
export interface Timers {
  /** Calls `run` every `ms` until the returned function is called. */
  every(ms: number, run: () => void): StopTimer
  /** Calls `run` once, after `ms`, unless the returned function is called before. */
  after(ms: number, run: () => void): StopTimer
}

export type StopTimer = () => void

export const realTimers: Timers = {
  every(ms, run) {
    const timer = setInterval(run, ms).unref()
    return () => clearInterval(timer)
  },
  after(ms, run) {
    const timer = setTimeout(run, ms).unref()
    return () => clearTimeout(timer)
  },
}
