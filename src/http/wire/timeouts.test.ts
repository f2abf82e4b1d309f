import { expect, test } from 'bun:test'
import { ConnectionTimeouts } from './timeouts.ts'

function start() {
  const clock = { seconds: 100 }
  return { clock, timeouts: new ConnectionTimeouts(clock, 30) }
}

test('a client has its full time from the start, and again with each reset', () => {
  const { clock, timeouts } = start()
  clock.seconds = 130
  expect([timeouts.isExceeded, timeouts.lastActive]).toEqual([false, 100])
  clock.seconds = 131
  expect(timeouts.isExceeded).toBe(true)
  timeouts.reset()
  expect([timeouts.isExceeded, timeouts.lastActive]).toEqual([false, 131])
})

test('a timeout that is switched off is never over, and is not extended, until it is reset', () => {
  const { clock, timeouts } = start()
  timeouts.disable()
  clock.seconds = 1e9
  timeouts.extend()
  expect([timeouts.isDisabled, timeouts.isExceeded]).toEqual([true, false])
  timeouts.reset()
  clock.seconds += 30
  timeouts.extend()
  clock.seconds += 30
  expect([timeouts.isDisabled, timeouts.isExceeded]).toEqual([false, false])
})

test('a client that has only to close gets five seconds', () => {
  const { clock, timeouts } = start()
  timeouts.linger()
  clock.seconds += 5
  expect(timeouts.isExceeded).toBe(false)
  clock.seconds++
  expect(timeouts.isExceeded).toBe(true)
})

test('a stream is silent two seconds after its last part', () => {
  const { clock, timeouts } = start()
  timeouts.partSent()
  clock.seconds += 2
  expect(timeouts.isStreamSilent).toBe(false)
  clock.seconds++
  expect(timeouts.isStreamSilent).toBe(true)
})
