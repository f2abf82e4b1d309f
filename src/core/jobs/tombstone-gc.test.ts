import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import type { Engine } from '../engine.ts'
import { startTombstoneGc } from './tombstone-gc.ts'

afterEach(() => mock.restore())

/** An engine with so many old tombstones; and what starts a run. */
function setUp(tombstones: number) {
  let tick: () => void = () => {}
  const asked: number[][] = []
  const state = { left: tombstones, fault: null as Error | null, asked, tick: () => tick() }
  spyOn(globalThis, 'setInterval').mockImplementation(((run: () => void) => {
    tick = run
    return { unref() {} }
  }) as unknown as typeof setInterval)
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
  const gc = startTombstoneGc(engine, 600, () => 5000, fail)
  expect(state.asked).toEqual([])
  state.tick()
  state.tick()
  while (state.left > 0) await Bun.sleep(2)
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
  )
  state.fault = new Error('no')
  state.tick()
  await Bun.sleep(2)
  expect(errors).toEqual([state.fault])
  state.fault = null
  state.tick()
  await gc.stop()
  expect(state.left).toBe(0)
})

test('stops between two batches', async () => {
  const { state, engine } = setUp(1_000_000)
  const gc = startTombstoneGc(engine, 600, () => 5000, fail)
  state.tick()
  await gc.stop()
  const { left } = state
  await Bun.sleep(5)
  expect(state.left).toBe(left)
  expect(left).toBeGreaterThan(0)
})

test('a stop waits for the batch under way', async () => {
  const { state } = setUp(0)
  let finish = (_forgotten: number) => {}
  const forget = () => new Promise<number>((resolve) => (finish = resolve))
  const gc = startTombstoneGc({ forget } as unknown as Engine, 600, () => 5000, fail)
  state.tick()
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
