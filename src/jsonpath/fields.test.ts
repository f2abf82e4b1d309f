import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { InvalidExpression } from './errors.ts'
import { fieldOf, parseField, parseFields, pick } from './fields.ts'
import { maxPickedFields, maxSegments } from './limits.ts'

const value = ` {"a": 1.0 ,"b" : {"c":[10,{"d":"x"}, 30 ],"e":{}} ,"é":2,"c,\\"]":3,"e\\u0073c":4}`

describe('the value of a field', () => {
  const cases: readonly [field: string, text: string | undefined][] = [
    ['@', value.trim()],
    ['$', value.trim()],
    ['@.a', '1.0'],
    [' @["a"] ', '1.0'],
    ["@['b'].c[0]", '10'],
    ['@.b.c[-1]', '30'],
    ['@.b.c[1].d', '"x"'],
    ['@.b.c[-2].d', '"x"'],
    ['@.b.c', '[10,{"d":"x"}, 30 ]'],
    ['@.é', '2'],
    [`@['c,"]']`, '3'],
    ['@.esc', '4'],
    ['@.c', undefined],
    ['@.d', undefined],
    ['@.b.c[3]', undefined],
    ['@.b.c[-4]', undefined],
    ['@.b.c.length', undefined],
    ['@.a.b', undefined],
    ['@[0]', undefined],
  ]
  for (const [field, text] of cases) {
    test(field, () => expect(fieldOf(value, parseField(field))).toBe(text!))
  }

  test('is found in values of any kind', () => {
    for (const json of ['1', '"@.a"', 'null', '[]', '{}', '[{"a":1}]', ' "{\\"a\\":1}" ']) {
      expect(fieldOf(json, parseField('@.a'))).toBeUndefined()
      expect(fieldOf(json, parseField('@'))).toBe(json.trim())
    }
    expect(fieldOf('[{"a":1}]', parseField('@[0].a'))).toBe('1')
  })

  test('is the last of members with the same name, as in JSON.parse', () => {
    const fields = parseFields('@.a,@.a.b,@.a.c')
    const valuesIn = (json: string) => fields.map((field) => fieldOf(json, field))
    expect(valuesIn('{"a":{"b":1},"a":{"c":2}}')).toEqual(['{"c":2}', undefined, '2'])
    expect(valuesIn('{"a":{"b":1,"b":2},"x":[]}')).toEqual(['{"b":1,"b":2}', '2', undefined])
    expect(valuesIn('{"a":1,"\\u0061":{"c":3}}')).toEqual(['{"c":3}', undefined, '3'])
    expect(valuesIn('{"a":{"c":3},"a":[]}')).toEqual(['[]', undefined, undefined])
  })

  test('is not confused by names in strings and in objects within', () => {
    for (const json of [
      '{"x":"a","y":"\\"a\\":1","a":7}',
      '{"x":{"a":1},"a":7,"y":{"a":2}}',
      '{"a":7,"x":"a","y":[{"a":1}]}',
      '{"x":"{","a":7}',
      '{"x":["a","a"],"a":7}',
      '{"aa":1,"ba":2,"a":7,"ab":3}',
      '{"a" : 7 , "x" : "a"}',
    ]) {
      expect([json, fieldOf(json, parseField('@.a'))]).toEqual([json, '7'])
    }
    expect(fieldOf('{"x":",",":":1}', parseField('@[","]'))).toBeUndefined()
    expect(fieldOf('{"x":"y",":":1}', parseField('@[","]'))).toBeUndefined()
  })

  test('is found among many fields', () => {
    const many = Array.from({ length: 40 }, (_, i) => `@["n${i}"].x[${i % 3}]`)
    const json = JSON.stringify(Object.fromEntries(many.map((_, i) => [`n${i}`, { x: [i, `x${i}`] }])))
    const escaped = json.replaceAll('"n', '"\\u006e')
    for (const text of [json, escaped]) {
      const picked = JSON.parse(pick(text, parseFields(many.join()))) as Record<string, unknown>
      expect(Object.keys(picked)).toHaveLength(27)
      expect([picked.n0, picked.n1, picked.n38]).toEqual([{ x: [0] }, { x: ['x1'] }, undefined])
    }
  })

  test('of random values is what JSON.parse has there', () => {
    const name = fc.constantFrom('a', 'b', ',', ':', 'a"', '\\', ' ', 'é', '', '{', '😀')
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom<unknown>(1, 'a', '"a":', '{', null),
        fc.array(tie('json'), { maxLength: 3 }),
        fc.dictionary(name, tie('json'), { maxKeys: 4 }),
      ),
    }))
    const path = fc.array(fc.oneof(name, name, fc.integer({ min: -2, max: 2 })), { maxLength: 3 })
    fc.assert(
      fc.property(json, path, fc.constantFrom(0, 1), (given, segments, indent) => {
        const field = parseField(`@${segments.map((segment) => `[${JSON.stringify(segment)}]`).join('')}`)
        expect(field.segments).toEqual(segments)
        let found: unknown = given
        for (const segment of segments) {
          if (Array.isArray(found)) found = typeof segment === 'number' ? found.at(segment) : undefined
          else if (typeof found !== 'object' || found === null) found = undefined
          else found = typeof segment === 'string' ? new Map(Object.entries(found)).get(segment) : undefined
        }
        const text = fieldOf(JSON.stringify(given, null, indent), field)
        expect(text === undefined ? undefined : JSON.parse(text)).toEqual(found)
      }),
      { numRuns: 3000, includeErrorInReport: true },
    )
  })
})

