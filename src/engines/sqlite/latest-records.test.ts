import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { LatestRecords } from './latest-records.ts'

test('the latest offset of each key is found, in whatever order keys are set, looked up and deleted', () => {
  const r = random(seedOfRun())
  for (let round = 0; round < 200; round++) {
    const records = new LatestRecords()
    const model = new Map<string, number>()
    let next = 0
    for (let step = 1; step <= 40; step++) {
      const collection = `c${r.int(2)}`
      // Mostly ascending, as in an import.
      const key = r.int(4) === 0 ? `k${10 + r.int(20)}` : `k${10 + next++}`
      const id = `${collection}/${key}`
      const action = r.int(8)
      if (action === 0) {
        records.delete(collection, key)
        model.delete(id)
      } else if (action < 6) {
        records.set(collection, key, step)
        model.set(id, step)
      }
      expect([id, records.get(collection, key)]).toEqual([id, model.get(id)])
    }
    for (const [id, at] of model) {
      const [collection, key] = id.split('/') as [string, string]
      expect([id, records.get(collection, key)]).toEqual([id, at])
    }
  }
})
