import { expect, test } from 'bun:test'
import { taskLanes } from './lanes.ts'

/** A task that ends when it is told to, and writes down when it began and ended. */
function tasks() {
  const events: string[] = []
  const ends = new Map<string, () => void>()
  function task(name: string) {
    return async () => {
      events.push(`${name} begins`)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      events.push(`${name} ends`)
      return name
    }
  }
  return { events, task, end: (name: string) => ends.get(name)!() }
}

test('tasks of one name run one after the other, those of others beside them', async () => {
  const inLane = taskLanes()
  const { events, task, end } = tasks()
  const first = inLane('a', task('first'))
  const second = inLane('a', task('second'))
  const other = inLane('b', task('other'))
  expect(events).toEqual(['first begins', 'other begins'])
  end('other')
  expect(await other).toBe('other')
  end('first')
  expect(await first).toBe('first')
  end('second')
  expect(await second).toBe('second')
  expect(events.slice(2)).toEqual(['other ends', 'first ends', 'second begins', 'second ends'])
})

test('a task that fails tells its own caller, and the next one runs', async () => {
  const inLane = taskLanes()
  const failing = inLane('a', () => Promise.reject(new Error('no')))
  const next = inLane('a', async () => 'yes')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})
