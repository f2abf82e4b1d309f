/**
 * Milliseconds since some moment, by a clock that is never set and does not go back: for durations, pauses and timeouts.
 * What the time of day is comes as `now`, which `serve.ts` gives to those who need it.
 */
export function monotonicMs(): number {
  return performance.now()
}
