import { expect, test } from 'bun:test'
import { parseFilter } from './filter.ts'
import { rangesOf } from './ranges.ts'

function rangesIn(filter: string): unknown[] {
  return rangesOf(parseFilter(filter)).map(({ field, type, equals, low, high }) => {
    const bounds = [
      low && `${low.isInclusive ? '>=' : '>'}${low.json}`,
      high && `${high.isInclusive ? '<=' : '<'}${high.json}`,
    ]
    return [field.segments.join('/'), type, equals, ...bounds].filter((one) => one !== undefined)
  })
}

const cases: readonly [filter: string, ranges: unknown[]][] = [
  ['@.a == "x"', [['a', 'string', '"x"']]],
  [
    '@.a == 1e2 && @.b[0].c == null && @ == true',
    [
      ['a', 'number', '1e2'],
      ['b/0/c', 'null', 'null'],
      ['', 'boolean', 'true'],
    ],
  ],
  ['@.a > 1 && 10 >= @.a', [['a', 'number', '>1', '<=10']]],
  ['@.a >= 1 && @.a > 1 && @.a >= 0 && @.a < 7 && @.a < 9', [['a', 'number', '>1', '<7']]],
  ['@.a > 1 && @.a == 5', [['a', 'number', '5']]],
  ['@.a == 5 && @.a > 1', [['a', 'number', '5']]],
  [
    '@.a > "b" && (@.c == 1 && (@.d == 2))',
    [
      ['a', 'string', '>"b"'],
      ['c', 'number', '1'],
      ['d', 'number', '2'],
    ],
  ],
  ['@.a > 1 && @.a < "x"', [['a', 'number', '>1']]],
  [
    '@.a <= null && @.b >= true',
    [
      ['a', 'null', 'null'],
      ['b', 'boolean', 'true'],
    ],
  ],
  ['@.a < null && @.b != 1 && @.c && !(@.d == 1)', []],
  ['@.a == 1 || @.b == 2', []],
  ['@.a == 1 && (@.b == 2 || @.c == 3)', [['a', 'number', '1']]],
  ['@.a == @.b && length(@.a) == 1 && 1 == 1', []],
  ['$.a == 1 && @[?@.b == 2]', [['a', 'number', '1']]],
]
for (const [filter, ranges] of cases) {
  test(filter, () => expect(rangesIn(filter)).toEqual(ranges))
}

test('the field of a range can be parsed', () => {
  const [range] = rangesOf(parseFilter(`@['a"b'][-1].c == 1`))
  expect(range!.field.text).toBe('@["a\\"b"][-1]["c"]')
})
