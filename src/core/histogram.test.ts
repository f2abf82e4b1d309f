import { expect, test } from 'bun:test'
import { histogram, observe } from './histogram.ts'

test('a value counts under the first bound that it does not pass', () => {
  const seen = histogram([1, 10, 100])
  for (const value of [0, 1, 1.5, 10, 99, 100, 101, 5000]) observe(seen, value)
  expect([...seen.counts]).toEqual([2, 2, 2, 2])
  expect(seen.sum).toBe(0 + 1 + 1.5 + 10 + 99 + 100 + 101 + 5000)
})
