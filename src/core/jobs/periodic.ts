import { nextTick } from '../next-tick.ts'
import type { Timers } from '../timers.ts'

/** Background work, done periodically in small batches with a tick between them. */
export interface PeriodicJob {
  /** Waits for the batch under way and starts no other. */
  stop(): Promise<void>
}

/**
 * Starts a run every `everyMs` unless the previous one is still running. A run calls `batch` until it returns false for
 * nothing left. A failed run leaves the rest to the next one: a full disk, say, may have room by then.
 */
export function startPeriodic(
  timers: Timers,
  everyMs: number,
  batch: () => Promise<boolean>,
  onError: (error: unknown) => void,
): PeriodicJob {
  let isStopped = false
  let running: Promise<void> | null = null

  async function run(): Promise<void> {
    while (!isStopped && (await batch())) await nextTick()
  }

  const stopTimer = timers.every(everyMs, () => {
    running ??= run()
      .catch(onError)
      .finally(() => {
        running = null
      })
  })

  return {
    async stop() {
      isStopped = true
      stopTimer()
      await running
    },
  }
}
