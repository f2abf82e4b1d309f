import { describe, expect, test } from 'bun:test'
import { fieldOf, LineMap, lineKeys, refOf } from './layout.ts'
import { slotCount, slotOf } from './slots.ts'

describe('the keys of lines', () => {
  test('all keys of a line have its slot, and the slots are spread over all', () => {
    for (const lines of [1, 3, 16, 64]) {
      const all = lineKeys('shop', lines)
      for (const [line, { slot, ...keys }] of all.entries()) {
        for (const key of Object.values(keys)) expect(slotOf(key)).toBe(slot)
        expect(Math.floor((slot * lines) / slotCount)).toBe(line)
      }
      expect(new Set(all.flatMap(({ slot, ...keys }) => Object.values(keys))).size).toBe(9 * lines)
    }
  })

  test('they never change: a store is found again', () => {
    const [first, , third] = lineKeys('kvist', 16)
    expect([first!.head, first!.slot, third!.records, third!.slot]).toEqual([
      '{kvist.0.40}h',
      927,
      '{kvist.2.60}i',
      2197,
    ])
  })

  test('stores with other prefixes have other keys', () => {
    const keys = ['a', 'a.1', 'b'].flatMap((prefix) => lineKeys(prefix, 16).map(({ head }) => head))
    expect(new Set(keys).size).toBe(48)
  })
})

test('a field says which member it is of, whatever its key contains', () => {
  for (const ref of [
    { collection: 'c', key: 'k' },
    { collection: 'é', key: '\0' },
    { collection: '_own', key: 'a\0b\0' },
  ]) {
    expect(refOf(Buffer.from(fieldOf(ref)))).toEqual(ref)
  }
})

describe('the line of a member', () => {
  const keys = Array.from({ length: 400 }, (_, i) => `k${i}`)
  const spread = new LineMap(16, 'spread')
  const byCollection = new LineMap(16, 'collection')
  const linesOf = (map: LineMap, refs: { collection: string; key: string }[]) =>
    new Set(refs.map((ref) => map.lineOf(ref)))

  test('spread: by the key, so that a collection is on all lines, evenly', () => {
    const counts = Array<number>(16).fill(0)
    for (const key of keys) counts[spread.lineOf({ collection: 'c', key })]!++
    expect(Math.min(...counts)).toBeGreaterThan(8)
    expect(Math.max(...counts)).toBeLessThan(50)
    expect(spread.linesOf('c')).toHaveLength(16)
  })

  test('collection: all members of a collection are on one', () => {
    const refs = keys.map((key) => ({ collection: 'c', key }))
    expect([...linesOf(byCollection, refs)]).toEqual([...byCollection.linesOf('c')])
    expect(
      linesOf(
        byCollection,
        keys.map((key) => ({ collection: key, key: 'k' })),
      ).size,
    ).toBe(16)
  })

  test('a tag in the collection goes before one in the key, and both before the key', () => {
    const tagged = keys.map((key) => ({ collection: 'c', key: `{ada}/${key}` }))
    expect(linesOf(spread, tagged).size).toBe(1)
    expect(linesOf(spread, [{ collection: 'd', key: '{ada}' }, ...tagged]).size).toBe(1)
    const inTagged = keys.map((key) => ({ collection: 'x{ada}', key: `{${key}}` }))
    expect(linesOf(spread, [...inTagged, ...tagged]).size).toBe(1)
    expect(spread.linesOf('x{ada}')).toHaveLength(1)
    // None of them is a tag.
    for (const name of ['{}', '{', '}', 'a}{']) {
      expect(
        linesOf(
          spread,
          keys.map((key) => ({ collection: 'c', key: `${name}${key}` })),
        ).size,
      ).toBe(16)
    }
  })

  test('a collection of kvist itself is on one line, save for entries near other members', () => {
    expect(
      linesOf(
        spread,
        keys.map((key) => ({ collection: '_tokens', key })),
      ).size,
    ).toBe(1)
    expect(spread.linesOf('_tokens')).toHaveLength(16)
    const near = { collection: 'c', key: 'k7' }
    const write = { op: 'delete', collection: '_renewals', key: 'x', cause: 'delete', near } as const
    expect(spread.lineOfWrite(write)).toBe(spread.lineOf(near))
  })

  test('it never changes', () => {
    expect(keys.slice(0, 8).map((key) => spread.lineOf({ collection: 'c', key }))).toEqual([
      6, 6, 0, 2, 9, 4, 4, 2,
    ])
  })
})
