import { describe, expect, test } from 'bun:test'
import { random, seedOfRun } from '../../test/support/random.ts'
import { stepLimit } from '../../test/support/steps.ts'
import type { Engine, ScanPage, ScanRange } from './engine.ts'
import { compareKeys, keyAfter } from './keys.ts'
import { maxExaminedMembers, maxPageBytes } from './limits.ts'
import { everything, keyRange, type ListQuery, listAll, listPage, type Page } from './list.ts'
import type { Member } from './member.ts'
import { compilePattern } from './pattern.ts'

const nowMs = 1_000_000

function member(key: string, value: Member['value'] = '1', expiresAtMs: number | null = null): Member {
  return {
    key,
    value,
    revision: 1,
    createdAtMs: 0,
    clock: 0,
    node: '',
    expiresAtMs,
    contentType: 'application/json',
    flags: 0,
  }
}

/** An engine of one collection whose scans return later and end as early as they like; it counts what it gave. */
function engineOf(members: readonly Member[], mostAtOnce = Number.POSITIVE_INFINITY) {
  const sorted = members.toSorted((a, b) => compareKeys(a.key, b.key))
  const scans: ScanRange[] = []
  async function scan(range: ScanRange): Promise<ScanPage> {
    scans.push(range)
    const from = range.from === null ? 0 : firstFrom(sorted, range.from)
    const to = range.to === null ? sorted.length : firstFrom(sorted, range.to)
    const inRange = sorted.slice(from, to)
    if (range.order === 'desc') inRange.reverse()
    const { maxBytes = maxPageBytes } = range
    let bytes = 0
    const fitting = inRange.findIndex(({ value }) => {
      bytes += value.length
      return bytes > maxBytes
    })
    const isCut = fitting >= 0 && fitting < Math.min(range.limit, mostAtOnce)
    const found = inRange.slice(0, isCut ? fitting : Math.min(range.limit, mostAtOnce))
    const after = inRange[found.length]
    const next =
      after === undefined
        ? null
        : range.order === 'asc'
          ? after.key
          : (found.at(-1)?.key ?? keyAfter(after.key))
    return { members: found, next, isCut }
  }
  return { engine: { scan } as unknown as Engine, scans }
}

