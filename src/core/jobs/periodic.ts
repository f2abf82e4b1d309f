import { nextTick } from '../next-tick.ts'

/** Work that is done beside the requests, again and again, in small batches with a tick between them. */
export interface PeriodicJob {
  /** Waits for the batch under way and begins no other. */
  stop(): Promise<void>
}

/**
 * Starts a run every `everyMs` unless the one before goes on. It calls `batch` until that returns that nothing is left. What a
 * run leaves undone because it fails is for the next one: a full disk, say, may have room by then.
 */
export function startPeriodic(
  everyMs: number,
  batch: () => Promise<boolean>,
  onError: (error: unknown) => void,
): PeriodicJob {
  let isStopped = false
  let running: Promise<void> | null = null

  async function run(): Promise<void> {
    while (!isStopped && (await batch())) await nextTick()
  }

  const timer = setInterval(() => {
    running ??= run()
      .catch(onError)
      .finally(() => {
        running = null
      })
  }, everyMs)
  timer.unref()

  return {
    async stop() {
      isStopped = true
      clearInterval(timer)
      await running
    },
  }
}
