import type { Engine } from './engine.ts'
import { nextTurn } from './turn.ts'

/**
 * Forgets the tombstones of members that are gone for long. A reader of the feed that comes back later than that is
 * told to begin again. Small batches with a turn between them, as the sweeper's: nobody waits for this.
 */
export interface Compactor {
  stop(): Promise<void>
}

/** For how long tombstones are kept where nobody says. */
export const defaultTombstonesMs = 7 * 24 * 3_600_000
const compactEveryMs = 60_000
const batchTombstones = 1000

/** Keeps tombstones for `keepMs`. */
export function startCompactor(
  engine: Engine,
  keepMs: number,
  now: () => number,
  onError: (error: unknown) => void,
): Compactor {
  let stopped = false
  let running: Promise<void> | null = null

  async function compact(): Promise<void> {
    while (!stopped) {
      const forgotten = await engine.forget(now() - keepMs, batchTombstones)
      if (forgotten < batchTombstones) return
      await nextTurn()
    }
  }

  const timer = setInterval(() => {
    running ??= compact()
      .catch(onError)
      .finally(() => {
        running = null
      })
  }, compactEveryMs)
  timer.unref()

  return {
    async stop() {
      stopped = true
      clearInterval(timer)
      await running
    },
  }
}
