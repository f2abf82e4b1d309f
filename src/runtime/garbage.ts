/**
 * JavaScriptCore lets garbage grow in proportion to all live memory, the mapped data file and the read cache included; so
 * code that produces much garbage at once has it collected.
 */

/** Runs a full collection, which takes the thread some milliseconds. */
export function collectGarbage(): void {
  Bun.gc(true)
}

/** Starts a full collection, most of which runs beside the calling thread. */
function startCollection(): void {
  Bun.gc(false)
}

export interface GarbageMeter {
  /** Counts memory that will be garbage, and has it collected when the sum reaches the limit. */
  add(amount: number): void
}

export function garbageMeter(limit: number, collect: () => void = startCollection): GarbageMeter {
  let sum = 0
  return {
    add(amount) {
      sum += amount
      if (sum < limit) return
      sum = 0
      collect()
    },
  }
}
