import { expect, test } from 'bun:test'
import { startTurns, type Turn } from './turn.ts'

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Connections that answer what they look at, and a list of what they do. */
function connectionsOf(turn: Turn, count: number) {
  const done: string[] = []
  const connections = Array.from({ length: count }, (_, i) => ({
    look() {
      done.push(`look ${i}`)
      turn.hasOutput(this)
    },
    foresee() {
      done.push(`foresee ${i}`)
    },
    flush() {
      done.push(`flush ${i}`)
    },
  }))
  return { done, connections }
}

test('all that came in is foreseen, and then looked at, before the answers go out', async () => {
  const turn = startTurns(() => {})
  const { done, connections } = connectionsOf(turn, 3)
  for (const one of connections) turn.hasInput(one)
  expect(done).toEqual([])
  await nextTurn()
  const all = (what: string) => [`${what} 0`, `${what} 1`, `${what} 2`]
  expect(done).toEqual([...all('foresee'), ...all('look'), ...all('flush')])
})

test('one alone is looked at without being foreseen', async () => {
  const turn = startTurns(() => {})
  const { done, connections } = connectionsOf(turn, 1)
  turn.hasInput(connections[0]!)
  await nextTurn()
  expect(done).toEqual(['look 0', 'flush 0'])
})

test('answers that come late go out when all of them are made', async () => {
  const turn = startTurns(() => {})
  const { done, connections } = connectionsOf(turn, 2)
  const written = Promise.resolve()
  for (const one of connections) written.then(() => one.look())
  await written
  await Promise.resolve()
  expect(done).toEqual(['look 0', 'look 1', 'flush 0', 'flush 1'])
})

test('of many answers the first do not wait for the last', async () => {
  const turn = startTurns(() => {})
  const { done, connections } = connectionsOf(turn, 40)
  for (const one of connections) turn.hasInput(one)
  await nextTurn()
  expect(done).toHaveLength(120)
  expect(done.indexOf('flush 0')).toBeLessThan(done.indexOf('look 39'))
  expect(done.at(-1)).toBe('flush 39')
})

test('one that fails keeps no other from its turn', async () => {
  const errors: unknown[] = []
  const turn = startTurns((error) => errors.push(error))
  const { done, connections } = connectionsOf(turn, 2)
  const failing = {
    foresee: () => {
      throw 'foreseeing'
    },
    look: () => {
      throw 'looking'
    },
    flush: () => {
      throw 'flushing'
    },
  }
  turn.hasOutput(failing)
  turn.hasInput(failing)
  for (const one of connections) turn.hasInput(one)
  await nextTurn()
  expect(done).toEqual(['foresee 0', 'foresee 1', 'look 0', 'look 1', 'flush 0', 'flush 1'])
  expect(errors).toEqual(['flushing', 'foreseeing', 'looking'])
})
