/**
 * Returns the milliseconds of a monotonic clock, for durations, pauses and timeouts. The time of day comes from
 * elsewhere: `serve.ts` passes `now` to the modules that need it.
 */
export function monotonicMs(): number {
  return performance.now()
}
