import { expect, test } from 'bun:test'
import { timeLeft } from './progress.ts'

test('the time left is in words that a person takes in at a glance, and never nonsense', () => {
  expect(timeLeft(100, 50)).toBe('2s')
  expect(timeLeft(101, 50)).toBe('3s')
  expect(timeLeft(59.5, 1)).toBe('1m0s')
  expect(timeLeft(3725, 1)).toBe('1h2m')
  expect(timeLeft(0, 10)).toBe('0s')
  // Nothing is done yet, or no time has passed.
  for (const rate of [0, Number.NaN]) expect(timeLeft(10, rate)).toBe('?')
  expect(timeLeft(10, Number.POSITIVE_INFINITY)).toBe('0s')
})
