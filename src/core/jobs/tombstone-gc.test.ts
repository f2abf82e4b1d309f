import { afterEach, expect, test } from 'bun:test'
import { until } from '../../../test/support/engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import type { Engine } from '../engine.ts'
import { nextTick } from '../next-tick.ts'
import { startTombstoneGc } from './tombstone-gc.ts'

const timers = manualTimers()
afterEach(() => expect(timers.running()).toBe(0))

/** An engine with so many old tombstones. */
function setUp(tombstones: number) {
  const asked: number[][] = []
  const state = { left: tombstones, fault: null as Error | null, asked }
  async function forget(beforeMs: number, limit: number): Promise<number> {
    if (state.fault !== null) throw state.fault
    asked.push([beforeMs, limit])
    const count = Math.min(limit, state.left)
    state.left -= count
    return count
  }
  return { state, engine: { forget } as unknown as Engine }
}

test('forgets in batches what is older than it keeps', async () => {
  const { state, engine } = setUp(2500)
  const gc = startTombstoneGc(engine, 600, () => 5000, fail, timers)
  timers.pass(59_999)
  expect(state.asked).toEqual([])
  timers.pass(1)
  timers.pass(60_000)
  await until(() => state.left === 0, 'all are forgotten')
  await gc.stop()
  expect(state.asked).toEqual([
    [4400, 1000],
    [4400, 1000],
    [4400, 1000],
  ])
})

test('a run that fails is reported, and the next goes on', async () => {
  const { state, engine } = setUp(3)
  const errors: unknown[] = []
  const gc = startTombstoneGc(
    engine,
    600,
    () => 5000,
    (error) => errors.push(error),
    timers,
  )
  state.fault = new Error('no')
  timers.pass(60_000)
  await until(() => errors.length > 0, 'it is reported')
  expect(errors).toEqual([state.fault])
  state.fault = null
  timers.pass(60_000)
  await gc.stop()
  expect(state.left).toBe(0)
})

test('stops between two batches', async () => {
  const { state, engine } = setUp(1_000_000)
  const gc = startTombstoneGc(engine, 600, () => 5000, fail, timers)
  timers.pass(60_000)
  await gc.stop()
  const { left } = state
  timers.pass(60_000)
  for (let i = 0; i < 5; i++) await nextTick()
  expect(state.left).toBe(left)
  expect(left).toBeGreaterThan(0)
})

test('a stop waits for the batch under way', async () => {
  let finish = (_forgotten: number) => {}
  const forget = () => new Promise<number>((resolve) => (finish = resolve))
  const gc = startTombstoneGc({ forget } as unknown as Engine, 600, () => 5000, fail, timers)
  timers.pass(60_000)
  let isStopped = false
  const stopping = gc.stop().then(() => {
    isStopped = true
  })
  for (let i = 0; i < 20; i++) await Promise.resolve()
  expect(isStopped).toBe(false)
  finish(1000)
  await stopping
})

function fail(error: unknown): never {
  throw error
}
