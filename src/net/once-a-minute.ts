import type { SecondClock } from './connections.ts'

const reportSeconds = 60

/** Returns a function that calls `report` at most once a minute: how often clients cause a report is up to them. */
export function onceAMinute<Arguments extends unknown[]>(
  clock: SecondClock,
  report: (...about: Arguments) => void,
): (...about: Arguments) => void {
  let reportedAt = Number.NEGATIVE_INFINITY
  return (...about) => {
    if (clock.seconds - reportedAt < reportSeconds) return
    reportedAt = clock.seconds
    report(...about)
  }
}
