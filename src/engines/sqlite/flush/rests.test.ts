import { expect, test } from 'bun:test'
import { monotonicMs } from '../../../runtime/clock.ts'
import { endRests, resterOf } from './rests.ts'

const hurry = () => new Int32Array(new SharedArrayBuffer(4))

/** Calls `rest` as often as rows are written in some milliseconds of work. */
function work(rest: () => void, ms: number): void {
  const endMs = monotonicMs() + ms
  while (monotonicMs() < endMs) for (let i = 0; i < 64; i++) rest()
}

test('a job rests as long as its factor says, and never with none', () => {
  for (const [factor, least] of [
    [0, 0],
    [2, 5],
  ] as const) {
    const { rest, restedMs } = resterOf({ factor, hurry: hurry() })
    work(rest, 10)
    expect(restedMs()).toBeGreaterThanOrEqual(least)
    if (factor === 0) expect(restedMs()).toBe(0)
  }
})

test('it rests no more once somebody waits for it', () => {
  const rests = { factor: 2, hurry: hurry() }
  const { rest, restedMs } = resterOf(rests)
  endRests(rests)
  work(rest, 10)
  expect(restedMs()).toBeLessThan(1)
})

test('what is done before each rest is done as often by a job without rests', () => {
  for (const factor of [0, 1]) {
    let calls = 0
    const { rest } = resterOf({ factor, hurry: hurry() }, () => calls++)
    work(rest, 20)
    expect(calls).toBeGreaterThan(2)
    expect(calls).toBeLessThan(14)
  }
})
