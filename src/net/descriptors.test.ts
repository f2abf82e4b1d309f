import { expect, test } from 'bun:test'
import { connectionCounts } from './descriptors.ts'
import { maxLingering } from './rejected.ts'

const reserved = 48 + maxLingering

test('connections are what the limit on open files leaves, and half of them for one address', () => {
  const half = (maxConnections: number, maxPerAddress: number) => {
    return { maxConnections, maxPerAddress, exemptsLoopback: true }
  }
  expect(connectionCounts(null, null, reserved + 1001)).toEqual(half(1001, 501))
  expect(connectionCounts(null, null, reserved + 16)).toEqual(half(16, 8))
  expect(connectionCounts(null, null, Number.POSITIVE_INFINITY).maxConnections).toBe(1_000_000)
  expect(connectionCounts(7, null, reserved + 100)).toEqual(half(7, 4))
  expect(connectionCounts(100, null, reserved + 100).maxConnections).toBe(100)
})

test('the number for one address is the one asked for, and then for addresses of this machine too', () => {
  const asked = { maxConnections: 100, maxPerAddress: 7, exemptsLoopback: false }
  expect(connectionCounts(null, 7, reserved + 100)).toEqual(asked)
  expect(connectionCounts(100, 7, reserved + 100)).toEqual(asked)
})

test('what the limit does not allow is refused with the limit that it takes', () => {
  expect(() => connectionCounts(101, null, reserved + 100)).toThrow(
    `--max-connections 101 needs a limit on open files (ulimit -n) of ${reserved + 101}, and it is ${reserved + 100}`,
  )
  expect(() => connectionCounts(null, null, reserved + 15)).toThrow(
    `the limit on open files (ulimit -n) is ${reserved + 15}; kvist needs at least ${reserved + 16}`,
  )
})
