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
