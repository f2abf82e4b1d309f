import { expect, test } from 'bun:test'
import { Fifo } from './fifo.ts'

test('entries come out in their order, also of a queue that is never empty', () => {
  const fifo = new Fifo<number>()
  expect(fifo.shift()).toBeUndefined()
  let next = 0
  for (let i = 0; i < 10_000; i++) {
    fifo.push(2 * i)
    fifo.push(2 * i + 1)
    expect(fifo.first).toBe(next)
    expect(fifo.shift()).toBe(next++)
  }
  expect(fifo.length).toBe(10_000)
  while (fifo.length > 0) expect(fifo.shift()).toBe(next++)
  expect(fifo.first).toBeUndefined()
  fifo.push(7)
  expect([fifo.length, fifo.shift()]).toEqual([1, 7])
})
