/** The page's clock: one timer for all that counts down or says how long ago something was. */

class Clock {
  /** Milliseconds since 1970, at most a second old. Reactive. */
  ms: number = $state(Date.now())

  constructor() {
    setInterval(() => this.#tick(), 1000)
    document.addEventListener('visibilitychange', () => this.#tick())
  }

  #tick(): void {
    if (document.visibilityState === 'visible') this.ms = Date.now()
  }
}

export const clock = new Clock()

/** Returns milliseconds since 1970, exactly; not reactive. */
export function nowMs(): number {
  return Date.now()
}

/** Returns milliseconds of a clock that only goes forward, to measure durations. */
export function monotonicMs(): number {
  return performance.now()
}
