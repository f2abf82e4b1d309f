import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../test/support/random.ts'
import { stepLimit } from '../../test/support/steps.ts'
import { collectionPage } from './collection-page.ts'

const named = (name: string) => ({ name, members: 1, bytes: 2 })

test('pages of any size are all collections, by name and once', () => {
  const r = random(seedOfRun())
  for (let round = 0; round < 200; round++) {
    const names = [
      ...new Set(Array.from({ length: r.int(60) }, () => `${r.pick(['a', 'b', 'å'])}${r.int(40)}`)),
    ]
    const prefix = r.pick(['', 'a', 'b1'])
    const limit = 1 + r.int(10)
    const found: string[] = []
    let from: string | null = null
    const step = stepLimit('reading all pages of collections')
    do {
      step()
      const page = collectionPage(names.map(named), { prefix, from, limit })
      expect(page.collections.length).toBeLessThanOrEqual(limit)
      found.push(...page.collections.map(({ name }) => name))
      from = page.next
    } while (from !== null)
    expect(found).toEqual(names.filter((name) => name.startsWith(prefix)).sort())
  }
})

test('a collection that is gone when the next page is asked for does not end the list', () => {
  expect(collectionPage([named('a'), named('c')], { prefix: '', from: 'b', limit: 5 }).collections).toEqual([
    named('c'),
  ])
})
