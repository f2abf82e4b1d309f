import { expect, test } from 'bun:test'
import { hybridClock, msToStamp, requireSaneStamp, stampToMs } from './clock.ts'
import { KvistError } from './errors.ts'
import { maxClockAheadMs } from './limits.ts'

const noonMs = Date.UTC(2026, 5, 1, 12)

test('stamps grow while the wall clock moves, stands still and goes back', () => {
  const clock = hybridClock()
  const stamps = [noonMs, noonMs, noonMs - 5000, noonMs + 1, noonMs + 1].map(clock.next)
  expect(stamps).toEqual([
    msToStamp(noonMs),
    msToStamp(noonMs) + 1,
    msToStamp(noonMs) + 2,
    msToStamp(noonMs + 1),
    msToStamp(noonMs + 1) + 1,
  ])
  expect(stamps.map(stampToMs)).toEqual([noonMs, noonMs, noonMs, noonMs + 1, noonMs + 1])
})

test('a stamp that was observed is passed by the next one, and an older one changes nothing', () => {
  const clock = hybridClock()
  clock.observe(msToStamp(noonMs) + 7)
  clock.observe(msToStamp(noonMs))
  expect(clock.next(noonMs)).toBe(msToStamp(noonMs) + 8)
})

test('a stamp from elsewhere is refused when it is none, or too far ahead', () => {
  const codeOf = (stamp: number) => {
    try {
      requireSaneStamp(stamp, noonMs, maxClockAheadMs)
      return 'none'
    } catch (error) {
      return error instanceof KvistError ? error.code : error
    }
  }
  const farthest = msToStamp(noonMs + maxClockAheadMs)
  for (const stamp of [1, msToStamp(noonMs), farthest, msToStamp(noonMs + maxClockAheadMs + 1) - 1])
    expect([stamp, codeOf(stamp)]).toEqual([stamp, 'none'])
  for (const stamp of [msToStamp(noonMs + maxClockAheadMs + 1), Number.MAX_SAFE_INTEGER, 2 ** 53, Infinity])
    expect([stamp, codeOf(stamp)]).toEqual([stamp, 'unprocessable'])
  for (const stamp of [0, -1, 1.5, Number.NaN])
    expect([stamp, codeOf(stamp)]).toEqual([stamp, 'unprocessable'])
})
