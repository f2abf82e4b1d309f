import type { Timers } from '../../src/core/timers.ts'

/** Timers whose time passes only when the test says so; it is unrelated to the clock that is given as `now`. */
export interface ManualTimers extends Timers {
  /** Runs what is due within so many milliseconds, in the order of its times. */
  pass(ms: number): void
  /** How many timers are running. */
  running(): number
}

interface ManualTimer {
  dueMs: number
  readonly everyMs: number | null
  readonly run: () => void
}

export function manualTimers(): ManualTimers {
  const timers = new Set<ManualTimer>()
  let passedMs = 0

  function start(ms: number, everyMs: number | null, run: () => void) {
    const timer: ManualTimer = { dueMs: passedMs + ms, everyMs, run }
    timers.add(timer)
    return () => void timers.delete(timer)
  }

  function earliest(): ManualTimer | null {
    let found: ManualTimer | null = null
    for (const timer of timers) if (found === null || timer.dueMs < found.dueMs) found = timer
    return found
  }

  return {
    every: (ms, run) => start(ms, ms, run),
    after: (ms, run) => start(ms, null, run),
    pass(ms) {
      const endMs = passedMs + ms
      for (;;) {
        const timer = earliest()
        if (timer === null || timer.dueMs > endMs) break
        passedMs = timer.dueMs
        if (timer.everyMs === null) timers.delete(timer)
        else timer.dueMs += timer.everyMs
        timer.run()
      }
      passedMs = endMs
    },
    running: () => timers.size,
  }
}
