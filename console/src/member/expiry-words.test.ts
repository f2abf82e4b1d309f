import { expect, test } from 'bun:test'
import { expiryWords } from './expiry-words.ts'

test('it counts down on the last day, and is near in the last minute', () => {
  const at = (leftMs: number) => expiryWords(1e12 + leftMs, 1e12)
  expect(expiryWords(null, 0)).toEqual({ text: 'never', isNear: false, isPast: false })
  expect(at(41_200)).toEqual({ text: 'in 42 s', isNear: true, isPast: false })
  expect(at(60_001).isNear).toBe(false)
  expect(at(3_600_000 * 2 + 61_000).text).toBe('in 2 h 1 min')
  expect(at(3 * 86_400_000).text).toBe('in 3 days')
  expect(at(0)).toEqual({ text: 'now', isNear: true, isPast: true })
})