/** Where the members begin whose key is not before this one. */
function firstFrom(sorted: readonly Member[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareKeys(sorted[middle]!.key, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

const all: ListQuery = { ...everything, order: 'asc', limit: 100, cursor: null, keysOnly: false }

async function keysOf(engine: Engine, query: Partial<ListQuery>): Promise<string[]> {
  const { members } = await listPage(engine, 'c', { ...all, ...query }, nowMs)
  return members.map(({ key }) => key)
}

async function allPages(engine: Engine, query: Partial<ListQuery>): Promise<string[][]> {
  const pages: string[][] = []
  let cursor: string | null = null
  const step = stepLimit('reading all pages')
  do {
    step()
    const page: Awaited<ReturnType<typeof listPage>> = await listPage(
      engine,
      'c',
      { ...all, ...query, cursor },
      nowMs,
    )
    pages.push(page.members.map(({ key }) => key))
    cursor = page.next
  } while (cursor !== null)
  return pages
}

describe('the range of a selection', () => {
  test('is as narrow as prefix, filter, from and to make it', () => {
    const rangeOf = (selection: object) => keyRange({ ...everything, ...selection })
    expect(rangeOf({})).toEqual({ from: null, to: null })
    expect(rangeOf({ prefix: 'a' })).toEqual({ from: 'a', to: 'b' })
    expect(rangeOf({ filter: compilePattern('a/b*c') })).toEqual({ from: 'a/b', to: 'a/c' })
    expect(rangeOf({ prefix: 'a', filter: compilePattern('a/?') })).toEqual({ from: 'a/', to: 'a0' })
    expect(rangeOf({ prefix: 'a', from: 'ab', to: 'c' })).toEqual({ from: 'ab', to: 'b' })
    expect(rangeOf({ prefix: 'a', from: 'A', to: 'aa' })).toEqual({ from: 'a', to: 'aa' })
  })
})

describe('a page', () => {
  const letters = engineOf(['a', 'b1', 'b2', 'b3', 'c'].map((key) => member(key)))

  test('goes on where its cursor says, within what is selected', async () => {
    for (const limit of [1, 2, 3, 100]) {
      expect((await allPages(letters.engine, { limit })).flat()).toEqual(['a', 'b1', 'b2', 'b3', 'c'])
      expect((await allPages(letters.engine, { limit, order: 'desc' })).flat()).toEqual([
        'c',
        'b3',
        'b2',
        'b1',
        'a',
      ])
    }
    expect(await keysOf(letters.engine, { prefix: 'b', cursor: 'a' })).toEqual(['b1', 'b2', 'b3'])
    expect(await keysOf(letters.engine, { prefix: 'b', cursor: 'b2' })).toEqual(['b2', 'b3'])
    expect(await keysOf(letters.engine, { prefix: 'b', order: 'desc', cursor: 'x' })).toEqual([
      'b3',
      'b2',
      'b1',
    ])
    expect(await keysOf(letters.engine, { prefix: 'b', order: 'desc', cursor: 'b2' })).toEqual(['b1'])
  })

  test('is filled though the engine ends its scans early', async () => {
    const { engine } = engineOf(
      Array.from({ length: 50 }, (_, i) => member(String(i).padStart(2, '0'))),
      3,
    )
    expect((await allPages(engine, { limit: 20 })).map(({ length }) => length)).toEqual([20, 20, 10])
  })

  test('leaves out what has expired, at its very millisecond', async () => {
    const { engine } = engineOf([
      member('before', '1', nowMs - 1),
      member('now', '1', nowMs),
      member('later', '1', nowMs + 1),
      member('never'),
    ])
    expect(await keysOf(engine, {})).toEqual(['later', 'never'])
  })

  test('ends when its values come to what a page may have', async () => {
    const large = 'x'.repeat(maxPageBytes / 4)
    const { engine, scans } = engineOf(
      Array.from({ length: 10 }, (_, i) => member(`${i}`, large)),
      2,
    )
    expect((await allPages(engine, { limit: 10_000 })).map(({ length }) => length)).toEqual([4, 4, 2])
    // Of each page the first scan is of small values, and the last one ends at once.
    expect(scans.length).toBe(10)
  })

  test('under a filter ends after looking at so many, empty if need be, and goes on from there', async () => {
    const members = Array.from({ length: 2 * maxExaminedMembers + 10 }, (_, i) =>
      member(String(i).padStart(6, '0')),
    )
    const { engine, scans } = engineOf(members)
    const filter = compilePattern('*5')
    const few = await listPage(engine, 'c', { ...all, filter: compilePattern('*x'), limit: 10_000 }, nowMs)
    expect(few).toEqual({ members: [], prefixes: [], next: String(maxExaminedMembers) })
    expect(scans.every(({ limit }) => limit <= 1000)).toBe(true)
    const last = await listPage(
      engine,
      'c',
      { ...all, filter, limit: 10_000, cursor: String(2 * maxExaminedMembers) },
      nowMs,
    )
    expect(last.members.map(({ key }) => key)).toEqual([String(2 * maxExaminedMembers + 5)])
    expect(last.next).toBeNull()
  })

  test('asks for keys alone only where no value is matched', async () => {
    const { engine, scans } = engineOf([member('a', '"x"'), member('b', '"y"')])
    expect(await keysOf(engine, { keysOnly: true, match: compilePattern('x') })).toEqual(['a'])
    await keysOf(engine, { keysOnly: true, filter: compilePattern('a*') })
    expect(scans.map(({ keysOnly }) => keysOnly)).toEqual([false, true])
  })
})

describe('match', () => {
  test('is on the text of each top-level value, of an element, or of the value itself', async () => {
    const matches = async (value: Member['value'], pattern: string) =>
      (await keysOf(engineOf([member('k', value)]).engine, { match: compilePattern(pattern) })).length === 1
    const cases: [Member['value'], string, boolean][] = [
      ['{"a":"red","b":2}', 'red', true],
      ['{"a":"red","b":2}', '2', true],
      ['{"a":"red","b":2}', 'a', false],
      [' { "a" : { "b" : "red" } } ', 'red', false],
      [' { "a" : { "b" : "red" } } ', '*red*', true],
      ['{"a":"\\u0072ed"}', 'red', true],
      ['{"a":"red","a":"blue"}', 'red', false],
      ['{"a":"red","a":"blue"}', 'blue', true],
      ['{"a": 1.0 }', '1.0', true],
      ['{"a": 1.0 }', '1', false],
      ['{}', '*', false],
      ['[]', '*', false],
      ['["x", 3]', '3', true],
      [' "red" ', 'red', true],
      ['null', 'null', true],
      [new TextEncoder().encode('red'), 'red', false],
    ]
    for (const [value, pattern, is] of cases) {
      expect([value, pattern, await matches(value, pattern)]).toEqual([value, pattern, is])
    }
  })
})

describe('a stream', () => {
  test('has everything once, and a sign of life where nothing is found', async () => {
    const members = Array.from({ length: maxExaminedMembers + 1700 }, (_, i) =>
      member(String(i).padStart(6, '0')),
    )
    const { engine } = engineOf(members)
    let found = 0
    for await (const part of listAll(engine, 'c', { ...all, keysOnly: true }, () => nowMs))
      found += part.length
    expect(found).toBe(members.length)
    const sizes: number[] = []
    const query = { ...all, match: compilePattern('x') }
    for await (const part of listAll(engine, 'c', query, () => nowMs)) sizes.push(part.length)
    expect(sizes).toEqual([0, 0])
  })
})

describe('one level of keys', () => {
  /** Members and prefixes of all pages, as lists of each page. */
  async function levels(engine: Engine, query: Partial<ListQuery>): Promise<string[][]> {
    const pages: string[][] = []
    let cursor: string | null = null
    const step = stepLimit('reading all pages of a level')
    do {
      step()
      const page: Page = await listPage(engine, 'c', { ...all, delimiter: '/', ...query, cursor }, nowMs)
      pages.push([...page.members.map(({ key }) => key), ...page.prefixes.map((prefix) => `<${prefix}>`)])
      cursor = page.next
    } while (cursor !== null)
    return pages
  }

  const keys = [
    '/',
    '/a',
    'a',
    'a/',
    'a//',
    'a/1',
    'a/b/1',
    'a/b/2',
    'a0',
    'b/1',
    'c',
    'c/\u{10ffff}',
    '\u{10ffff}/x',
  ]
  const { engine, scans } = engineOf(keys.map((key) => member(key)))

  test('has the keys without the delimiter, and what the others have in common', async () => {
    expect(await levels(engine, {})).toEqual([
      ['a', 'a0', 'c', '</>', '<a/>', '<b/>', '<c/>', '<\u{10ffff}/>'],
    ])
    expect(await levels(engine, { prefix: 'a/' })).toEqual([['a/', 'a/1', '<a//>', '<a/b/>']])
    expect(await levels(engine, { prefix: 'a/b' })).toEqual([['<a/b/>']])
    expect(await levels(engine, { prefix: 'a/b/' })).toEqual([['a/b/1', 'a/b/2']])
    expect(await levels(engine, { prefix: 'none/' })).toEqual([[]])
    expect(await levels(engine, { delimiter: '/b/' })).toEqual([
      ['/', '/a', 'a', 'a/', 'a//', 'a/1', 'a0', 'b/1', 'c', 'c/\u{10ffff}', '\u{10ffff}/x', '<a/b/>'],
    ])
  })

  test('is in order and paged, down as well', async () => {
    expect(await levels(engine, { limit: 3 })).toEqual([
      ['a', '</>', '<a/>'],
      ['a0', 'c', '<b/>'],
      ['<c/>', '<\u{10ffff}/>'],
    ])
    expect(await levels(engine, { order: 'desc', limit: 3 })).toEqual([
      ['c', '<\u{10ffff}/>', '<c/>'],
      ['a0', '<b/>', '<a/>'],
      ['a', '</>'],
    ])
  })

  test('lies within from and to', async () => {
    expect(await levels(engine, { from: 'a/b/2', to: 'c/' })).toEqual([['a0', 'c', '<a/>', '<b/>']])
    expect(await levels(engine, { from: 'a/b/2', to: 'c/', order: 'desc' })).toEqual([
      ['c', 'a0', '<b/>', '<a/>'],
    ])
    expect(await levels(engine, { from: 'a/b/1', to: 'a/b/2' })).toEqual([['<a/>']])
    expect(await levels(engine, { from: 'a/b/3', to: 'a/b/4' })).toEqual([[]])
  })

  test('names no prefix of which all members are expired, or left out', async () => {
    const members = ['a/1', 'a/2', 'b/1', 'b/2'].map((key) => member(key, '1', key === 'b/2' ? null : nowMs))
    const { engine: mixed } = engineOf(members)
    expect(await levels(mixed, {})).toEqual([['<b/>']])
    expect(await levels(engine, { filter: compilePattern('*2') })).toEqual([['<a/>']])
    expect(await levels(engine, { match: compilePattern('2') })).toEqual([[]])
  })

  test('costs as little where much lies below it', async () => {
    const deep = Array.from({ length: 3000 }, (_, i) => member(`${i % 3}/${String(i).padStart(5, '0')}`))
    const { engine: large, scans: few } = engineOf(deep)
    expect(await levels(large, {})).toEqual([['<0/>', '<1/>', '<2/>']])
    expect(few.length).toBeLessThanOrEqual(4)
    expect(few.reduce((sum, { limit }) => sum + limit, 0)).toBeLessThanOrEqual(8)
    // And members that are entries themselves are read in large steps.
    scans.length = 0
    const flat = engineOf(Array.from({ length: 3000 }, (_, i) => member(String(i).padStart(5, '0'))))
    await levels(flat.engine, { limit: 3000 })
    expect(flat.scans.length).toBeLessThanOrEqual(8)
  })

  test('agrees with the definition on random keys', async () => {
    const rng = random(seedOfRun())
    for (let round = 0; round < 300; round++) {
      const text = () =>
        Array.from({ length: rng.int(6) }, () => rng.pick(['a', 'b', '/', '//', 'é', '😀'])).join('')
      const some = [...new Set(Array.from({ length: rng.int(40) }, () => text() || '/'))]
      const { engine } = engineOf(
        some.map((key) => member(key, '1', rng.oneIn(5) ? nowMs : null)),
        rng.pick([1, 2, 5, 1000]),
      )
      const query: Partial<ListQuery> = {
        prefix: rng.oneIn(2) ? '' : text(),
        delimiter: rng.pick(['/', '//', 'a/']),
        order: rng.pick(['asc', 'desc']),
        limit: 1 + rng.int(5),
        from: rng.oneIn(3) ? text() || null : null,
        to: rng.oneIn(3) ? text() || null : null,
        keysOnly: rng.oneIn(2),
      }
      const whole = await allPages(engine, { ...query, delimiter: null, limit: 1000 })
      const entries = whole.flat().map((key) => {
        const at = key.indexOf(query.delimiter!, query.prefix!.length)
        return at === -1 ? key : `<${key.slice(0, at + query.delimiter!.length)}>`
      })
      const pages = await levels(engine, query)
      const said = JSON.stringify({ query, some })
      expect([said, pages.flat().toSorted()]).toEqual([said, [...new Set(entries)].toSorted()])
      for (const page of pages.slice(0, -1)) expect(page.length).toBeLessThanOrEqual(query.limit!)
    }
  })
})
