import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseRate, type Rate, showRate } from './rate.ts'
import { type RateBucket, RateBuckets, RateLimit } from './rate-limit.ts'

const fresh = (): RateBucket => ({ fullAtMs: Number.NEGATIVE_INFINITY })

describe('a rate', () => {
  test.each([
    ['200/s', 200, 1, 200],
    ['6000/m', 6000, 60, 6000],
    ['1/h', 1, 3600, 1],
    ['50/s:100', 50, 1, 100],
    ['50/s:1', 50, 1, 1],
    ['1000000/s:1000000', 1_000_000, 1, 1_000_000],
  ])('%s', (text, requests, windowSeconds, burst) => {
    expect(parseRate(text)).toEqual({ requests, windowSeconds, burst })
    expect(parseRate(showRate(parseRate(text)!))).toEqual({ requests, windowSeconds, burst })
  })

  test.each([
    ...['', '200', '/s', '200/', '200/d', '200/S', '200/ s', ' 200/s', '200/s ', '200/s:', '200/s:0'],
    ...['0/s', '-1/s', '1.5/s', '1e3/s', '1000001/s', '1/s:1000001', '200/s:400:800', '200/s/s', '٢/s'],
  ])('%j is none', (text) => {
    expect(parseRate(text)).toBeNull()
  })

  test('is shown without a burst that is what it would be anyway', () => {
    expect(showRate({ requests: 5, windowSeconds: 60, burst: 5 })).toBe('5/m')
    expect(showRate({ requests: 5, windowSeconds: 3600, burst: 6 })).toBe('5/h:6')
  })
})

describe('a bucket', () => {
  test('holds a burst, and refills one after the other', () => {
    const limit = new RateLimit({ requests: 10, windowSeconds: 1, burst: 3 })
    const bucket = fresh()
    expect([1, 2, 3, 4].map(() => limit.take(bucket, 1000))).toEqual([2, 1, 0, -1])
    expect(limit.waitMs(bucket, 1000)).toBeCloseTo(100)
    expect(limit.take(bucket, 1099)).toBe(-1)
    expect(limit.take(bucket, 1100)).toBe(0)
    expect(limit.take(bucket, 1100)).toBe(-1)
    expect(limit.waitMs(bucket, 1200)).toBe(0)
    expect([1, 2, 3, 4].map(() => limit.take(bucket, 10_000))).toEqual([2, 1, 0, -1])
  })

  test('a refused request takes nothing: who keeps asking is served as soon as who waits', () => {
    const limit = new RateLimit({ requests: 1, windowSeconds: 60, burst: 1 })
    const bucket = fresh()
    expect(limit.take(bucket, 0)).toBe(0)
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) expect(limit.take(bucket, nowMs)).toBe(-1)
    expect(limit.take(bucket, 60_000)).toBe(0)
  })

  test('numbers that are not whole milliseconds lose no request', () => {
    const limit = new RateLimit({ requests: 7000, windowSeconds: 1, burst: 7000 })
    const bucket = fresh()
    for (let left = 6999; left >= 0; left--) expect(limit.take(bucket, 123.456)).toBe(left)
    expect(limit.take(bucket, 123.456)).toBe(-1)
  })

  test('in any span of time it lets through at most a burst and what the span refills', () => {
    const rates = fc.record({
      requests: fc.integer({ min: 1, max: 50 }),
      windowSeconds: fc.constantFrom(1, 60, 3600),
      burst: fc.integer({ min: 1, max: 20 }),
    })
    const pauses = fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 60 })
    fc.assert(
      fc.property(rates, pauses, (rate: Rate, pausesMs) => {
        const limit = new RateLimit(rate)
        const bucket = fresh()
        const taken: number[] = []
        let nowMs = 0
        for (const pauseMs of pausesMs) {
          nowMs += pauseMs
          if (limit.take(bucket, nowMs) < 0) {
            nowMs += limit.waitMs(bucket, nowMs)
            if (limit.take(bucket, nowMs) < 0) return false
          }
          taken.push(nowMs)
        }
        return taken.every((from, i) =>
          taken.slice(i).every((to, j) => {
            const refilled = ((to - from) * rate.requests) / (rate.windowSeconds * 1000)
            return j + 1 <= rate.burst + refilled + 1e-3
          }),
        )
      }),
    )
  })
})

describe('buckets', () => {
  test('of a key are the same as long as it is used', () => {
    const buckets = new RateBuckets(100)
    const own = buckets.get('a')
    for (let i = 0; i < 10_000; i++) {
      buckets.get(`other${i}`)
      expect(buckets.get('a')).toBe(own)
    }
  })

  test('of any number of keys take bounded memory', () => {
    const buckets = new RateBuckets(100)
    for (let i = 0; i < 10_000; i++) buckets.get(`key${i}`)
    expect(buckets.size).toBeWithin(50, 101)
  })

  test('a key that was not used while half of them were others begins anew', () => {
    const buckets = new RateBuckets(10)
    const limit = new RateLimit({ requests: 1, windowSeconds: 3600, burst: 1 })
    expect(limit.take(buckets.get('a'), 0)).toBe(0)
    for (let i = 0; i < 4; i++) buckets.get(`few${i}`)
    expect(limit.take(buckets.get('a'), 0)).toBe(-1)
    for (let i = 0; i < 20; i++) buckets.get(`many${i}`)
    expect(limit.take(buckets.get('a'), 0)).toBe(0)
  })
})
