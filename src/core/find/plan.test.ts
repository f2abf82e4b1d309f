import { expect, test } from 'bun:test'
import { parseField } from '../../jsonpath/fields.ts'
import { parseFindOrder, parseWhere } from './expressions.ts'
import { plansOf, suggestedIndex } from './plan.ts'

/** What serves a query: as `index equal/range`, `<` in reverse, `+sort` where the result is sorted. */

const indexes = ['@.country,@.population', '@.population', '@.name', '@["a b"][0]'].map((on) => ({
  name: on,
  on: on.split(',').map(parseField),
}))

function plans(where: string | null, order: string | null, of = indexes): string[] {
  const ranges = where === null ? [] : parseWhere(where).ranges
  return plansOf(ranges, order === null ? null : parseFindOrder(order), of).map(({ by, isSorted }) => {
    const sort = isSorted ? ' +sort' : ''
    if (by.index === null) return `${by.order}${sort}`
    const { index, equal, range, isReversed } = by
    return `${isReversed ? '<' : ''}${index.name} ${equal.length}/${range === null ? 0 : 1}${sort}`
  })
}

const country = '@.country,@.population'
const cases: readonly [where: string | null, order: string | null, plans: readonly string[]][] = [
  [null, null, ['asc']],
  [null, 'desc', ['desc']],
  [null, '@.population', ['@.population 0/0']],
  [null, '-@.population', ['<@.population 0/0']],
  [null, '@["population"]', ['@.population 0/0']],
  [null, '-@["a b"][0]', ['<@["a b"][0] 0/0']],
  [null, '@.country,@.population', [`${country} 0/0`]],
  [null, '-@.country,-@.population', [`<${country} 0/0`]],
  [null, '-@.country,@.population', ['asc +sort']],
  [null, '@.country', ['asc +sort']],
  [null, '@.none', ['asc +sort']],
  ['@.country == "SE"', null, [`${country} 1/0`]],
  ['"SE" == @.country', null, [`${country} 1/0`]],
  ['@.country != "SE"', null, ['asc']],
  ['@.country == "SE" || @.population == 1', null, ['asc']],
  ['!(@.country == "SE")', null, ['asc']],
  ['@.country == "SE" && @.population > 1', null, [`${country} 1/1`]],
  ['@.country == "SE" && @.population == 1', null, [`${country} 2/0`]],
  ['@.country == "SE" && @.population == 1', 'desc', [`<${country} 2/0`]],
  ['@.country == "SE" && @.population == 1', 'asc', [`${country} 2/0`]],
  ['@.country == "SE"', '@.population', [`${country} 1/0`]],
  ['@.country == "SE"', '-@.population', [`<${country} 1/0`]],
  ['@.country == "SE"', '@.country,@.population', [`${country} 1/0`]],
  ['@.country == "SE"', '-@.population,@.country', [`${country} 1/0 +sort`, 'asc +sort']],
  ['@.country == "SE"', '@.name', [`${country} 1/0 +sort`, '@.name 0/0']],
  ['@.country == "SE"', 'asc', [`${country} 1/0 +sort`, 'asc']],
  ['@.country == "SE"', 'desc', [`${country} 1/0 +sort`, 'desc']],
  ['@.country > "SE"', null, [`${country} 0/1`]],
  ['@.population > 5 && @.population <= 9', null, ['@.population 0/1']],
  ['@.population > 5', '@.population', ['@.population 0/1']],
  ['@.population > 5', '-@.name', ['<@.name 0/0']],
  ['@.population > 5', 'asc', ['@.population 0/1 +sort', 'asc']],
  ['@.population == 5', '@.population', ['@.population 1/0']],
  ['@.population == 5', '-@.population', ['<@.population 1/0']],
]

test.each(cases)('%p in order %p is served by %p', (where, order, expected) => {
  expect(plans(where, order)).toEqual([...expected])
  expect(plans(where, order, indexes.toReversed())).toEqual([...expected])
})

test('without an index members are scanned', () => {
  expect(plans('@.country == "SE"', '@.population', [])).toEqual(['asc +sort'])
  expect(plans('@.country == "SE"', null, [])).toEqual(['asc'])
})

test.each([
  [null, null, null],
  [null, 'asc', null],
  [null, '-@.population', ['@.population']],
  [null, '-@.population,-@["a b"][0]', ['@.population', '@["a b"][0]']],
  [null, '-@.population,@.name', null],
  ['@.country == "SE"', '-@.population', ['@.country', '@.population']],
  ['@.country == "SE"', '@.country', ['@.country']],
  ['@.country == "SE" && @.name > "a"', '@.population', ['@.country', '@.population']],
] as const)('%p in order %p would be served by an index on %p', (where, order, on) => {
  const ranges = where === null ? [] : parseWhere(where).ranges
  expect(suggestedIndex(ranges, order === null ? null : parseFindOrder(order))).toEqual(
    on === null ? null : [...on],
  )
})
