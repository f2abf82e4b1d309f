import { describe, expect, test } from 'bun:test'
import { random, seedOfRun } from '../../test/support/random.ts'
import { BoundedCache } from './bounded-cache.ts'

describe('a bounded cache', () => {
  test('returns what was kept last, until it is deleted', () => {
    const cache = new BoundedCache<{ bytes: number; name: string }>(8000)
    cache.set('a', { bytes: 10, name: 'first' })
    cache.set('a', { bytes: 20, name: 'second' })
    expect(cache.get('a')?.name).toBe('second')
    expect(cache.stats.entries).toBe(1)
    cache.delete('a')
    expect(cache.get('a')).toBeUndefined()
    expect(cache.stats).toEqual({ evictions: 0, entries: 0, bytes: 0 })
  })

  test('keeps what is used and evicts the rest', () => {
    const cache = new BoundedCache<{ bytes: number }>(16_000)
    for (let i = 0; i < 100; i++) {
      cache.set(`${i}`, { bytes: 1000 })
      cache.get('0')
    }
    expect(cache.get('0')).toBeDefined()
    expect(cache.get('50')).toBeUndefined()
    expect(cache.get('99')).toBeDefined()
    expect(cache.stats.evictions).toBeGreaterThan(80)
  })

  test('does not keep an entry that is too large, nor the one before it', () => {
    const cache = new BoundedCache<{ bytes: number }>(8000)
    expect(cache.set('a', { bytes: 10 })).toBe(true)
    expect(cache.set('a', { bytes: 1000 })).toBe(false)
    expect(cache.get('a')).toBeUndefined()
    expect(cache.stats.bytes).toBe(0)
  })

  test('without memory it keeps nothing', () => {
    const cache = new BoundedCache<{ bytes: number }>(0)
    expect(cache.set('a', { bytes: 0 })).toBe(false)
    expect(cache.get('a')).toBeUndefined()
  })

  test('counts its bytes, and stays within them, whatever is done', () => {
    const { int, oneIn } = random(seedOfRun())
    const cache = new BoundedCache<{ bytes: number; n: number }>(20_000)
    const latest = new Map<string, number>()
    for (let n = 0; n < 20_000; n++) {
      const key = `${int(60)}`
      if (oneIn(3)) {
        latest.delete(key)
        cache.delete(key)
      } else if (oneIn(500)) {
        latest.clear()
        cache.clear()
        expect(cache.stats.bytes).toBe(0)
      } else if (oneIn(2)) {
        latest.set(key, n)
        if (!cache.set(key, { bytes: int(3000), n })) latest.delete(key)
      } else {
        const found = cache.get(key)
        if (found !== undefined) expect(found.n).toBe(latest.get(key) ?? -1)
      }
      expect(cache.stats.bytes).toBeLessThanOrEqual(cache.maxBytes)
      expect(cache.stats.bytes).toBeGreaterThanOrEqual(0)
    }
    for (let i = 0; i < 60; i++) cache.delete(`${i}`)
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })
})
