/**
 * Milliseconds since some moment, by a clock that is never set and does not go back: for durations, pauses and timeouts.
 * The time of day is not here: `serve.ts` passes `now` to what needs it.
 */
export function monotonicMs(): number {
  return performance.now()
}
