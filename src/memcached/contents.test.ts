import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seedOfRun } from '../../test/support/random.ts'
import type { Member, Value } from '../core/member.ts'
import { contentAfter, contentOf, itemOf, wireValue } from './contents.ts'

const json = 'application/json'
const text = 'text/plain; charset=utf-8'
const bytes = 'application/octet-stream'

const contents: [sent: string | number[], contentType: string][] = [
  ['42', json],
  [' -4.20e1\n', json],
  ['{"a":[1, 2]}', json],
  ['[]', json],
  ['true', json],
  ['null', json],
  ['18446744073709551615', json],
  ['{"grüße":"\\ud83d\\ude00"}', json],
  ['"a string of JSON"', text],
  ['hello', text],
  ['', text],
  ['   ', text],
  ['007', text],
  ['nothing', text],
  ['{"a":1} ', json],
  ['{"a":1}x', text],
  ['[[[[', text],
  ['grüße', text],
  [[0xff, 0xfe], bytes],
  [[0x7b, 0x22, 0xff, 0x22, 0x7d], bytes],
]

test.each(contents)('%j is kept as %s', (sent, contentType) => {
  expect(contentOf(Buffer.from(sent as string)).contentType).toBe(contentType)
})

test('whatever bytes are sent are read again', () => {
  const jsonLike = fc.oneof(fc.json(), fc.json().map(JSON.stringify), fc.double().map(String))
  const sent = fc.oneof(
    fc.uint8Array(),
    fc.string({ unit: 'binary' }).map((one) => Buffer.from(one)),
    jsonLike.map((one) => Buffer.from(one)),
  )
  fc.assert(
    fc.property(sent, (given) => {
      const read = wireValue(contentOf(given).value)
      expect(Buffer.from(read as string)).toEqual(Buffer.from(given))
    }),
    { seed: seedOfRun(), numRuns: 2000 },
  )
})

test('a string of JSON is read as its text, other JSON as it was stored', () => {
  expect(wireValue('"gr\\u00fc\\n"')).toBe('grü\n')
  expect(wireValue('\n "x"')).toBe('x')
  expect(wireValue('{"a": "x"}')).toBe('{"a": "x"}')
})

function member(value: Value, contentType: string): Member {
  const rest = { key: 'k', revision: 7, createdAtMs: 0, clock: 2048, node: '', flags: 3, expiresAtMs: null }
  return { ...rest, value, contentType }
}

function after(found: Member | null, value: string | Uint8Array) {
  return contentAfter({ value, flags: 0, expiresAtMs: null }, found, found && itemOf(found).value)
}

test('a touch leaves the value as it was stored', () => {
  const found = member(' "x"', 'application/hal+json')
  expect(after(found, itemOf(found).value)).toMatchObject({
    value: ' "x"',
    contentType: 'application/hal+json',
  })
  const image = member(Buffer.from([1, 2]), 'image/png')
  expect(after(image, itemOf(image).value)).toMatchObject({ contentType: 'image/png' })
})

test('a counter stays of the kind that it was', () => {
  expect(after(null, '1')).toEqual({ value: '1', contentType: json })
  expect(after(member('41', 'application/x+json'), '42')).toEqual({
    value: '42',
    contentType: 'application/x+json',
  })
  expect(after(member('"41"', json), '42')).toEqual({ value: '"42"', contentType: json })
  expect(after(member(Buffer.from('41'), 'text/csv'), '42')).toEqual({
    value: Buffer.from('42'),
    contentType: 'text/csv',
  })
})

test('a new value has a type of its own', () => {
  expect(after(member('"x"', json), Buffer.from('xy')).contentType).toBe(text)
})
