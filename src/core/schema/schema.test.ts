import { describe, expect, test } from 'bun:test'
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { type Random, random, seedOfRun } from '../../../test/support/random.ts'
import { KvistError } from '../errors.ts'
import { parseSchema, requireSchema, violationsOf } from './schema.ts'

const textOf = (schema: unknown) => parseSchema(schema)!

function breaks(schema: unknown, value: string) {
  return violationsOf(textOf(schema), value)
}

/** Returns the keywords that a value breaks, with the pointers. */
function broken(schema: unknown, value: string): string[] | null {
  return breaks(schema, value)?.map(({ pointer, keyword }) => `${keyword} ${pointer}`) ?? null
}

function faultIn(schema: unknown): { pointer: unknown; message: string } {
  try {
    requireSchema(textOf(schema))
  } catch (error) {
    if (error instanceof KvistError && error.code === 'invalid_schema')
      return { pointer: error.extra.pointer, message: error.message }
    throw error
  }
  throw new Error('there is no fault')
}

describe('violations', () => {
  const person = {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string' },
      age: { type: 'integer', minimum: 0 },
      tags: { uniqueItems: true },
    },
    additionalProperties: false,
  }

  test('say where, why and by which keyword', () => {
    expect(breaks(person, '{"name":"Ada","age":36}')).toBeNull()
    expect(breaks(person, '{"age":-1.5,"a/b~c":1,"tags":[1,{"x":1,"y":2},{"y":2,"x":1.0}]}')).toEqual([
      { pointer: '', keyword: 'required', reason: 'must have the property "name"' },
      {
        pointer: '/a~1b~0c',
        keyword: 'additionalProperties',
        reason: 'is not a property that the schema knows',
      },
      { pointer: '/age', keyword: 'type', reason: 'must be integer' },
      { pointer: '/age', keyword: 'minimum', reason: 'must be >= 0' },
      {
        pointer: '/tags',
        keyword: 'uniqueItems',
        reason: 'must not have equal items (items 1 and 2 are equal)',
      },
    ])
  })

  test('are bounded in number and in length', () => {
    const many = breaks({ items: { type: 'string' } }, JSON.stringify(Array(1000).fill(1)))
    expect(many).toHaveLength(20)
    const long = breaks({ additionalProperties: false }, JSON.stringify({ ['😀'.repeat(5000)]: 1 }))!
    expect(long[0]!.pointer).toMatch(/^\/(😀)+…$/u)
    expect(long[0]!.pointer.length).toBeLessThan(205)
    const [choice] = breaks({ enum: Array.from({ length: 3000 }, (_, i) => `choice ${i}`) }, '1')!
    expect(choice!.reason.length).toBeLessThan(205)
  })

  test('of a large value are the first one alone', () => {
    const value = `[${'1,'.repeat(30_000)}"x"]`
    expect(broken({ items: { type: 'string' } }, value)).toEqual(['type /0'])
  })

  test('a value that is not JSON breaks every schema but true', () => {
    const bytes = new TextEncoder().encode('text')
    expect(violationsOf('true', bytes)).toBeNull()
    for (const schema of [{}, { type: 'object' }, false])
      expect(violationsOf(textOf(schema), bytes)).toEqual([
        { pointer: '', keyword: 'json', reason: 'must be JSON' },
      ])
  })

  test('names of objects are no names of the value', () => {
    expect(broken({ required: ['toString'] }, '{}')).toEqual(['required '])
    expect(broken({ properties: { constructor: { type: 'string' } } }, '{}')).toBeNull()
    expect(broken({ required: ['__proto__'] }, '{"__proto__":1}')).toBeNull()
  })
})

