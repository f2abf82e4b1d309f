import { expect, test } from 'bun:test'
import { judge, summaryOf } from './bars.ts'
import type { LoadResult, Measure } from './results.ts'
import { median, slope } from './statistics.ts'
import { markdown } from './table.ts'

function measure(perSecond: number, maxMs = 1, errors = 0): Measure {
  return { perSecond, p50Ms: 0.5, p99Ms: 0.9, maxMs, errors, peakMb: 50 }
}

function load(name: string, rows: Record<string, Measure[]>): LoadResult {
  const found = Object.entries(rows).map(([contestant, rounds]) => ({
    ...{ contestant, title: contestant, variant: '', rounds },
  }))
  return { name, title: name, unit: 'answers/s', rows: found }
}

test('a ratio is that of the medians, its range that of the rounds', () => {
  const [found] = judge([
    load('get-one', {
      kvist: [measure(100), measure(300), measure(200)],
      webdis: [measure(100), measure(100), measure(400)],
    }),
  ])
  expect(found).toMatchObject({
    found: { value: 2, low: 0.5, high: 3 },
    atLeast: 1.4,
    reached: true,
    unit: '×',
  })
})

test('one slow response in any round breaks the bar on the slowest', () => {
  const found = judge([load('put-64', { kvist: [measure(1, 20), measure(1, 101), measure(1, 20)] })])
  expect(found.find(({ atMost }) => atMost === 100)).toMatchObject({ found: { value: 101 }, reached: false })
})

test('a bar is never reached when one of its two was left out or failed', () => {
  const withoutPeer = judge([load('get-random', { kvist: [measure(1)] })])
  const withoutKvist = judge([load('get-random', { webdis: [measure(1)], bare: [measure(1)] })])
  const withoutOwnRate = judge([load('import', { kvist: [] })])
  for (const { found, reached } of [...withoutPeer, ...withoutKvist, ...withoutOwnRate]) {
    expect({ found, reached }).toEqual({ found: null, reached: false })
  }
  expect([withoutPeer.length, withoutKvist.length, withoutOwnRate.length]).toEqual([2, 2, 2])
})

test('a bar can be on a contestant other than kvist', () => {
  const rows = {
    ...{ kvist: [measure(10)], relaxed: [measure(60)], put: [measure(8)], memcached: [measure(100)] },
  }
  const found = judge([load('set', rows)])
  expect(found).toMatchObject([
    { found: { value: 0.6 }, atLeast: 0.5, reached: true },
    { found: { value: 1.25 }, atLeast: 1, reached: true },
    { found: { value: 0.1 }, reached: true },
  ])
  expect(found[2]).not.toHaveProperty('atLeast')
})

test('one missed change in any round breaks a bar; of the percentiles of rounds the median counts', () => {
  const each = [measure(1, 1, 0), measure(1, 1, 3), measure(1, 1, 0)].map((round, index) => ({
    ...round,
    p99Ms: [20, 99, 500][index]!,
  }))
  const found = judge([load('reach', { each, one: [measure(1)], all: [measure(1)] })])
  const missed = found.filter(({ unit }) => unit === 'errors')
  expect(missed.map(({ found: figure, reached }) => [figure?.value, reached])).toEqual([
    [3, false],
    [0, true],
    [0, true],
  ])
  expect(found.find(({ atMost }) => atMost === 100)).toMatchObject({
    found: { value: 99, low: 20, high: 500 },
    unit: 'ms',
    reached: true,
  })
})

test('the summary of rounds takes medians, but every error and the slowest of all', () => {
  const summary = summaryOf([measure(10, 5, 2), measure(30, 9, 0), measure(20, 1, 1)])
  expect(summary).toMatchObject({ perSecond: 20, maxMs: 9, errors: 3 })
  expect(summaryOf([])).toBeNull()
})

test('the table names who failed and which bar was missed', () => {
  const loads = [load('get-one', { kvist: [measure(100)], webdis: [measure(100)], bare: [] })]
  const text = markdown({
    title: '',
    at: '',
    machine: '',
    remarks: [],
    loads,
    verdicts: judge(loads),
    series: [],
  })
  expect(text).toContain('| bare | not run |')
  expect(text).toContain('≥ 1.40 × | 1.00 × |  | **no** |')
  expect(text).toContain(
    '**Not reached, 1 of 2:** GET of one key against webdis + Redis. ' +
      'Not measured, 1 of 2: GET of one key against the bare ceiling.',
  )
})

test('the last line says when all bars are reached, and counts no figure without a bound', () => {
  const rows = {
    ...{ kvist: [measure(10)], relaxed: [measure(60)], put: [measure(8)], memcached: [measure(100)] },
  }
  const loads = [load('set', rows)]
  const results = { title: '', at: '', machine: '', remarks: [], series: [] }
  expect(markdown({ ...results, loads, verdicts: judge(loads) })).toEndWith(
    '\n\nAll of the 2 bars are reached.\n',
  )
})

test('median and slope', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(slope([1, 2, 3].map((x) => ({ x, y: 5 - 2 * x })))).toBeCloseTo(-2)
  expect(slope([{ x: 1, y: 1 }])).toBe(0)
})
