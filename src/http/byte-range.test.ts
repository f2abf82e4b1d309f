import { expect, test } from 'bun:test'
import { parseByteRange } from './byte-range.ts'

test.each([
  ['bytes=0-0', 0, 1],
  ['bytes=0-', 0, 10],
  ['bytes=9-', 9, 10],
  ['bytes=2-4', 2, 5],
  ['bytes=2-9', 2, 10],
  ['bytes=2-99999999999999999999', 2, 10],
  ['bytes=-3', 7, 10],
  ['bytes=-10', 0, 10],
  ['bytes=-11', 0, 10],
  ['Bytes = 2-4', 2, 5],
  // Empty elements of a list count for nothing.
  ['bytes=,2-4,', 2, 5],
])('%s of ten bytes', (header, from, to) => {
  expect(parseByteRange(header, 10)).toEqual({ from, to })
})

test.each(['bytes=10-', 'bytes=10-12', 'bytes=99999999999999999999-', 'bytes=-0'])(
  '%s of ten bytes cannot be had',
  (header) => {
    expect(parseByteRange(header, 10)).toBe('unsatisfiable')
  },
)

test.each(['bytes=0-', 'bytes=-1', 'bytes=0-0'])('%s of no bytes cannot be had', (header) => {
  expect(parseByteRange(header, 0)).toBe('unsatisfiable')
})

test.each([
  '',
  'bytes',
  'bytes=',
  'bytes=-',
  'bytes=4-2',
  'bytes=a-b',
  'bytes=1',
  'bytes=1-2-3',
  'bytes=--1',
  'bytes=0x1-',
  'bytes=1.5-',
  'bytes=0-1,2-3',
  'bytes=0-1, bytes=2-3',
  'items=0-1',
  '0-1',
])('%s asks for nothing that is served', (header) => {
  expect(parseByteRange(header, 10)).toBeNull()
})