/** A schema, a value that matches it, one that does not, and what that breaks. */
const spots: readonly [schema: AnySchema, matching: string, breaking: string, broken: string][] = [
  [{ type: ['string', 'null'] }, 'null', '0', 'type '],
  [{ const: { a: [1, 2] } }, '{"a":[1.0,2]}', '{"a":[2,1]}', 'const '],
  [{ enum: ['SE', 1, { a: 1, b: 2 }, null] }, '{"b":2,"a":1}', '"1"', 'enum '],
  [{ multipleOf: 0.01 }, '19.99', '19.995', 'multipleOf '],
  [{ exclusiveMaximum: 5 }, '4.999', '5', 'exclusiveMaximum '],
  [{ minLength: 2, maxLength: 3 }, '"😀😀"', '"😀😀😀😀"', 'maxLength '],
  [{ prefixItems: [{ type: 'number' }], items: { type: 'string' } }, '[1,"a"]', '[1,2]', 'type /1'],
  [{ contains: { minimum: 5 }, minContains: 2, maxContains: 3 }, '[5,6,1]', '[5]', 'contains '],
  [{ uniqueItems: true }, '[1,"1",true,[1],{"a":1}]', '[{"a":[0]},{"a":[-0.0]}]', 'uniqueItems '],
  [{ minProperties: 1, propertyNames: { maxLength: 1 } }, '{"a":1}', '{}', 'minProperties '],
  [{ patternProperties: { '^x-': { type: 'number' } } }, '{"y":""}', '{"x-a":""}', 'type /x-a'],
  [{ dependentRequired: { card: ['address'] } }, '{}', '{"card":1}', 'dependentRequired '],
  [{ dependentSchemas: { a: { required: ['b'] } } }, '{"a":1,"b":2}', '{"a":1}', 'required '],
  [{ oneOf: [{ type: 'number' }, { minimum: 5 }] }, '4', '6', 'oneOf '],
  [{ not: { type: 'string' } }, '1', '"a"', 'not '],
  [
    JSON.parse('{"if":{"required":["a"]},"then":{"required":["b"]},"else":false}'),
    '{"a":1,"b":1}',
    '{"a":1}',
    'required ',
  ],
  [
    { allOf: [{ properties: { a: true } }], unevaluatedProperties: false },
    '{"a":1}',
    '{"b":1}',
    'unevaluatedProperties /b',
  ],
  [{ prefixItems: [true], unevaluatedItems: false }, '[1]', '[1,2]', 'unevaluatedItems '],
  [{ $defs: { t: { $anchor: 't', type: 'object' } }, items: { $ref: '#t' } }, '[{}]', '[1]', 'type /0'],
  [
    {
      $id: 'https://example.com/tree',
      $dynamicAnchor: 'node',
      type: 'object',
      properties: { children: { type: 'array', items: { $dynamicRef: '#node' } } },
    },
    '{"children":[{"children":[]}]}',
    '{"children":[{"children":[1]}]}',
    'type /children/0/children/0',
  ],
  [
    { $ref: 'https://json-schema.org/draft/2020-12/schema' },
    '{"type":"string"}',
    '{"type":"x"}',
    'enum /type',
  ],
  [{ format: 'date-time' }, '"2026-02-28T12:00:00Z"', '"2026-02-30T12:00:00Z"', 'format '],
  [{ format: 'email' }, '"ada@example.com"', '"ada"', 'format '],
  [{ format: 'uuid' }, '"0190a5c2-7f3e-7000-8000-000000000000"', '"0190"', 'format '],
  [{ format: 'regex' }, '"^a+$"', '"("', 'format '],
  [{ 'x-note': { type: 5 }, type: 'number' }, '1', '""', 'type '],
]

test.each(spots)('%j', (schema, matching, breaking, expected) => {
  requireSchema(textOf(schema))
  expect(broken(schema, matching)).toBeNull()
  expect(broken(schema, breaking)).toContain(expected)
})

