import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { patchLimits } from '../core/patch.ts'
import { JsonError } from './errors.ts'
import { mergePatch } from './merge-patch.ts'
import { objectText, withMembers } from './object.ts'

const patched = (target: string | undefined, patch: string) => mergePatch(target, patch, patchLimits)

/** The appendix of RFC 7396, row by row. */
const cases: [target: string, patch: string, result: string][] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  // Beyond the appendix: what is not touched keeps its digits, and names are only names.
  ['{"n":12345678901234567890,"f":1.0}', '{"a":1e400}', '{"n":12345678901234567890,"f":1.0,"a":1e400}'],
  ['{"a":1}', '{"__proto__":{"polluted":true}}', '{"a":1,"__proto__":{"polluted":true}}'],
  ['{"\\u0061":1}', '{"a":2}', '{"a":2}'],
  [' {"a": [ 1 ] } ', ' {"b" : 2}', '{"a":[ 1 ],"b":2}'],
]

test.each(cases)('%s patched with %s', (target, patch, result) => {
  expect(patched(target, patch)).toBe(result)
})

test('a patch of nothing makes what is there without the nulls', () => {
  expect(patched(undefined, '{"a":{"b":null,"c":1},"d":null}')).toBe('{"a":{"c":1}}')
})

test('a patch that is nested too deep is refused, not a stack that overflows', () => {
  const deep = `${'{"a":'.repeat(101)}1${'}'.repeat(101)}`
  expect(() => patched('{}', deep)).toThrow(JsonError)
  expect(patched('{}', `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`)).toContain('{"a":1}')
})

test('a patch that would look through a large value again and again is refused', () => {
  const nested = (levels: number, inner: string) => `${'{"a":'.repeat(levels)}${inner}${'}'.repeat(levels)}`
  const large = `["${'x'.repeat(10_000_000)}"]`
  expect(patched(nested(10, large), nested(10, '1'))).toBe(nested(10, '1'))
  expect(() => patched(nested(90, large), nested(90, '1'))).toThrow('too much work')
})

test('setting members keeps the others as they stand', () => {
  expect(
    withMembers('{"a": 1.0, "b":2}', [
      ['b', '3'],
      ['c', '"x"'],
    ]),
  ).toBe('{"a":1.0,"b":3,"c":"x"}')
  expect(withMembers('{}', [])).toBe('{}')
  expect(objectText(new Map([['"', '1']]))).toBe('{"\\"":1}')
})

test('it does what the definition of RFC 7396 does on parsed values', () => {
  fc.assert(
    fc.property(fc.json(), fc.json(), (target, patch) => {
      expect(JSON.parse(patched(target, patch))).toEqual(defined(JSON.parse(target), JSON.parse(patch)))
    }),
  )
})

type Fields = Record<string, unknown>

function defined(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: Fields = Object.assign(Object.create(null), isObject(target) ? target : {})
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name]
    else result[name] = defined(result[name], value)
  }
  return { ...result }
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
