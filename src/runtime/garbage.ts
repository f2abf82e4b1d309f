/**
 * Runs a full garbage collection, which takes some milliseconds. JavaScriptCore lets garbage grow in proportion to all
 * live memory, the mapped data file and the read cache included; so code that produces much garbage at once calls this.
 */
export function collectGarbage(): void {
  Bun.gc(true)
}

export interface GarbageMeter {
  /** Counts memory that will be garbage, and runs a collection when the sum reaches the limit. */
  add(amount: number): void
}

export function garbageMeter(limit: number): GarbageMeter {
  let sum = 0
  return {
    add(amount) {
      sum += amount
      if (sum < limit) return
      sum = 0
      collectGarbage()
    },
  }
}
