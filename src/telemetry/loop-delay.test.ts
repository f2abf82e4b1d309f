import { expect, test } from 'bun:test'
import { realTimers } from '../core/timers.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { measureLoopDelay } from './loop-delay.ts'

test('a timer that runs late is counted by how late it is', () => {
  let atMs = 1000
  let tick = () => {}
  const timers = {
    ...realTimers,
    every(_ms: number, run: () => void) {
      tick = run
      return () => {}
    },
  }
  const { seconds } = measureLoopDelay(timers, () => atMs)
  for (const passedMs of [20, 19, 20, 320, 20]) {
    atMs += passedMs
    tick()
  }
  expect(seconds.sum).toBeCloseTo(0.3)
  expect(seconds.counts[0]).toBe(4)
  expect(seconds.counts[seconds.bounds.indexOf(0.5)]).toBe(1)
})

test('a thread that is busy is seen, until the measuring is stopped', async () => {
  const { seconds, stop } = measureLoopDelay(realTimers, monotonicMs)
  const untilMs = monotonicMs() + 150
  while (monotonicMs() < untilMs);
  while (seconds.sum === 0) await Bun.sleep(5)
  expect(seconds.sum).toBeGreaterThan(0.1)
  stop()
  const { sum } = seconds
  const counts = [...seconds.counts]
  await Bun.sleep(60)
  expect(seconds.sum).toBe(sum)
  expect([...seconds.counts]).toEqual(counts)
})
