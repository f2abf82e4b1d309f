import { describe, expect, test } from 'bun:test'
import type { Engine, ScanPage, ScanRange } from './engine.ts'
import { compareKeys } from './keys.ts'
import { maxExaminedMembers, maxPageBytes } from './limits.ts'
import { everything, keyRange, type ListQuery, listAll, listPage } from './list.ts'
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

/** An engine of one collection whose scans answer later and end as early as they like; it counts what it gave. */
function engineOf(members: readonly Member[], mostAtOnce = Number.POSITIVE_INFINITY) {
  const sorted = members.toSorted((a, b) => compareKeys(a.key, b.key))
  const scans: ScanRange[] = []
  async function scan(range: ScanRange): Promise<ScanPage> {
    scans.push(range)
    const inRange = sorted.filter(
      ({ key }) =>
        (range.from === null || compareKeys(key, range.from) >= 0) &&
        (range.to === null || compareKeys(key, range.to) < 0),
    )
    if (range.order === 'desc') inRange.reverse()
    const found = inRange.slice(0, Math.min(range.limit, mostAtOnce))
    const after = inRange[found.length]
    const next = after === undefined ? null : range.order === 'asc' ? after.key : found.at(-1)!.key
    return { members: found, next }
  }
  return { engine: { scan } as unknown as Engine, scans }
}

const all: ListQuery = { ...everything, order: 'asc', limit: 100, cursor: null, keysOnly: false }

async function keysOf(engine: Engine, query: Partial<ListQuery>): Promise<string[]> {
  const { members } = await listPage(engine, 'c', { ...all, ...query }, nowMs)
  return members.map(({ key }) => key)
}

async function allPages(engine: Engine, query: Partial<ListQuery>): Promise<string[][]> {
  const pages: string[][] = []
  let cursor: string | null = null
  do {
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
    expect(scans.length).toBe(5)
  })

  test('under a filter ends after looking at so many, empty if need be, and goes on from there', async () => {
    const members = Array.from({ length: 2 * maxExaminedMembers + 10 }, (_, i) =>
      member(String(i).padStart(6, '0')),
    )
    const { engine, scans } = engineOf(members)
    const filter = compilePattern('*5')
    const few = await listPage(engine, 'c', { ...all, filter: compilePattern('*x'), limit: 10_000 }, nowMs)
    expect(few).toEqual({ members: [], next: String(maxExaminedMembers) })
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
