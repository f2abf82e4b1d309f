import { expect, test } from 'bun:test'
import { maxTimeMs } from '../core/limits.ts'
import { expiresAtMs, secondsLeft } from './times.ts'

const nowMs = 1_800_000_000_500
const day = 86_400

test('an exptime is never, over, from now, or from 1970', () => {
  expect(expiresAtMs(0, nowMs)).toBeNull()
  expect(expiresAtMs(-1, nowMs)).toBe(nowMs)
  expect(expiresAtMs(-99_999_999, nowMs)).toBe(nowMs)
  expect(expiresAtMs(1, nowMs)).toBe(nowMs + 1000)
  expect(expiresAtMs(30 * day, nowMs)).toBe(nowMs + 30 * day * 1000)
  expect(expiresAtMs(30 * day + 1, nowMs)).toBe((30 * day + 1) * 1000)
  expect(expiresAtMs(2_000_000_000, nowMs)).toBe(2_000_000_000_000)
  expect(expiresAtMs(Number.MAX_SAFE_INTEGER, nowMs)).toBe(maxTimeMs)
})

test('seconds left are begun ones, -1 for no end', () => {
  expect(secondsLeft(null, nowMs)).toBe(-1)
  expect(secondsLeft(nowMs + 1, nowMs)).toBe(1)
  expect(secondsLeft(nowMs + 30_000, nowMs)).toBe(30)
  expect(secondsLeft(nowMs - 5, nowMs)).toBe(0)
})
