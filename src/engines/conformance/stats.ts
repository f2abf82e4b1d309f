import { expect } from 'bun:test'
import type { Histogram } from '../../core/histogram.ts'
import { attempt, check, put, remove, type Suite, write } from './store.ts'

/** The counters of an engine's work. */
export function statsPromises({ storeTest }: Suite): void {
  storeTest(
    'counts what was committed, what was refused, and every write that did something',
    async (store) => {
      const before = { ...store.engine.stats() }
      expect([before.commits, before.failedChecks, before.writes]).toEqual([0, 0, 0])
      await attempt(store, [], [put('a'), put('a', '2')])
      await write(store, remove('never there'))
      await attempt(store, [check('a', null)], [put('a', '3')])
      await write(store, remove('a'))
      const { commits, failedChecks, writes } = store.engine.stats()
      expect({ commits, failedChecks, writes }).toEqual({ commits: 3, failedChecks: 1, writes: 3 })
    },
  )

  storeTest('every commit that wrote is part of one group', async (store) => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => write(store, put(`k${i}`))))
    const { groupCommits, syncSeconds } = store.engine.stats()
    expect(groupCommits.sum).toBe(40)
    expect(valuesOf(groupCommits)).toBeGreaterThanOrEqual(1)
    expect(valuesOf(groupCommits)).toBeLessThanOrEqual(40)
    expect(syncSeconds.sum).toBeGreaterThanOrEqual(0)
  })
}

function valuesOf({ counts }: Readonly<Histogram>): number {
  return counts.reduce((sum, count) => sum + count, 0)
}