describe('a schema that cannot be used', () => {
  test.each([
    [{ type: 'strin' }, '/type', 'must be equal to one of the allowed values: array, boolean'],
    [{ properties: { age: { minimun: 0 } } }, '/properties/age/minimun', 'there is no keyword "minimun"'],
    [{ properties: { 'a/b': { format: 'ipv5' } } }, '/properties/a~1b/format', 'there is no format "ipv5"'],
    [{ items: { pattern: '(' } }, '/items/pattern', ''],
    [{ patternProperties: { '[': true } }, '/patternProperties/[', ''],
    [{ $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema', 'the only dialect is'],
    [{ allOf: [{ items: 5 }] }, '/allOf/0/items', 'a schema is an object, or true or false'],
    [{ $async: true }, '/$async', 'there is no keyword'],
    [{ nullable: true }, '/nullable', 'there is no keyword'],
    [JSON.parse('{"properties":{"__proto__":{"type":"string"}}}'), '/properties/__proto__', 'no property'],
    [{ required: 'name' }, '/required', 'must be array'],
    [{ minLength: -1 }, '/minLength', 'must be >= 0'],
    [{ $ref: 'http://127.0.0.1:1/other.json' }, '', "can't resolve reference http://127.0.0.1:1/other.json"],
    [{ $ref: '#/$defs/none' }, '', "can't resolve reference #/$defs/none"],
    [{ $defs: { a: { $id: 'x' }, b: { $id: 'x', type: 'string' } } }, '', 'resolves to more than one schema'],
    [{ $ref: '#' }, '', 'refers to itself without end'],
    [
      { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, items: { $ref: '#/$defs/a' } },
      '',
      'without end',
    ],
  ])('%j', (schema, pointer, why) => {
    const { pointer: found, message } = faultIn(schema)
    expect(message).toContain(why)
    expect(found).toBe(pointer)
  })

  test('is not one, or is too long or too deep', () => {
    for (const given of [1, 'x', []]) expect(() => parseSchema(given)).toThrow('"schema" is a JSON Schema')
    expect(parseSchema(null)).toBeNull()
    expect(() => parseSchema({ description: 'é'.repeat(40_000) })).toThrow('at most 65536 bytes')
    let deep: object = {}
    for (let level = 0; level < 64; level++) deep = { not: deep }
    expect(breaks(deep, '1')).toBeNull()
    requireSchema(textOf(deep))
    expect(faultIn({ not: deep }).message).toContain('at most 64 levels')
  })

  test('a long chain of references is one too', () => {
    const $defs: Record<string, object> = { d0: { type: 'string' } }
    for (let i = 1; i < 1500; i++) $defs[`d${i}`] = { $ref: `#/$defs/d${i - 1}` }
    const schema = { $defs, $ref: '#/$defs/d1499' }
    const text = textOf(schema)
    // Either it can be compiled, or it is refused as what it is.
    try {
      requireSchema(text)
      expect(broken(schema, '1')).toEqual(['type '])
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_schema' })
    }
  })
})

describe('what would take long', () => {
  const limit = [{ pointer: '', keyword: 'limit', reason: expect.any(String) }]

  test('a choice that doubles at each level ends', () => {
    const branch = { properties: { x: { $ref: '#/$defs/node' } }, required: ['x'] }
    const schema = { $defs: { node: { anyOf: [branch, branch] } }, $ref: '#/$defs/node' }
    requireSchema(textOf(schema))
    expect(breaks(schema, `${'{"x":'.repeat(60)}{}${'}'.repeat(60)}`)).toEqual(limit)
  })

  test('loops in loops over a large array end', () => {
    const schema = { allOf: Array.from({ length: 500 }, () => ({ items: { type: 'number' } })) }
    expect(breaks(schema, `[${'1,'.repeat(200_000)}1]`)).toEqual(limit)
    expect(breaks(schema, `[${'1,'.repeat(1000)}1]`)).toBeNull()
  })

  test('equal items are found among very many', () => {
    const items = Array.from({ length: 100_000 }, (_, i) => ({ i }))
    expect(breaks({ uniqueItems: true }, JSON.stringify(items))).toBeNull()
    expect(broken({ uniqueItems: true }, JSON.stringify([...items, { i: 0 }]))).toEqual(['uniqueItems '])
  })

  test('a deep value ends, whatever its depth', () => {
    const tree = { properties: { x: { $ref: '#' } }, type: ['object', 'null'] }
    expect(breaks(tree, `${'{"x":'.repeat(500)}null${'}'.repeat(500)}`)).toBeNull()
    expect(breaks(tree, `${'{"x":'.repeat(1_000_000)}null${'}'.repeat(1_000_000)}`)).toEqual(limit)
    expect(breaks({ uniqueItems: true }, `[${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}]`)).toEqual(limit)
    expect(breaks({ enum: [1] }, `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)).toEqual(limit)
  })

  test('a text longer than any of a format has none', () => {
    expect(broken({ format: 'email' }, JSON.stringify(`${'a'.repeat(5000)}@example.com`))).toEqual([
      'format ',
    ])
  })

  test('text of the schema is never taken for code', () => {
    const names = ['for(let i=0;i<1;i++){', 'errors++;', 'function f(){', '"){', "'){", '\\"){for(;;){']
    const properties = Object.fromEntries(names.map((name) => [name, { const: name }]))
    const value = Object.fromEntries(names.map((name) => [name, name]))
    expect(breaks({ properties, additionalProperties: false }, JSON.stringify(value))).toBeNull()
    const wrong = Object.fromEntries(names.map((name) => [name, '']))
    expect(breaks({ properties }, JSON.stringify(wrong))).toHaveLength(names.length)
  })
})

test('random schemas and values agree with ajv', () => {
  const r = random(seedOfRun())
  for (let round = 0; round < 60; round++) {
    const schema = { $defs: { d: randomSchema(r, 2) }, allOf: [randomSchema(r, 3)] }
    // With inlined references ajv 8.20 takes [[1],[]] for what matches {items: {$ref}}, $ref being to {contains: …}.
    const ajv = new Ajv2020({ strict: false, ownProperties: true, inlineRefs: false, validateSchema: false })
    addFormats(ajv)
    const validate = ajv.compile(schema)
    requireSchema(textOf(schema))
    for (let n = 0; n < 12; n++) {
      const value = JSON.stringify(randomValue(r, 3))
      const found = breaks(schema, value)
      expect([schema, value, found === null]).toEqual([schema, value, validate(JSON.parse(value))])
    }
  }
})

const names = ['a', 'b', 'c', 'constructor']

function randomValue(r: Random, depth: number): unknown {
  const scalars = [null, true, false, 0, 1, 2.5, -3, 10, '', 'a', 'ab', 'abc', '2026-01-31']
  if (depth === 0 || r.oneIn(3)) return r.pick(scalars)
  if (r.oneIn(2)) return Array.from({ length: r.int(4) }, () => randomValue(r, depth - 1))
  return Object.fromEntries(names.filter(() => r.oneIn(2)).map((name) => [name, randomValue(r, depth - 1)]))
}

function randomSchema(r: Random, depth: number): AnySchema {
  if (r.oneIn(12)) return r.oneIn(2)
  const part = () => randomSchema(r, depth - 1)
  const some = () => Array.from({ length: 1 + r.int(3) }, part)
  const leaves: (() => object)[] = [
    () => ({ type: r.pick(['string', 'number', 'integer', 'object', 'array', 'null', 'boolean']) }),
    () => ({ type: ['object', r.pick(['string', 'number'])] }),
    () => ({ enum: [randomValue(r, 1), randomValue(r, 1), 'a'] }),
    () => ({ const: randomValue(r, 1) }),
    () => ({ minimum: r.int(5), maximum: 5 }),
    () => ({ multipleOf: r.pick([0.5, 1, 2]) }),
    () => ({ minLength: 1, maxLength: 2 }),
    () => ({ pattern: r.pick(['^a', 'b$', '^[ab]+$', 'a|c']) }),
    () => ({ format: 'date' }),
    () => ({ minItems: 1, maxItems: 2 }),
    () => ({ uniqueItems: r.oneIn(2) }),
    () => ({ required: names.filter(() => r.oneIn(2)) }),
    () => ({ minProperties: 1, maxProperties: 2 }),
    () => ({ dependentRequired: { a: ['b'] } }),
  ]
  const inner: (() => object)[] = [
    () => ({ properties: { a: part(), b: part(), constructor: part() } }),
    () => ({ properties: { a: part() }, additionalProperties: part() }),
    () => ({ patternProperties: { '^[ab]$': part() } }),
    () => ({ prefixItems: some(), items: part() }),
    () => ({ contains: part(), minContains: r.int(3) }),
    () => ({ allOf: some() }),
    () => ({ anyOf: some() }),
    () => ({ oneOf: some() }),
    () => ({ not: part() }),
    () => Object.fromEntries(['if', 'then', 'else'].map((name) => [name, part()])),
    () => ({ anyOf: [{ properties: { a: part() } }, part()], unevaluatedProperties: false }),
    () => ({ anyOf: [{ prefixItems: [part()] }, part()], unevaluatedItems: false }),
    () => ({ items: { $ref: '#/$defs/d' } }),
    () => ({ propertyNames: { maxLength: 2 } }),
  ]
  const of = depth <= 0 ? leaves : [...leaves, ...inner, ...inner]
  return Object.assign({}, r.pick(of)(), r.oneIn(2) ? r.pick(leaves)() : {})
}
