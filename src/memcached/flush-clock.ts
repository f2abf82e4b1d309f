import { keyedMutex } from '../core/keyed-mutex.ts'

/** Empties the collection for `flush_all`, at once or later. */
export interface FlushClock {
  /** Empties the collection and cancels a scheduled flush. Concurrent calls run one after another. */
  now(): Promise<void>
  /** Schedules a flush, replacing one scheduled before. It is lost when the process ends. */
  at(atMs: number): void
  stop(): void
}

/** The longest delay of a timer. */
const maxTimerMs = 2 ** 31 - 1

export function flushClock(
  empty: () => Promise<unknown>,
  nowMs: () => number,
  onError: (error: unknown) => void,
): FlushClock {
  const exclusive = keyedMutex()
  let timer: NodeJS.Timeout | undefined

  async function now(): Promise<void> {
    clearTimeout(timer)
    await exclusive(['flush'], empty)
  }

  function at(atMs: number): void {
    clearTimeout(timer)
    const aheadMs = atMs - nowMs()
    timer =
      aheadMs > maxTimerMs
        ? setTimeout(() => at(atMs), maxTimerMs)
        : setTimeout(() => now().catch(onError), Math.max(0, aheadMs))
    timer.unref()
  }

  return { now, at, stop: () => clearTimeout(timer) }
}
