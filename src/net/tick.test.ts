import { expect, test } from 'bun:test'
import { startTicks, type TickScheduler } from './tick.ts'

function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Connections that respond to what they process, with a list of what they do. */
function connectionsOf(ticks: TickScheduler, count: number) {
  const done: string[] = []
  const connections = Array.from({ length: count }, (_, i) => ({
    process() {
      done.push(`process ${i}`)
      ticks.scheduleFlush(this)
    },
    prefetch() {
      done.push(`prefetch ${i}`)
    },
    flush() {
      done.push(`flush ${i}`)
    },
  }))
  return { done, connections }
}

test('all that came in is prefetched, and then processed, before the responses go out', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 3)
  for (const one of connections) ticks.scheduleInput(one)
  expect(done).toEqual([])
  await nextTick()
  const all = (what: string) => [`${what} 0`, `${what} 1`, `${what} 2`]
  expect(done).toEqual([...all('prefetch'), ...all('process'), ...all('flush')])
})

test('one alone is processed without being prefetched', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 1)
  ticks.scheduleInput(connections[0]!)
  await nextTick()
  expect(done).toEqual(['process 0', 'flush 0'])
})

test('responses that come late go out when all of them are made', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 2)
  const written = Promise.resolve()
  for (const one of connections) written.then(() => one.process())
  await written
  await Promise.resolve()
  expect(done).toEqual(['process 0', 'process 1', 'flush 0', 'flush 1'])
})

test('of many responses the first do not wait for the last', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 40)
  for (const one of connections) ticks.scheduleInput(one)
  await nextTick()
  expect(done).toHaveLength(120)
  expect(done.indexOf('flush 0')).toBeLessThan(done.indexOf('process 39'))
  expect(done.at(-1)).toBe('flush 39')
})

test('one that fails keeps no other from its work', async () => {
  const errors: unknown[] = []
  const ticks = startTicks((error) => errors.push(error))
  const { done, connections } = connectionsOf(ticks, 2)
  const failing = {
    prefetch: () => {
      throw 'prefetching'
    },
    process: () => {
      throw 'processing'
    },
    flush: () => {
      throw 'flushing'
    },
  }
  ticks.scheduleFlush(failing)
  ticks.scheduleInput(failing)
  for (const one of connections) ticks.scheduleInput(one)
  await nextTick()
  expect(done).toEqual(['prefetch 0', 'prefetch 1', 'process 0', 'process 1', 'flush 0', 'flush 1'])
  expect(errors).toEqual(['flushing', 'prefetching', 'processing'])
})
