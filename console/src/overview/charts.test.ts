import { expect, test } from 'bun:test'
import { chartsOf, collectionSeries, formatMs, formatRate, formatShare, summaryOf } from './charts.ts'
import { parseScrape } from './prometheus.ts'
import { readingOf } from './reading.ts'

function pointOf(lines: readonly string[]) {
  return { atMs: 0, reading: readingOf(parseScrape(lines.join('\n')), 0), rates: null }
}

test('the largest eight collections have a line, and all others are one, those that the server does not list too', () => {
  const sizes = Array.from({ length: 12 }, (_, i) => ({ name: `c${i}`, members: i + 1 }))
  const point = pointOf([
    'kvist_members 1078',
    ...sizes.map(({ name, members }) => `kvist_collection_members{collection="${name}"} ${members}`),
    'kvist_collection_members{collection="_others"} 1000',
  ])
  const series = collectionSeries(point.reading.membersByCollection)
  expect(series.map(({ label }) => label)).toEqual([
    'c11',
    'c10',
    'c9',
    'c8',
    'c7',
    'c6',
    'c5',
    'c4',
    'others',
  ])
  expect(series[0]!.read(point)).toBe(12)
  expect(series.at(-1)!.read(point)).toBe(1 + 2 + 3 + 4 + 1000)
  expect(series.at(-1)!.read({ atMs: 0, reading: null, rates: null })).toBeNull()
})

test('few collections have no others, and none at all have one line', () => {
  expect(collectionSeries(new Map([['a', 1]])).map(({ label }) => label)).toEqual(['a'])
  expect(collectionSeries(new Map()).map(({ label }) => label)).toEqual(['All collections'])
})

test('memcached has a line once it is used', () => {
  const labels = (lines: readonly string[]) => chartsOf([pointOf(lines)])[0]!.series.map(({ label }) => label)
  expect(labels([])).toEqual(['Reads', 'Writes'])
  expect(labels(['kvist_memcached_commands_total{command="get"} 1'])).toEqual([
    'Reads',
    'Writes',
    'memcached',
  ])
})

test('a summary has what is known', () => {
  expect(summaryOf([])).toEqual({ now: null, least: null, most: null })
  expect(summaryOf([null, 3, 1, null])).toEqual({ now: null, least: 1, most: 3 })
})

test('numbers are as short as people read them', () => {
  expect([0, 0.123, 5.944, 48.26, 1204.4].map(formatRate)).toEqual([
    '0 /s',
    '0.12 /s',
    '5.94 /s',
    '48.3 /s',
    '1,204 /s',
  ])
  expect([0.0754, 22, 999.4, 999.6, 2500].map(formatMs)).toEqual([
    '0.075 ms',
    '22 ms',
    '999 ms',
    '1 s',
    '2.5 s',
  ])
  expect([0, 0.6254, 1].map(formatShare)).toEqual(['0 %', '62.5 %', '100 %'])
})
