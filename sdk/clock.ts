/** Returns the milliseconds of a monotonic clock. */
export function monotonicMs(): number {
  return performance.now()
}
