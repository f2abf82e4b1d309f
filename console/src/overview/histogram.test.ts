import { expect, test } from 'bun:test'
import { bucketsBetween, bucketsOf, quantileOf } from './histogram.ts'
import { parseScrape } from './prometheus.ts'

const infinite = Number.POSITIVE_INFINITY

test('series are summed by bound, in the order of the bounds', () => {
  const scrape = parseScrape(
    'h_bucket{route="a",le="+Inf"} 5\nh_bucket{route="a",le="0.1"} 2\nh_bucket{route="b",le="0.1"} 1\nh_bucket{route="b",le="+Inf"} 1\nh_bucket{route="c",le="0.1"} 9',
  )
  expect(bucketsOf(scrape, 'h', ({ route }) => route !== 'c')).toEqual([
    { bound: 0.1, count: 3 },
    { bound: infinite, count: 6 },
  ])
})

test('quantiles are of what was counted in between, and interpolated in their bucket', () => {
  const before = [
    { bound: 1, count: 100 },
    { bound: 2, count: 100 },
    { bound: infinite, count: 100 },
  ]
  const after = [
    { bound: 1, count: 100 },
    { bound: 2, count: 110 },
    { bound: infinite, count: 110 },
  ]
  const between = bucketsBetween(before, after)
  expect(quantileOf(between, 0.5)).toBe(1.5)
  expect(quantileOf(between, 1)).toBe(2)
  expect(quantileOf(bucketsBetween([], after), 0.5)).toBeCloseTo(0.55)
})

test('without anything counted there is no quantile; above the last bound it is that bound', () => {
  expect(quantileOf([], 0.5)).toBeNull()
  expect(quantileOf([{ bound: infinite, count: 0 }], 0.5)).toBeNull()
  const slow = [
    { bound: 1, count: 1 },
    { bound: 10, count: 1 },
    { bound: infinite, count: 9 },
  ]
  expect(quantileOf(slow, 0.99)).toBe(10)
})
