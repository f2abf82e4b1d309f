import { expect, test } from 'bun:test'
import { type Packable, packed } from './msgpack.ts'

const hex = (value: Packable) => packed(value).toString('hex')

test('numbers, texts, bytes and lists are as MessagePack has them', () => {
  const cases: [Packable, string][] = [
    [0, '00'],
    [127, '7f'],
    [-1, 'ff'],
    [-32, 'e0'],
    [128, 'cb4060000000000000'],
    [2 ** 52, 'cb4330000000000000'],
    ['', 'a0'],
    ['é', 'a2c3a9'],
    [new Uint8Array([0, 255]), 'a200ff'],
    [[], '90'],
    [[1, ['a']], '920191a161'],
  ]
  for (const [value, expected] of cases) expect([value, hex(value)]).toEqual([value, expected])
})

test('lengths take as many bytes as they need', () => {
  expect(hex('x'.repeat(31))).toStartWith('bf78')
  expect(hex('x'.repeat(32))).toStartWith('da002078')
  expect(hex('x'.repeat(65_536))).toStartWith('db0001000078')
  expect(hex(Array(15).fill(1))).toStartWith('9f01')
  expect(hex(Array(16).fill(1))).toStartWith('dc001001')
  expect(hex(Array(65_536).fill(1))).toStartWith('dd0001000001')
})

test('what is packed stays as it is when more is packed', () => {
  const first = packed('first')
  packed('x'.repeat(3_000_000))
  expect(first.toString('latin1')).toBe('\xa5first')
})
