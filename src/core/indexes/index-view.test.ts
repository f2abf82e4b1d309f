import { expect, test } from 'bun:test'
import { StaleView } from '../stale-view.ts'
import { indexView } from './index-view.ts'

/** A registry whose loads end when the test says so. */
function viewOf() {
  const loads: (() => void)[] = []
  const failures: (() => void)[] = []
  const registry = { last: 0, lost: [] as unknown[] }
  const view = indexView(
    { revision: () => registry.last, lose: (life) => registry.lost.push(life) },
    () =>
      new Promise<void>((resolve, reject) => {
        loads.push(resolve)
        failures.push(() => reject(new Error('out of reach')))
      }),
  )
  return { view, registry, loads, failures }
}

const ticks = () => new Promise((resolve) => setImmediate(resolve))

test('is what was taken over, or was read after it was asked for', async () => {
  const { view, registry, loads } = viewOf()
  registry.last = 5
  expect(view.number()).toBe(5)
  await view.refresh(new StaleView(5))
  expect(loads.length).toBe(0)
  const first = view.refresh(new StaleView(8))
  // The load under way may have read before 9 was there.
  const second = view.refresh(new StaleView(9))
  const third = view.refresh(new StaleView(9))
  expect(loads.length).toBe(1)
  loads[0]!()
  await first
  expect(view.number()).toBe(8)
  await ticks()
  expect(loads.length).toBe(2)
  loads[1]!()
  await Promise.all([second, third])
  expect([view.number(), loads.length]).toEqual([9, 2])
})

test('is unknown after a setback until all is read again, and forgets revisions that may be lost', async () => {
  const { view, registry, loads } = viewOf()
  registry.last = 5
  view.adopt(6)
  const reloaded = view.reload()
  expect(view.number()).toBe(0)
  view.adopt(7)
  registry.last = 8
  expect(view.number()).toBe(0)
  loads[0]!()
  await reloaded
  expect(view.number()).toBe(8)
  const again = view.reload()
  loads[1]!()
  await again
  expect(view.number()).toBe(0)
})

test('is unknown for longer where the store is out of reach, until a commit that is refused reads it again', async () => {
  const { view, registry, loads, failures } = viewOf()
  registry.last = 5
  const reloaded = view.reload().catch(String)
  failures[0]!()
  expect(await reloaded).toBe('Error: out of reach')
  registry.last = 8
  expect(view.number()).toBe(0)
  const refreshed = view.refresh(new StaleView(9))
  loads[1]!()
  await refreshed
  expect(view.number()).toBe(9)
})

test('an index that a line lacks entries of is lost, without a load', async () => {
  const { view, registry, loads } = viewOf()
  const life = { id: 'i', generation: 3 }
  await view.refresh(new StaleView(0, life))
  expect([registry.lost, loads.length]).toEqual([[life], 0])
})
