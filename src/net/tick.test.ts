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
    flush() {
      done.push(`flush ${i}`)
    },
  }))
  return { done, connections }
}

test('all that came in is processed before the responses go out', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 3)
  for (const one of connections) ticks.scheduleInput(one)
  expect(done).toEqual([])
  await nextTick()
  const all = (what: string) => [`${what} 0`, `${what} 1`, `${what} 2`]
  expect(done).toEqual([...all('process'), ...all('flush')])
})

test('work that input leads to is done once all of it is processed, with what that leads to, before the responses', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 3)
  for (const [i, one] of connections.entries()) {
    ticks.scheduleInput({
      process() {
        one.process()
        ticks.scheduleWork(() => {
          done.push(`work ${i}`)
          if (i === 1) ticks.scheduleWork(() => done.push('more work'))
        })
      },
    })
  }
  await nextTick()
  const all = (what: string) => [`${what} 0`, `${what} 1`, `${what} 2`]
  expect(done).toEqual([...all('process'), ...all('work'), 'more work', ...all('flush')])
})

test('work that comes up outside of a tick is done soon, all of it before the responses', async () => {
  const ticks = startTicks(() => {})
  const { done, connections } = connectionsOf(ticks, 2)
  for (const [i, one] of connections.entries()) {
    ticks.scheduleWork(() => {
      one.process()
      done.push(`work ${i}`)
    })
  }
  expect(done).toEqual([])
  await Promise.resolve()
  expect(done).toEqual(['process 0', 'work 0', 'process 1', 'work 1', 'flush 0', 'flush 1'])
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
  expect(done).toHaveLength(80)
  expect(done.indexOf('flush 0')).toBeLessThan(done.indexOf('process 39'))
  expect(done.at(-1)).toBe('flush 39')
})

test('one that fails keeps no other from its work', async () => {
  const errors: unknown[] = []
  const ticks = startTicks((error) => errors.push(error))
  const { done, connections } = connectionsOf(ticks, 2)
  const failing = {
    process: () => {
      throw 'processing'
    },
    flush: () => {
      throw 'flushing'
    },
  }
  ticks.scheduleFlush(failing)
  ticks.scheduleInput(failing)
  ticks.scheduleWork(() => {
    throw 'working'
  })
  ticks.scheduleWork(() => done.push('work'))
  for (const one of connections) ticks.scheduleInput(one)
  await nextTick()
  expect(done).toEqual(['work', 'process 0', 'process 1', 'flush 0', 'flush 1'])
  expect(errors).toEqual(['flushing', 'working', 'processing'])
})
