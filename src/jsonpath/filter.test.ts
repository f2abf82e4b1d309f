import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidExpression } from './errors.ts'
import { matcher, parseFilter } from './filter.ts'

const city =
  '{"country":"SE","name":"Malm\\u00f6","population":3.16e5,"tags":["port",null],"mayor":{"name":"K"}}'

function matches(filter: string, value = city): boolean {
  return matcher(parseFilter(filter))(value)
}

describe('comparisons', () => {
  const cases: readonly [filter: string, isMatch: boolean][] = [
    ['@.country == "SE"', true],
    ['@.country == "S"', false],
    ['@.country == "SEE"', false],
    ["@['name'] == 'Malmö'", true],
    ['@.population == 316000.0', true],
    ['@.population >= 316001', false],
    ['100000 < @.population', true],
    ['@.population < "x"', false],
    ['@.nothing != 1', true],
    ['@.nothing < 1', false],
    ['@.tags[-1] == null', true],
    ['@.mayor.name == "K" && !(@.country == "NO")', true],
    ['@.country == "NO" || @.tags[0]', true],
    ['!@.tags[2]', true],
  ]
  for (const [filter, isMatch] of cases) {
    test(filter, () => expect(matches(filter)).toBe(isMatch))
  }
})

describe('arrays and objects are compared whole', () => {
  const cases: readonly [a: string, b: string, isEqual: boolean][] = [
    ['[]', ' [ ] ', true],
    ['[1,[2,{"a":3}]]', '[1.0,[2,{"\\u0061":30e-1}]]', true],
    ['[1]', '[1,2]', false],
    ['[1,2]', '[1]', false],
    ['[1,2]', '[2,1]', false],
    ['[]', '{}', false],
    ['{"a":1,"b":[]}', '{"b":[],"a":1}', true],
    ['{"a":1}', '{"a":1,"b":2}', false],
    ['{"a":1,"b":2}', '{"a":1}', false],
    ['{"a":1}', '{"b":1}', false],
    ['{"a":1,"a":2}', '{"a":2}', true],
    ['{"a":{"b":null}}', '{"a":{"b":false}}', false],
    ['{"__proto__":1}', '{}', false],
    ['["x"]', '["y"]', false],
  ]
  for (const [a, b, isEqual] of cases) {
    test(`${a} and ${b}`, () => {
      const value = `{"a":${a},"b":${b}}`
      expect(matches('@.a == @.b', value)).toBe(isEqual)
      expect(matches('@.a != @.b', value)).toBe(!isEqual)
      expect(matches('@.a <= @.b', value)).toBe(isEqual)
      expect(matches('@.a < @.b || @.a > @.b', value)).toBe(false)
    })
  }
})

describe('queries for several values', () => {
  const cases: readonly [filter: string, value: string, isMatch: boolean][] = [
    // Of members with one name the last counts, and nothing in the others.
    ['count(@.*) == 1', '{"ab":1,"a\\u0062":2}', true],
    [`count(@.*) == 1`, `{"${'n'.repeat(40)}":1,"${'n'.repeat(40)}":2}`, true],
    [`count(@.*) == 2`, `{"${'n'.repeat(40)}":1,"${'n'.repeat(41)}":2}`, true],
    ['count(@.*) == 20', `{${Array.from({ length: 40 }, (_, i) => `"k${i % 20}":${i}`).join()}}`, true],
    ['@..a', '{"x":{"y":{"a":1}},"x":1}', false],
    ['@.*.*', '{"x":[1],"x":2}', false],
    // `@` is the outer value again after a filter inside of a filter.
    ['@[?@[?@ == 1] && @[1] == 2]', '[[1,2]]', true],
    ['@[?@[?@ == 1] && @ == 1]', '[[1,2]]', false],
    ['@[-5::-1]', '[1,2]', false],
    ['@[5::-1]', '[1,2]', true],
    ['@[::0]', '[1,2]', false],
    ['value(@.*) == 1', '[1,1]', false],
    ['count(@["a","a"]) == 2', '{"a":1}', true],
  ]
  for (const [filter, value, isMatch] of cases) {
    test(`${filter} of ${value.slice(0, 40)}`, () => expect(matches(filter, value)).toBe(isMatch))
  }
})

test('a filter that is malformed is named by position and reason', () => {
  expect(() => parseFilter('@.a == ')).toThrow(
    new InvalidExpression(7, 'expected a value such as @.name, "text" or 1, found the end'),
  )
})

test('the filters in docs/find.md are filters', () => {
  const page = readFileSync(join(import.meta.dir, '../../docs/find.md'), 'utf8')
  const table = page.slice(page.indexOf('| Filter |'), page.indexOf('### What a comparison says'))
  const examples = table.split('\n').flatMap((line) => {
    const [cell = ''] = line.replaceAll('\\|', '\u0000').split('|').slice(1)
    return [...cell.matchAll(/`([^`]+)`/g)].map(([, filter]) => filter!.replaceAll('\u0000', '|'))
  })
  expect(examples.length).toBeGreaterThan(20)
  for (const filter of examples)
    expect([filter, matches(filter, '{"country":"SE","population":5}')]).toContain(filter)
})
