import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { maxBufferedItems, maxChunkItems, orderedList } from './ordered-list.ts'

function listOf(items: Iterable<number>) {
  const list = orderedList<number>((a, b) => a < b)
  for (const item of items) list.insert(item)
  return list
}

test('items come back in order, from any bound and either way, whatever order they came in', () => {
  const count = maxChunkItems * 5
  const sorted = Array.from({ length: count }, (_, i) => i * 2)
  for (const items of [sorted, sorted.toReversed(), sorted.map((_, i) => ((i * 797) % count) * 2)]) {
    const list = listOf(items)
    expect([...list.ascending(() => false)]).toEqual(sorted)
    expect([...list.descending(() => true)]).toEqual(sorted.toReversed())
    for (const bound of [-1, 0, 1, 511, 512, 1023, 1024, 1025, 2 * count - 2, 2 * count]) {
      const isBefore = (item: number) => item < bound
      expect([...list.ascending(isBefore)]).toEqual(sorted.filter((item) => item >= bound))
      expect([...list.descending(isBefore)]).toEqual(sorted.filter(isBefore).toReversed())
    }
  }
})

test('an empty list has nothing', () => {
  const list = listOf([])
  list.delete(1)
  expect([[...list.ascending(() => false)], [...list.descending(() => true)]]).toEqual([[], []])
})

test('random insertions and deletions leave what a sorted set would have', () => {
  const range = maxBufferedItems * 2
  const step = fc.constantFrom('insert', 'insert', 'delete', 'read')
  const runs = fc.array(fc.tuple(step, fc.nat(range - 1), fc.nat(700)), { size: 'max', maxLength: 60 })
  fc.assert(
    fc.property(runs, (steps) => {
      const list = listOf([])
      const expected = new Set<number>()
      // Each step is a run of neighbours, so that chunks fill, split, empty and merge.
      for (const [step, from, length] of steps) {
        if (step === 'read') {
          const isBefore = (item: number) => item < from
          expect(list.ascending(isBefore).next().value).toBe(firstOf(expected, (item) => item >= from))
          continue
        }
        const inserts = step === 'insert'
        for (let item = from; item < Math.min(range, from + length); item++) {
          if (!inserts) list.delete(item)
          else if (!expected.has(item)) list.insert(item)
          if (inserts) expected.add(item)
          else expected.delete(item)
        }
      }
      expect([...list.ascending(() => false)]).toEqual([...expected].sort((a, b) => a - b))
    }),
    { numRuns: 40 },
  )
})

function firstOf(items: Iterable<number>, isMeant: (item: number) => boolean): number | undefined {
  let first: number | undefined
  for (const item of items) if (isMeant(item) && (first === undefined || item < first)) first = item
  return first
}
