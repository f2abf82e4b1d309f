import { expect, test } from 'bun:test'
import { keyedMutex } from './keyed-mutex.ts'

/** A task that ends when the test says so, and writes down when it began and ended. */
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

test('tasks of one key run one after the other, those of others beside them', async () => {
  const exclusive = keyedMutex()
  const { events, task, end } = tasks()
  const first = exclusive(['a'], task('first'))
  const second = exclusive(['a'], task('second'))
  const other = exclusive(['b'], task('other'))
  expect(events).toEqual(['first begins', 'other begins'])
  end('other')
  expect(await other).toBe('other')
  end('first')
  expect(await first).toBe('first')
  end('second')
  expect(await second).toBe('second')
  expect(events.slice(2)).toEqual(['other ends', 'first ends', 'second begins', 'second ends'])
})

test('a task of several keys waits for all who have one of them, and those behind it wait for it', async () => {
  const exclusive = keyedMutex()
  const { events, task, end } = tasks()
  const a = exclusive(['a'], task('a'))
  const b = exclusive(['b'], task('b'))
  const both = exclusive(['b', 'a'], task('both'))
  const behind = exclusive(['a', 'b'], task('behind'))
  end('b')
  await b
  await Bun.sleep(0)
  expect(events).toEqual(['a begins', 'b begins', 'b ends'])
  end('a')
  await a
  await Bun.sleep(0)
  expect(events.at(-1)).toBe('both begins')
  end('both')
  await both
  await Bun.sleep(0)
  expect(events.at(-1)).toBe('behind begins')
  end('behind')
  await behind
})

test('a task that fails rejects for its own caller, and the next one runs', async () => {
  const exclusive = keyedMutex()
  const failing = exclusive(['a'], () => Promise.reject(new Error('no')))
  const next = exclusive(['a'], async () => 'yes')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
})
