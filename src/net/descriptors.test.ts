import { expect, test } from 'bun:test'
import { connectionCounts } from './descriptors.ts'
import { maxLingering } from './rejected.ts'

const reserved = 48 + maxLingering

test('connections are what the limit on open files leaves, and half of them for one address', () => {
  expect(connectionCounts(null, reserved + 1001)).toEqual({ maxConnections: 1001, maxPerAddress: 501 })
  expect(connectionCounts(null, reserved + 16)).toEqual({ maxConnections: 16, maxPerAddress: 8 })
  expect(connectionCounts(null, Number.POSITIVE_INFINITY).maxConnections).toBe(1_000_000)
  expect(connectionCounts(7, reserved + 100)).toEqual({ maxConnections: 7, maxPerAddress: 4 })
  expect(connectionCounts(100, reserved + 100).maxConnections).toBe(100)
})

test('what the limit does not allow is refused with the limit that it takes', () => {
  expect(() => connectionCounts(101, reserved + 100)).toThrow(
    `--max-connections 101 needs a limit on open files (ulimit -n) of ${reserved + 101}, and it is ${reserved + 100}`,
  )
  expect(() => connectionCounts(null, reserved + 15)).toThrow(
    `the limit on open files (ulimit -n) is ${reserved + 15}; kvist needs at least ${reserved + 16}`,
  )
})
