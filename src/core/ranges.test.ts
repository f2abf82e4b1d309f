import { describe, expect, test } from 'bun:test'
import { smallPageBytes } from './limits.ts'
import { everything, type ListQuery, type Page } from './list.ts'
import { jsonContentType, type Member } from './member.ts'
import { isEmptyRange, pageOfRanges, rangesWithin } from './ranges.ts'

/** What lists of several ranges read; that they have the right members is tested in restricted.test.ts. */

const query: ListQuery = { ...everything, order: 'asc', limit: 100, cursor: null, keysOnly: false }
const ranges = rangesWithin(['a', 'b', 'c'], { from: null, to: null })

function member(key: string, bytes = 1): Member {
  const times = { createdAtMs: 0, expiresAtMs: null, revision: 1, clock: 0, node: '' }
  return { key, value: 'x'.repeat(bytes), contentType: jsonContentType, flags: 0, ...times }
}

/** Reads these pages, one after the other, and notes for what it was asked. */
function reader(...pages: Page[]) {
  const asked: unknown[] = []
  return {
    asked,
    read({ from, to, limit }: ListQuery): Promise<Page> {
      asked.push([from, to, limit])
      return Promise.resolve(pages.shift()!)
    },
  }
}

function pageOf(...members: Member[]): Page {
  return { members, prefixes: [], next: null }
}

describe('the ranges within prefixes', () => {
  test.each([
    [null, null, ['a-b', 'b-c']],
    ['a1', null, ['a1-b', 'b-c']],
    ['b', null, ['b-c']],
    [null, 'b', ['a-b']],
    ['a5', 'b5', ['a5-b', 'b-b5']],
    ['c', null, []],
    ['b', 'a', []],
    ['a', 'a', []],
  ])('from %p to %p are %p', (from, to, expected) => {
    const found = rangesWithin(['a', 'b'], { from, to })
    expect(found.map((range) => `${range.from}-${range.to}`)).toEqual(expected)
  })

  test('are compared by bytes, and the last prefix has no end', () => {
    const [range] = rangesWithin(['\u{10ffff}'], { from: null, to: null })
    expect(range).toEqual({ from: '\u{10ffff}', to: null })
    expect(isEmptyRange({ from: '\uffff', to: '\u{10000}' })).toBe(false)
    expect(isEmptyRange({ from: '\u{10000}', to: '\uffff' })).toBe(true)
    expect(rangesWithin(['\ud7ff'], { from: null, to: null })).toEqual([{ from: '\ud7ff', to: '\ue000' }])
  })
})

describe('a page of ranges', () => {
  test('is full with the last of one range, and goes on with the next', async () => {
    const { asked, read } = reader(pageOf(member('a1'), member('a2')))
    const page = await pageOfRanges(ranges, { ...query, limit: 2 }, read)
    expect(page.next).toBe('b')
    expect(asked).toEqual([['a', 'b', 2]])
  })

  test('backwards goes on before the range that it has not read', async () => {
    const { asked, read } = reader(pageOf(member('c1')))
    const page = await pageOfRanges(ranges, { ...query, order: 'desc', limit: 1 }, read)
    expect(page.next).toBe('c')
    expect(asked).toEqual([['c', 'd', 1]])
  })

  test('ends when it has many bytes, so that ranges together take no more memory than one', async () => {
    const { asked, read } = reader(pageOf(member('a1')), pageOf(member('b1', smallPageBytes + 1)))
    const page = await pageOfRanges(ranges, query, read)
    expect(page.members.map(({ key }) => key)).toEqual(['a1', 'b1'])
    expect(page.next).toBe('c')
    expect(asked).toEqual([
      ['a', 'b', 100],
      ['b', 'c', 99],
    ])
  })

  test('shows a grouped entry once, however many ranges it spans', async () => {
    const some = rangesWithin(['t/a', 't/b', 'u'], { from: null, to: null })
    const group = (prefix: string): Page => ({ members: [], prefixes: [prefix], next: null })
    const forwards = reader(group('t/'), pageOf(member('u1')))
    const up = await pageOfRanges(some, { ...query, delimiter: '/' }, forwards.read)
    expect([up.prefixes, up.members.length]).toEqual([['t/'], 1])
    expect(forwards.asked).toEqual([
      ['t/a', 't/b', 100],
      ['u', 'v', 99],
    ])
    const backwards = reader(pageOf(member('u1')), group('t/'))
    const down = await pageOfRanges(some, { ...query, order: 'desc', delimiter: '/' }, backwards.read)
    expect([down.prefixes, down.members.length]).toEqual([['t/'], 1])
    expect(backwards.asked).toEqual([
      ['u', 'v', 100],
      ['t/b', 't/c', 99],
    ])
  })

  test('reads no range that its cursor has passed', async () => {
    const forwards = reader(pageOf())
    await pageOfRanges(ranges, { ...query, cursor: 'c' }, forwards.read)
    expect(forwards.asked).toEqual([['c', 'd', 100]])
    const backwards = reader(pageOf())
    await pageOfRanges(ranges, { ...query, order: 'desc', cursor: 'b' }, backwards.read)
    expect(backwards.asked).toEqual([['a', 'b', 100]])
  })
})