describe('a pick keeps the structure, and the texts', () => {
  const cases: readonly [fields: string, picked: string][] = [
    ['@', value.trim()],
    ['@.a', '{"a":1.0}'],
    ['@.b.c[1].d,@.a', '{"b":{"c":[{"d":"x"}]},"a":1.0}'],
    ['@.b.c[2], @.b.c[0],@.b.c[-1]', '{"b":{"c":[10,30]}}'],
    ['@.b,@.b.c[0]', '{"b":{"c":[10,{"d":"x"}, 30 ],"e":{}}}'],
    [`@['c,"]'],@.esc`, '{"c,\\"]":3,"esc":4}'],
    ['@.nothing,@.a.b', '{}'],
    ['@.nothing,@.b.e.f,@.é', '{"é":2}'],
  ]
  for (const [fields, picked] of cases) {
    test(fields, () => expect(pick(value, parseFields(fields))).toBe(picked))
  }

  test('of an array has the elements', () => {
    expect(pick('[1,{"a":2,"b":3}]', parseFields('@[1].b'))).toBe('[{"b":3}]')
    expect(pick('"text"', parseFields('@.a'))).toBe('{}')
  })
})

describe('what is not a field', () => {
  const mistakes: readonly string[] = [
    '',
    'a',
    '@a',
    '@.',
    '@.*',
    '@..a',
    '@[*]',
    '@[0:1]',
    '@["a","b"]',
    '@[?@.a]',
    '@.a b',
    '@.a,@.b',
    '@["a"',
    '@[9007199254740992]',
    '@[-0]',
    '@["\\ud800"]',
    '@["\ud800"]',
    '@["\n"]',
    `@${'.a'.repeat(maxSegments + 1)}`,
  ]
  for (const text of mistakes) {
    test(JSON.stringify(text).slice(0, 40), () => expect(() => parseField(text)).toThrow(InvalidExpression))
  }
  test('too many fields', () => {
    const fields = Array(maxPickedFields + 1).fill('@.a')
    expect(() => parseFields(fields.join())).toThrow(`there are at most ${maxPickedFields} fields`)
    expect(parseFields(fields.slice(1).join())).toHaveLength(maxPickedFields)
  })
})
