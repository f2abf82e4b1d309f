import type { StopTimer, Timers } from '../timers.ts'
import type { IndexStatus } from './registry.ts'

/**
 * Which builds other servers of the store are at, so that one server builds an index. It only saves work: a build does not go wrong
 * where two work on it.
 */
export interface OtherBuilders {
  /** Takes note of the progress of all indexes; called whenever it changes. */
  note(indexes: readonly IndexStatus[]): void
  /** Whether another server builds an index, and has said so lately. */
  isBusy(index: IndexStatus): boolean
  /** Wakes the builder when it is time to go on with what another server has left. */
  wakeLater(indexes: readonly IndexStatus[]): void
  stop(): void
}

/** A builder that stores no progress for so long has ended. */
const patienceMs = 3000

/** `builder` is the name of this server. */
export function otherBuilders(
  builder: string | null,
  { now, timers }: { readonly now: () => number; readonly timers: Timers },
  wake: () => void,
): OtherBuilders {
  const reported = new Map<string, { readonly progress: string; readonly atMs: number }>()
  let stopTimer: StopTimer | null = null

  function isBusy(index: IndexStatus): boolean {
    if (index.builder === null || index.builder === builder) return false
    const sinceMs = now() - (reported.get(index.id)?.atMs ?? 0)
    return sinceMs >= 0 && sinceMs < patienceMs
  }

  return {
    note(indexes) {
      if (builder === null) return
      for (const { id, builder: by, generation, position, examined } of indexes) {
        const progress = JSON.stringify([by, generation, position, examined])
        if (reported.get(id)?.progress !== progress) reported.set(id, { progress, atMs: now() })
      }
    },
    isBusy,
    wakeLater(indexes) {
      if (stopTimer !== null || !indexes.some((one) => one.state === 'building' && isBusy(one))) return
      stopTimer = timers.after(patienceMs, () => {
        stopTimer = null
        wake()
      })
    },
    stop() {
      stopTimer?.()
    },
  }
}
