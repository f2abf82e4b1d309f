import { keyedMutex } from '../core/keyed-mutex.ts'

/** When the collection is to be emptied: what `flush_all` asks for. */
export interface FlushClock {
  /** Empties it, and takes back a flush that was to come. Several go one after the other. */
  now(): Promise<void>
  /** Lets it be emptied at a moment, in place of an earlier asked moment. Forgotten when the process ends. */
  at(atMs: number): void
  stop(): void
}

/** Timers cannot be set further ahead. */
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
