import { expect, test } from 'bun:test'
import type { CollectionStats } from '../core/engine.ts'
import { collectionLabels } from './collection-labels.ts'

function collections(count: number, name: (i: number) => string): CollectionStats[] {
  return Array.from({ length: count }, (_, i) => ({ name: name(i), members: i + 1, bytes: 10 }))
}

/** Far enough apart that every look is a new one. */
function clock(): () => number {
  let nowMs = 0
  return () => {
    nowMs += 1e9
    return nowMs
  }
}

test('a few collections have a label each', async () => {
  const found = await collectionLabels(clock())(() => collections(3, (i) => `c${i}`))
  expect(found).toEqual({ count: 3, members: 6, bytes: 30, labelled: collections(3, (i) => `c${i}`) })
})

test('the largest have labels when there are too many, and the others are summed up', async () => {
  const found = await collectionLabels(clock())(() => collections(150, (i) => `c${i}`))
  expect(found.labelled).toHaveLength(101)
  expect(found.labelled.at(-1)).toMatchObject({ name: '_others', members: (50 * 51) / 2, bytes: 500 })
  expect(found.labelled[0]!.name).toBe('c50')
  expect(found).toMatchObject({ count: 150, members: (150 * 151) / 2, bytes: 1500 })
})

test('whatever comes and goes, there are never more labels than these', async () => {
  const look = collectionLabels(clock())
  const seen = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const { labelled } = await look(() => collections(30, (i) => `r${round}-${i}`))
    for (const { name } of labelled) seen.add(name)
  }
  expect(seen.size).toBe(101)
})

test('a label stays with its collection, and the sum is right when it is gone', async () => {
  const look = collectionLabels(clock())
  await look(() => collections(150, (i) => `c${i}`))
  const found = await look(() => collections(149, (i) => `c${i}`))
  expect(found.labelled.map(({ name }) => name)).not.toContain('c149')
  expect(found.labelled.map(({ name }) => name)).not.toContain('c0')
  expect(found.labelled.reduce((sum, { members }) => sum + members, 0)).toBe((149 * 150) / 2)
})

test('very many collections are not counted at every look', async () => {
  let nowMs = 0
  let looks = 0
  const look = collectionLabels(() => nowMs)
  const read = () => {
    looks++
    return collections(2000, (i) => `c${i}`)
  }
  await look(read)
  nowMs = 1999
  await look(read)
  expect(looks).toBe(1)
  nowMs = 2000
  await look(read)
  expect(looks).toBe(2)
})
