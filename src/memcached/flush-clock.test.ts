import { afterEach, beforeEach, expect, jest, test } from 'bun:test'
import { flushClock } from './flush-clock.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

const dayMs = 86_400_000

function counted() {
  const errors: unknown[] = []
  let count = 0
  const clock = flushClock(
    async () => {
      count++
      if (count === 2) throw new Error('no')
    },
    Date.now,
    (error) => void errors.push(error),
  )
  return { clock, count: () => count, errors }
}

test('a moment that is further ahead than timers reach is met all the same', async () => {
  const { clock, count } = counted()
  clock.at(Date.now() + 100 * dayMs)
  for (let day = 1; day < 100; day++) jest.advanceTimersByTime(dayMs)
  jest.advanceTimersByTime(dayMs - 1)
  expect(count()).toBe(0)
  jest.advanceTimersByTime(1)
  expect(count()).toBe(1)
})

test('the latest moment counts, and a flush at once takes it back', async () => {
  const { clock, count } = counted()
  clock.at(Date.now() + 1000)
  clock.at(Date.now() + 5000)
  jest.advanceTimersByTime(2000)
  expect(count()).toBe(0)
  await clock.now()
  jest.advanceTimersByTime(dayMs)
  expect(count()).toBe(1)
})

test('a flush that fails rejects for its caller, or is reported', async () => {
  const { clock, errors } = counted()
  await clock.now()
  await expect(clock.now()).rejects.toThrow('no')
  expect(errors).toEqual([])
})

test('nothing comes after the stop', () => {
  const { clock, count } = counted()
  clock.at(Date.now() + 1000)
  clock.stop()
  jest.advanceTimersByTime(5000)
  expect(count()).toBe(0)
})
