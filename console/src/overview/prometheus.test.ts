import { expect, test } from 'bun:test'
import { parseScrape, singleValue, sumOf } from './prometheus.ts'

test('samples are found by name, with their labels as they were before they were escaped', () => {
  const scrape = parseScrape(
    [
      '# HELP a What it is',
      '# TYPE a counter',
      'a{collection="users",route="/v1/:collection"} 3',
      String.raw`a{collection="quo\"te,\\ }\n",route=""} 4.5`,
      'b 1e3 1700000000000',
      'c{le="+Inf"} +Inf',
      'd Nan',
      '',
    ].join('\n'),
  )
  expect(scrape.get('a')).toEqual([
    { labels: { collection: 'users', route: '/v1/:collection' }, value: 3 },
    { labels: { collection: 'quo"te,\\ }\n', route: '' }, value: 4.5 },
  ])
  expect(singleValue(scrape, 'b')).toBe(1000)
  expect(scrape.get('c')).toEqual([{ labels: { le: '+Inf' }, value: Number.POSITIVE_INFINITY }])
  expect(singleValue(scrape, 'd')).toBeNull()
  expect(singleValue(scrape, 'none')).toBeNull()
})

test('what is no sample is left out, and a label that is called as a property of objects is one of its own', () => {
  const scrape = parseScrape('a{x="1" 2\na{x=1} 2\n{x="1"} 2\na\n<html>\na{__proto__="p"} 1')
  expect([...scrape.keys()]).toEqual(['a'])
  expect(Object.keys(scrape.get('a')![0]!.labels)).toEqual(['__proto__'])
})

test('sums are of the samples that count', () => {
  const scrape = parseScrape('a{status="200"} 3\na{status="500"} 4\na{status="503"} 5')
  expect(sumOf(scrape, 'a')).toBe(12)
  expect(sumOf(scrape, 'a', ({ status }) => status!.startsWith('5'))).toBe(9)
  expect(sumOf(scrape, 'none')).toBe(0)
})
