/** Milliseconds since some moment, by a clock that is never set. */
export function monotonicMs(): number {
  return performance.now()
}
