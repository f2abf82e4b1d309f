import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { memberCache } from './cache.ts'
import type { Member, Value } from './member.ts'

function member(key: string, value: Value, more: Partial<Member> = {}): Member {
  const times = { revision: 7, createdAtMs: 1_700_000_000_000, clock: 3.5e15, expiresAtMs: null }
  return { key, value, ...times, node: '', contentType: 'application/json', flags: 0, ...more }
}

const kilobyte = `"${'a'.repeat(1000)}"`

describe('the read cache', () => {
  test('gives back every part of what was set, by collection and key', () => {
    const cache = memberCache(1 << 20)
    const members = [
      member('plain', '{"a": 1.0}'),
      member('é\0/\u{1F600}', '"ü \\ud800"', { expiresAtMs: 1_800_000_000_000 }),
      member(
        'bytes',
        Uint8Array.from({ length: 256 }, (_, i) => i),
        { contentType: 'image/png', flags: 2 ** 34 - 1 },
      ),
      member('empty', new Uint8Array(), { contentType: 'text/plain', node: 'elsewhere' }),
    ]
    for (const one of members) cache.set('c', one)
    for (const one of members) expect(cache.get('c', one.key)).toEqual(one)
    expect(cache.get('d', 'plain')).toBeUndefined()
    expect(cache.get('c', 'é')).toBeUndefined()
    expect(cache.stats).toMatchObject({ hits: 4, misses: 2, entries: 4 })
  })

  test('a key of Latin letters is not taken for another whose bytes look like it', () => {
    const cache = memberCache(1 << 16)
    cache.set('c', member('é', '1'))
    expect(cache.get('c', 'Ã©')).toBeUndefined()
  })

  test('setting again replaces, deleting deletes, deleting what is not there does nothing', () => {
    const cache = memberCache(1 << 16)
    cache.set('c', member('k', '1'))
    cache.set('c', member('k', '22', { revision: 8 }))
    expect(cache.get('c', 'k')).toMatchObject({ value: '22', revision: 8 })
    expect(cache.stats.entries).toBe(1)
    cache.delete('c', 'k')
    cache.delete('c', 'k')
    cache.delete('never', 'seen')
    expect(cache.get('c', 'k')).toBeUndefined()
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('what is offered again and again is one object, until it is offered anew or deleted', () => {
    const cache = memberCache(1 << 16)
    const read = (collection = 'c') => cache.get(collection, 'k')
    const one = member('k', '1')
    for (let i = 0; i < 2; i++) {
      cache.offer('c', one)
      cache.offer('d', member('k', '2'))
    }
    expect(read()).toBe(one)
    expect(read()).toBe(one)
    expect(read('d')?.value).toBe('2')
    expect(cache.stats).toMatchObject({ entries: 2, bytes: 144 })
    cache.offer('c', member('k', '3', { revision: 8 }))
    expect(read()).toMatchObject({ value: '3', revision: 8 })
    cache.delete('d', 'k')
    expect(read()).toMatchObject({ value: '3' })
    cache.delete('c', 'k')
    expect([read('c'), read('d')]).toEqual([undefined, undefined])
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('what is offered and long is kept too, and takes the place of what was short', () => {
    const cache = memberCache(1 << 20)
    const long = member('k', JSON.stringify('x'.repeat(10_000)), { revision: 8 })
    for (const one of [member('k', '1'), member('k', '1'), long]) cache.offer('c', one)
    expect(cache.get('c', 'k')).toEqual(long)
    cache.offer('c', member('k', '2', { revision: 9 }))
    expect(cache.get('c', 'k')).toMatchObject({ value: '2', revision: 9 })
    cache.delete('c', 'k')
    expect(cache.get('c', 'k')).toBeUndefined()
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('of what is offered, too, no more is kept than there are bytes for', () => {
    const cache = memberCache(64 * 1024)
    for (let i = 0; i < 2000; i++) {
      for (let twice = 0; twice < 2; twice++) cache.offer('c', member(`k${i}`, kilobyte))
      expect(cache.get('c', `k${i}`)?.value).toBe(kilobyte)
      expect(cache.stats.bytes).toBeLessThanOrEqual(8 * 1024)
    }
    expect(cache.stats.entries).toBeLessThanOrEqual(7)
  })

  test('what is offered is kept the second time, in place of what was there', () => {
    const cache = memberCache(1 << 16)
    cache.offer('c', member('k', '1'))
    expect(cache.get('c', 'k')).toBeUndefined()
    cache.offer('d', member('k', '1'))
    cache.offer('c', member('k', '1'))
    expect([cache.get('c', 'k')?.value, cache.get('d', 'k')]).toEqual(['1', undefined])
    cache.offer('c', member('k', '2', { revision: 8 }))
    expect(cache.get('c', 'k')).toMatchObject({ value: '2', revision: 8 })
    const none = memberCache(0)
    for (let i = 0; i < 3; i++) none.offer('c', member('k', '1'))
    expect(none.get('c', 'k')).toBeUndefined()
  })

  test('of very many that are offered again each is itself or not there', () => {
    const cache = memberCache(1 << 20)
    const members = Array.from({ length: 5000 }, (_, i) => member(`k${i}`, String(i)))
    let found = 0
    for (const one of members) for (let twice = 0; twice < 2; twice++) cache.offer('c', one)
    for (const one of members) {
      const kept = cache.get('c', one.key)
      if (kept === undefined) continue
      expect(kept).toBe(one)
      found++
    }
    expect(cache.stats).toMatchObject({ entries: found, hits: found, misses: 5000 - found })
    expect(found).toBeGreaterThan(500)
  })

  test('members that are offered once each leave the cache as it is', () => {
    const cache = memberCache(1 << 20)
    for (let i = 0; i < 10_000; i++) cache.offer('c', member(`k${i}`, '1'))
    // Some share a place and the part of the hash that is kept.
    expect(cache.stats.entries).toBeLessThan(20)
  })

  test('one key in very many collections is told apart', () => {
    const cache = memberCache(1 << 22)
    const names = Array.from({ length: 3000 }, (_, i) => `c${i}`)
    for (const [i, name] of names.entries()) cache.set(name, member('k', String(i)))
    for (let round = 0; round < 3; round++)
      expect(names.map((name) => cache.get(name, 'k')?.value)).toEqual(names.map((_, i) => String(i)))
  })

  test('one of those is let go of also when all the others are', () => {
    const cache = memberCache(1 << 12)
    cache.set('c', member('k', '1'))
    for (let i = 0; i < 3; i++) cache.get('c', 'k')
    for (let i = 0; i < 100; i++) cache.set('c', member(`other-${i}`, '1'))
    for (let i = 0; i < 100; i++) cache.delete('c', `other-${i}`)
    expect(cache.stats.entries).toBe(0)
    cache.delete('c', 'k')
    expect(cache.get('c', 'k')).toBeUndefined()
  })

  test('keeps within its bytes, and what is read stays while what is not goes', () => {
    const cache = memberCache(64 * 1024)
    cache.set('c', member('hot', kilobyte))
    for (let i = 0; i < 10_000; i++) {
      cache.set('c', member(`cold-${i}`, kilobyte))
      expect(cache.get('c', 'hot')).toBeDefined()
    }
    expect(cache.stats.bytes).toBeLessThanOrEqual(64 * 1024)
    expect(cache.get('c', 'cold-9999')).toBeDefined()
    expect(cache.get('c', 'cold-0')).toBeUndefined()
  })

  test('a member of more than an eighth is not kept, nor is anything in 0 bytes', () => {
    const small = memberCache(4096)
    small.set('c', member('k', kilobyte))
    const none = memberCache(0)
    none.set('c', member('k', '1'))
    expect([small.get('c', 'k'), none.get('c', 'k')]).toEqual([undefined, undefined])
  })

  test('names that objects inherit are ordinary', () => {
    const cache = memberCache(1 << 16)
    expect(cache.get('__proto__', 'constructor')).toBeUndefined()
    cache.set('__proto__', member('constructor', '1'))
    expect(cache.get('__proto__', 'constructor')).toMatchObject({ value: '1' })
  })

  test('a member that is read all the time stays whole while all others come and go', () => {
    const cache = memberCache(16 * 1024)
    const hot = member('hot', '"hot"')
    for (let i = 0; i < 1000; i++) {
      if (cache.get('c', 'hot') === undefined) cache.set('c', hot)
      expect(cache.get('c', 'hot')).toEqual(hot)
      const passing = member(`k${i}`, `"${'x'.repeat(i % 200)}"`)
      cache.set('c', passing)
      expect(cache.get('c', passing.key)).toEqual(passing)
      cache.delete('c', passing.key)
    }
  })

  test('any run of sets, gets and deletes gives what was set last, or nothing', () => {
    const keys = fc.constantFrom(
      'a',
      'b',
      'c',
      'é',
      'ü',
      'k1',
      'k2',
      'k3',
      'k4',
      'k5',
      'k6',
      'k7',
      'k8',
      'k9',
    )
    const stored = fc.constantFrom('set' as const, 'offer' as const)
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: stored, key: keys, size: fc.nat(400) }) },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('get' as const), key: keys, size: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('delete' as const), key: keys, size: fc.constant(0) }),
      },
    )
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 50, maxLength: 400 }),
        fc.integer({ min: 512, max: 8192 }),
        (steps, maxBytes) => {
          const cache = memberCache(maxBytes)
          const model = new Map<string, Member>()
          steps.forEach((one, i) => {
            if (one.do === 'set') {
              model.set(one.key, member(one.key, `"${'x'.repeat(one.size)}"`, { revision: i + 1 }))
              cache.set('c', model.get(one.key)!)
            } else if (one.do === 'offer') {
              const read = model.get(one.key)
              if (read !== undefined) cache.offer('c', read)
            } else if (one.do === 'delete') {
              model.delete(one.key)
              cache.delete('c', one.key)
            } else {
              const found = cache.get('c', one.key)
              if (found !== undefined) expect(found).toEqual(model.get(one.key)!)
            }
            expect(cache.stats.bytes).toBeLessThanOrEqual(maxBytes)
            expect(cache.stats.entries).toBeGreaterThanOrEqual(0)
          })
        },
      ),
      { numRuns: 500 },
    )
  })
})
