import { type Histogram, histogram, observe } from '../core/histogram.ts'
import type { StopTimer, Timers } from '../core/timers.ts'

/** How late a timer of the thread that answers requests is: `monitorEventLoopDelay` measures nothing under Bun. */

const everyMs = 20
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]

export interface LoopDelay {
  readonly seconds: Histogram
  readonly stop: StopTimer
}

/** Starts measuring, with a monotonic clock in milliseconds. */
export function measureLoopDelay(timers: Timers, nowMs: () => number): LoopDelay {
  const seconds = histogram(bounds)
  let dueMs = nowMs() + everyMs
  const stop = timers.every(everyMs, () => {
    const atMs = nowMs()
    observe(seconds, Math.max(0, atMs - dueMs) / 1000)
    dueMs = atMs + everyMs
  })
  return { seconds, stop }
}
