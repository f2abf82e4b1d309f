import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { memberCache } from './cache.ts'
import type { Member, Value } from './member.ts'

/** A member of a revision of its own, unless another is given. */
let lastRevision = 0
function member(key: string, value: Value, more: Partial<Member> = {}): Member {
  const times = { revision: ++lastRevision, createdAtMs: 1_700_000_000_000, clock: 3.5e15, expiresAtMs: null }
  return { key, value, ...times, node: '', contentType: 'application/json', flags: 0, ...more }
}

const kilobyte = `"${'a'.repeat(1000)}"`

describe('the read cache', () => {
  test('gives back the very object that was set, by collection and key', () => {
    const cache = memberCache(1 << 20)
    const members = [
      member('plain', '{"a": 1.0}'),
      member('é\0/\u{1F600}', '"ü \\ud800"', { expiresAtMs: 1_800_000_000_000 }),
      member('bytes', new Uint8Array(256), { contentType: 'image/png', flags: 2 ** 34 - 1 }),
      member('empty', new Uint8Array(), { contentType: 'text/plain', node: 'elsewhere' }),
    ]
    for (const one of members) cache.set('c', one)
    for (const one of members) expect(cache.get('c', one.key)).toBe(one)
    expect(cache.get('d', 'plain')).toBeUndefined()
    expect(cache.get('c', 'é')).toBeUndefined()
    expect(cache.stats).toMatchObject({ hits: 4, misses: 2, entries: 4, evictions: 0 })
  })

  test('setting again replaces, deleting deletes, deleting what is not there does nothing', () => {
    const cache = memberCache(1 << 16)
    cache.set('c', member('k', '1'))
    const newer = member('k', '22')
    cache.set('c', newer)
    expect(cache.get('c', 'k')).toBe(newer)
    expect(cache.stats.entries).toBe(1)
    cache.delete('c', 'k')
    cache.delete('c', 'k')
    cache.delete('never', 'seen')
    expect(cache.get('c', 'k')).toBeUndefined()
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('what is offered is kept the second time, in place of what was there', () => {
    const cache = memberCache(1 << 16)
    const [one, other] = [member('k', '1'), member('k', '2')]
    cache.offer('c', one)
    expect(cache.get('c', 'k')).toBeUndefined()
    cache.offer('d', other)
    cache.offer('c', one)
    expect([cache.get('c', 'k'), cache.get('d', 'k')]).toEqual([one, undefined])
    const newer = member('k', '3')
    for (let twice = 0; twice < 2; twice++) cache.offer('c', newer)
    expect(cache.get('c', 'k')).toBe(newer)
    const none = memberCache(0)
    for (let i = 0; i < 3; i++) none.offer('c', one)
    expect(none.get('c', 'k')).toBeUndefined()
  })

  test('members that are offered once each, or again only long after, leave the cache as it is', () => {
    const cache = memberCache(1 << 24)
    const members = Array.from({ length: 10_000 }, (_, i) => member(`k${i}`, '1'))
    for (let twice = 0; twice < 2; twice++) for (const one of members) cache.offer('c', one)
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('is not asked for a while when hits are rare, and again afterwards', () => {
    const cache = memberCache(1 << 24)
    const hot = member('hot', '1')
    cache.set('c', hot)
    for (let i = 0; i < 256; i++) {
      cache.get('c', `k${i}`)
      cache.offer('c', member(`k${i}`, '1'))
    }
    const found = Array.from({ length: 4096 + 256 }, () => cache.get('c', 'hot'))
    expect(found.indexOf(hot)).toBe(4096)
    expect(found.slice(4096).every((one) => one === hot)).toBe(true)
    expect(cache.stats).toMatchObject({ hits: 256, misses: 256 + 4096 })
    for (let i = 0; i < 10_000; i++) {
      if (i % 4 !== 0) cache.offer('c', member(`k${i}`, '1'))
      expect(cache.get('c', i % 4 === 0 ? 'hot' : `k${i}`)).toBe(i % 4 === 0 ? hot : undefined)
    }
  })

  test('is always asked for members that are not cheap to read', () => {
    const cache = memberCache(1 << 24)
    const one = member('one', '1')
    cache.set('c', one)
    for (let i = 0; i < 1000; i++) cache.get('c', `k${i}`)
    expect(cache.get('c', 'one')).toBe(one)
  })

  test('keeps within its bytes, and what is read stays while what is not is evicted', () => {
    const cache = memberCache(64 * 1024)
    cache.set('c', member('hot', kilobyte))
    for (let i = 0; i < 1000; i++) {
      cache.set('c', member(`cold-${i}`, kilobyte))
      expect(cache.get('c', 'hot')).toBeDefined()
      expect(cache.stats.bytes).toBeLessThanOrEqual(64 * 1024)
    }
    expect(cache.get('c', 'cold-999')).toBeDefined()
    expect(cache.get('c', 'cold-0')).toBeUndefined()
    expect(cache.stats.evictions).toBe(1001 - cache.stats.entries)
    expect(cache.stats.entries).toBeGreaterThan(20)
  })

  test('counts a text that is not ASCII with two bytes for each character', () => {
    const cache = memberCache(1 << 20)
    cache.set('c', member('k', `"${'a'.repeat(999)}"`))
    const { bytes } = cache.stats
    cache.set('c', member('k', `"${'ü'.repeat(999)}"`))
    expect(cache.stats.bytes - bytes).toBe(1001)
  })

  test('holds no more than so many objects, however small', () => {
    const cache = memberCache(2 ** 30)
    for (let i = 0; i < 40_000; i++) cache.set('c', member(`k${i}`, '1'))
    expect(cache.stats.entries).toBeLessThanOrEqual(2048)
    expect(cache.get('c', 'k39999')).toBeDefined()
  })

  test('a hit on an old entry keeps it, also where that makes the young ones old', () => {
    const cache = memberCache(2 ** 30)
    for (let i = 0; i < 2048; i++) cache.set('c', member(`k${i}`, '1'))
    expect(cache.get('c', 'k5')).toBeDefined()
    expect(cache.get('c', 'k5')).toBeDefined()
    expect(cache.get('c', 'k6')).toBeUndefined()
    expect(cache.get('c', 'k2047')).toBeDefined()
    expect(cache.stats).toMatchObject({ entries: 1025, evictions: 1023 })
  })

  test('a member of more than an eighth is not kept, nor is anything in 0 bytes', () => {
    const small = memberCache(8000)
    small.set('c', member('k', '1'))
    small.set('c', member('k', kilobyte))
    const none = memberCache(0)
    none.set('c', member('k', '1'))
    expect([small.get('c', 'k'), none.get('c', 'k')]).toEqual([undefined, undefined])
  })

  test('names that objects inherit are ordinary', () => {
    const cache = memberCache(1 << 16)
    expect(cache.get('__proto__', 'constructor')).toBeUndefined()
    const one = member('constructor', '1')
    cache.set('__proto__', one)
    expect(cache.get('__proto__', 'constructor')).toBe(one)
  })

  test('clearing removes all', () => {
    const cache = memberCache(8000)
    for (let i = 0; i < 20; i++) cache.set('c', member(`k${i}`, '1'))
    cache.clear()
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
    expect(cache.get('c', 'k19')).toBeUndefined()
  })

  test('any run of sets, gets and deletes gives what was set last, or nothing', () => {
    const step = fc.record({
      do: fc.constantFrom('set', 'set', 'offer', 'get', 'get', 'delete'),
      collection: fc.constantFrom('c', 'd'),
      key: fc.constantFrom('a', 'b', 'é', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9'),
      size: fc.nat(400),
    })
    const run = fc.property(
      fc.array(step, { minLength: 50, maxLength: 400, size: 'max' }),
      fc.integer({ min: 512, max: 16_384 }),
      (steps, maxBytes) => {
        const cache = memberCache(maxBytes)
        const model = new Map<string, Member>()
        for (const { do: what, collection, key, size } of steps) {
          const name = `${collection}/${key}`
          if (what === 'set') {
            model.set(name, member(key, `"${'x'.repeat(size)}"`))
            cache.set(collection, model.get(name)!)
          } else if (what === 'offer') {
            const read = model.get(name)
            if (read !== undefined) cache.offer(collection, read)
          } else if (what === 'delete') {
            model.delete(name)
            cache.delete(collection, key)
          } else {
            const found = cache.get(collection, key)
            if (found !== undefined) expect(found).toBe(model.get(name)!)
          }
          expect(cache.stats.bytes).toBeLessThanOrEqual(maxBytes)
        }
        for (const name of model.keys()) cache.delete(...(name.split('/') as [string, string]))
        expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
      },
    )
    fc.assert(run, { numRuns: 500 })
  })
})
