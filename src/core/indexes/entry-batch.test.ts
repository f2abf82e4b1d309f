import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { EntryBatch, type PendingEntry } from './entry-batch.ts'

const pending = (key: string): PendingEntry => ({ key: `of ${key}`, revision: 1, entry: { key, value: '0' } })

test('entries of pages are taken in the order of the index, however many at a time', () => {
  const chance = random(seedOfRun())
  for (let round = 0; round < 50; round++) {
    const batch = new EntryBatch(1000)
    const keys: string[] = []
    for (let page = chance.int(20); page > 0; page--) {
      const own = Array.from({ length: chance.int(9) }, (_, i) => `${chance.int(500)}-${page}-${i}`)
      keys.push(...own)
      batch.add(own.map(pending))
    }
    expect(batch.size).toBe(keys.length)
    const taken: string[] = []
    while (batch.size > 0) taken.push(...batch.take(1 + chance.int(9)).map(({ entry }) => entry.key))
    expect(taken).toEqual(keys.toSorted((a, b) => (a < b ? -1 : 1)))
    expect(batch.take(1)).toEqual([])
  }
})

test('a batch is full by its entries, or by the length of their keys', () => {
  const batch = new EntryBatch(2)
  batch.add([pending('b')])
  expect(batch.isFull()).toBe(false)
  batch.add([pending('a')])
  expect(batch.isFull()).toBe(true)
  const long = new EntryBatch(1000)
  long.add([pending('x'.repeat(4_100_000))])
  expect(long.isFull()).toBe(true)
})
