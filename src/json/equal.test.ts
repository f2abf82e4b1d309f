import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isEqualJson } from './equal.ts'

const anyDepth = () => {}

const equal: [a: string, b: string][] = [
  ['{"a":1,"b":[2,{"c":3}]}', ' {"b" : [2, {"c":3}],\n"a":1} '],
  ['"\\u0061\\/"', '"a/"'],
  ['{"\\u0061":1}', '{"a":1}'],
  ['{"a":2,"a":1}', '{"a":1}'],
  ['1', '1.0'],
  ['100', '1e2'],
  ['0.001', '1E-3'],
  ['-0', '0.00e7'],
  ['12345678901234567890.10', '1.23456789012345678901e19'],
  ['1e400', '10E+399'],
  ['{"__proto__":{"x":1}}', '{"__proto__":{"x":1.0}}'],
  ['{"hasOwnProperty":1,"toString":2}', '{"toString":2,"hasOwnProperty":1.0}'],
]
test.each(equal)('%s equals %s', (a, b) => {
  expect(isEqualJson(a, b, anyDepth)).toBe(true)
  expect(isEqualJson(b, a, anyDepth)).toBe(true)
})

const different: [a: string, b: string][] = [
  ['12345678901234567890', '12345678901234567891'],
  ['0.1', '0.1000000000000000055511151231257827'],
  ['1e400', '1e401'],
  ['1e-400', '0'],
  ['1', '-1'],
  ['1', '"1"'],
  ['0', 'false'],
  ['null', '{}'],
  ['[]', '{}'],
  ['[1,2]', '[2,1]'],
  ['[1]', '[1,1]'],
  ['{"a":1}', '{"a":1,"b":1}'],
  ['{"a":1}', '{"b":1}'],
  ['{"a":null}', '{"b":null}'],
  ['{"__proto__":1}', '{}'],
  ['"a"', '"A"'],
  ['true', 'false'],
  ['1e1234567890123456789', '1e1234567890123456780'],
]
test.each(different)('%s is not %s', (a, b) => {
  expect(isEqualJson(a, b, anyDepth)).toBe(false)
  expect(isEqualJson(b, a, anyDepth)).toBe(false)
})

test('it limits its depth, and its work', () => {
  const looked: [number, number][] = []
  isEqualJson('{"a":[1,2.0]}', '{"a":[1,2]}', (...one) => looked.push(one))
  expect(looked).toEqual([
    [0, 24],
    [1, 12],
    [2, 4],
  ])
})

test('of what JSON.parse keeps apart, it says what comparing the parsed says', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 3 }), fc.json({ maxDepth: 3 }), (a, b) => {
      const parsed = [JSON.parse(a), JSON.parse(b)]
      expect(isEqualJson(a, b, anyDepth)).toBe(Bun.deepEquals(zeros(parsed[0]), zeros(parsed[1])))
      expect(isEqualJson(a, JSON.stringify(parsed[0], null, 1), anyDepth)).toBe(true)
    }),
  )
})

/** Without -0, which JSON writes like 0. */
function zeros(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
