/**
 * JavaScriptCore lets garbage grow in proportion to all that is alive, the mapped data file and the read cache included. So
 * garbage is collected by hand where much of it comes at once; that takes some milliseconds.
 */
export function collectGarbage(): void {
  Bun.gc(true)
}

export interface GarbageMeter {
  /** Counts what will be garbage, and collects when it comes to the limit. */
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
