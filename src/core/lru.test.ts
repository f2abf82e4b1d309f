import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { lru, lruEntryBytes } from './lru.ts'

const entries = (count: number, bytes = 0) => count * (lruEntryBytes + bytes)

describe('lru', () => {
  test('gives back what was set, by collection and key', () => {
    const cache = lru<string>(entries(100))
    cache.set('a', 'key', 'first', 0)
    cache.set('b', 'key', 'second', 0)
    expect(cache.get('a', 'key')).toBe('first')
    expect(cache.get('b', 'key')).toBe('second')
    expect(cache.get('a', 'other')).toBeUndefined()
    expect(cache.get('c', 'key')).toBeUndefined()
    expect(cache.stats).toEqual({ hits: 2, misses: 2, entries: 2, bytes: entries(2) })
  })

  test('lets go of what was used longest ago; getting and setting are uses', () => {
    const cache = lru<number>(entries(8))
    for (let n = 1; n <= 8; n++) cache.set('c', String(n), n, 0)
    cache.get('c', '1')
    cache.set('c', '2', 22, 0)
    for (const key of ['x', 'y']) cache.set('c', key, 0, 0)
    const kept = ['1', '2', '3', '4', '5'].filter((key) => cache.get('c', key) !== undefined)
    expect(kept).toEqual(['1', '2', '5'])
    expect(cache.stats).toMatchObject({ entries: 8, bytes: entries(8) })
  })

  test('an entry that grows pushes others out, not itself', () => {
    const cache = lru<number>(entries(16))
    for (let n = 1; n <= 16; n++) cache.set('c', String(n), n, 0)
    cache.set('c', '1', 11, lruEntryBytes)
    expect(cache.get('c', '1')).toBe(11)
    expect(cache.get('c', '2')).toBeUndefined()
    expect(cache.get('c', '3')).toBe(3)
    expect(cache.stats).toMatchObject({ entries: 15, bytes: entries(16) })
  })

  test('an entry of more than an eighth is not kept, and leaves no older value behind', () => {
    const cache = lru<number>(entries(8, 100))
    cache.set('c', 'key', 1, 100)
    expect(cache.get('c', 'key')).toBe(1)
    cache.set('c', 'key', 2, 101)
    expect(cache.get('c', 'key')).toBeUndefined()
    expect(cache.stats).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('nothing is kept in 0 bytes', () => {
    const cache = lru<number>(0)
    cache.set('c', 'key', 1, 0)
    expect(cache.get('c', 'key')).toBeUndefined()
    expect(cache.stats).toEqual({ hits: 0, misses: 1, entries: 0, bytes: 0 })
  })

  test('names that objects inherit are ordinary keys', () => {
    const cache = lru<number>(entries(8))
    expect(cache.get('__proto__', 'constructor')).toBeUndefined()
    cache.set('__proto__', 'constructor', 1, 0)
    expect(cache.get('__proto__', 'constructor')).toBe(1)
  })

  test('deleting and clearing', () => {
    const cache = lru<number>(entries(8))
    cache.set('c', 'a', 1, 0)
    cache.set('c', 'b', 2, 0)
    cache.delete('c', 'a')
    cache.delete('c', 'never there')
    cache.delete('d', 'a')
    expect(cache.get('c', 'a')).toBeUndefined()
    expect(cache.get('c', 'b')).toBe(2)
    cache.clear()
    expect(cache.get('c', 'b')).toBeUndefined()
    expect(cache.stats).toEqual({ hits: 1, misses: 2, entries: 0, bytes: 0 })
    cache.set('c', 'a', 3, 0)
    expect(cache.get('c', 'a')).toBe(3)
    expect(cache.stats).toMatchObject({ entries: 1, bytes: entries(1) })
  })

  test('does what a plain list does that is searched from its end', () => {
    interface Kept {
      id: string
      value: number
      cost: number
    }
    const operation = fc.record({
      op: fc.constantFrom('get', 'get', 'set', 'set', 'set', 'delete', 'clear'),
      collection: fc.constantFrom('a', 'b', 'c'),
      key: fc.constantFrom('1', '2', '3', '4', '5'),
      bytes: fc.nat({ max: 400 }),
    })
    // `clear` is rare, or the cache would never fill.
    const operations = fc.array(operation, { maxLength: 200, size: 'max' })
    fc.assert(
      fc.property(operations, fc.integer({ min: entries(8), max: entries(20) }), (operations, maxBytes) => {
        const cache = lru<number>(maxBytes)
        const expected = { hits: 0, misses: 0, entries: 0, bytes: 0 }
        let list: Kept[] = []
        for (const [value, { op, collection, key, bytes }] of operations.entries()) {
          const id = `${collection}/${key}`
          const found = list.find((kept) => kept.id === id)
          const others = list.filter((kept) => kept.id !== id)
          if (op === 'get') {
            expect(cache.get(collection, key)).toBe(found?.value)
            if (found === undefined) expected.misses++
            else {
              expected.hits++
              list = [...others, found]
            }
          } else if (op === 'set') {
            cache.set(collection, key, value, bytes)
            const cost = bytes + lruEntryBytes
            list = cost > maxBytes / 8 ? others : [...others, { id, value, cost }]
            while (list.reduce((sum, kept) => sum + kept.cost, 0) > maxBytes) list.shift()
          } else if (op === 'delete') {
            cache.delete(collection, key)
            list = others
          } else if (value % 20 === 0) {
            cache.clear()
            list = []
          }
          expected.entries = list.length
          expected.bytes = list.reduce((sum, kept) => sum + kept.cost, 0)
          expect(cache.stats).toEqual(expected)
        }
      }),
      { numRuns: 300 },
    )
  })
})
