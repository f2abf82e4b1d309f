import { monotonicMs } from '../../../runtime/clock.ts'

/**
 * The rests of a flush job. One that works without them has a processor and the disk to itself for seconds, while puts wait
 * for both; with rests it lasts as long as writers leave room for, and each of them waits little.
 */
export interface Rests {
  /** The time of a rest per time of work before it; 0 for no rests. */
  readonly factor: number
  /** A word that both threads see: 1 once the rest of the job is to be done without a pause. */
  readonly hurry: Int32Array
}

export const noRests: Rests = { factor: 0, hurry: new Int32Array(new SharedArrayBuffer(4)) }

/** A job rests after this much work; timers are no finer. */
const leastWorkMs = 1.5
/** Work that took unusually long, such as a collection of garbage, is not followed by as long a rest. */
const longestRestMs = 20
const callsPerLook = 64
/** Parts that took less had nothing to write to the disk. */
const leastPartMs = 0.1
/** A pause after a part lets some syncs of kvist's log through. */
const leastPauseMs = 1

export interface Rester {
  /** Call it after each row: it rests when it is time to. */
  rest(): void
  /** Call it after a part of work that others wait for: it rests at once. */
  pause(): void
  /** How long it has rested. */
  restedMs(): number
}

/** `beforeRest` is called as often by a job without rests. */
export function resterOf({ factor, hurry }: Rests, beforeRest: () => void = () => {}): Rester {
  let calls = 0
  let sinceMs = monotonicMs()
  let restedMs = 0

  function restFor(ms: number): void {
    const nowMs = monotonicMs()
    sinceMs = nowMs
    if (factor === 0) return
    Atomics.wait(hurry, 0, 0, Math.min(ms, longestRestMs))
    sinceMs = monotonicMs()
    restedMs += sinceMs - nowMs
  }

  return {
    rest() {
      if (++calls % callsPerLook !== 0) return
      const workedMs = monotonicMs() - sinceMs
      if (workedMs < leastWorkMs) return
      beforeRest()
      restFor(workedMs * factor)
    },
    pause() {
      const workedMs = monotonicMs() - sinceMs
      if (workedMs >= leastPartMs) restFor(Math.max(workedMs * factor, leastPauseMs))
    },
    restedMs: () => restedMs,
  }
}

/** Has a job go on without rests. */
export function endRests({ hurry }: Rests): void {
  Atomics.store(hurry, 0, 1)
  Atomics.notify(hurry, 0)
}
