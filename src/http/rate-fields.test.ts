import { expect, test } from 'bun:test'
import { parseRate } from '../core/rate.ts'
import { RateLimit } from '../core/rate-limit.ts'
import { RateFields } from './rate-fields.ts'

const fieldsOf = (rate: string) => new RateFields(new RateLimit(parseRate(rate)!))

test.each([
  ['200/s', 50, '"default";q=200;w=1', '"default";r=50;t=1'],
  ['200/s:400', 399, '"default";q=200;w=1;kvist-burst=400', '"default";r=399;t=1'],
  ['60/m', 0, '"default";q=60;w=60', '"default";r=0;t=1'],
  ['1000/h', 999, '"default";q=1000;w=3600', '"default";r=999;t=4'],
  ['1000000/s', 999_999, '"default";q=1000000;w=1', '"default";r=999999;t=1'],
])('of %s with %d left', (rate, left, policy, limit) => {
  expect(fieldsOf(rate).left(left)).toBe(`RateLimit-Policy: ${policy}\r\nRateLimit: ${limit}\r\n`)
})

test('numbers that share a slot are distinguished', () => {
  const fields = fieldsOf('100000/s')
  for (const left of [5, 1029, 5, 99_999, 2053, 1029, 0, 1024]) {
    expect(fields.left(left)).toContain(`;r=${left};`)
  }
})

test('of a refusal name the time to wait', () => {
  expect(fieldsOf('1/h').none(1800)).toContain('RateLimit: "default";r=0;t=1800\r\n')
})
