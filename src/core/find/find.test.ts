import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { faultOf } from '../../../test/support/engine.ts'
import {
  emptyQuery,
  type ModelMember,
  modelMatches,
  modelSorted,
  randomFilter,
  randomOrder,
  randomValue,
} from '../../../test/support/find-model.ts'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { openLateTestEngine } from '../../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../database.ts'
import { maxExaminedMembers } from '../limits.ts'
import { jsonContentType, type Value } from '../member.ts'
import { compilePattern } from '../pattern.ts'
import { parseFindOrder, parseShownFields, parseWhere } from './expressions.ts'
import type { FindQuery, FoundPage } from './query.ts'

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

let nowMs = 1000

async function open(): Promise<Database> {
  nowMs = 1000
  const db = await openDatabase({
    open: openLateTestEngine,
    cacheBytes: 1 << 20,
    now: () => nowMs,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

function content(value: Value, expiresAtMs: number | null = null) {
  const contentType = typeof value === 'string' ? jsonContentType : 'application/octet-stream'
  return { value, contentType, flags: 0, expiresAtMs }
}

async function putAll(db: Database, members: readonly ModelMember[]): Promise<void> {
  await db.putAll(
    'c',
    members.map(({ key, value }) => ({ key, ...content(value) })),
  )
}

/** All pages of a query. */
async function pagesOf(db: Database, query: FindQuery): Promise<FoundPage[]> {
  const pages: FoundPage[] = []
  let cursor: string | null = null
  do {
    const page: FoundPage = await db.find('c', { ...query, cursor })
    pages.push(page)
    cursor = page.next
  } while (cursor !== null)
  return pages
}

const keysOf = (members: readonly ModelMember[]) => members.map(({ key }) => key)

describe('random queries', () => {
  test('find what filtering and sorting in memory does', async () => {
    const { int: below } = random(seedOfRun())
    const db = await open()
    const members: ModelMember[] = []
    for (let i = 0; i < 300; i++)
      members.push({ key: `${['k', 'l', 'é', '\u{1f600}'][below(4)]}${i}`, value: randomValue(below) })
    await putAll(db, members)
    for (let i = 0; i < 300; i++) {
      const filter = below(4) === 0 ? null : randomFilter(below)
      const text = randomOrder(below)
      const prefix = ['', '', 'k', 'l1', 'é'][below(5)]!
      const query: FindQuery = {
        ...emptyQuery,
        prefix,
        filter: below(5) === 0 ? compilePattern('*1*') : null,
        where: filter === null ? null : parseWhere(filter.text),
        order: text === null ? null : parseFindOrder(text),
        limit: 1 + below(60),
        keysOnly: below(5) === 0,
        count: below(3) === 0,
      }
      const selected = members.filter(
        (member) =>
          member.key.startsWith(prefix) &&
          (query.filter === null || member.key.includes('1')) &&
          modelMatches(member, filter),
      )
      const expected = modelSorted(selected, query.order ?? 'asc')
      const pages = await pagesOf(db, query)
      const found = pages.flatMap((page) => page.members)
      expect([filter?.text, text, keysOf(found)]).toEqual([filter?.text, text, keysOf(expected)])
      expect(found.map(({ value }) => value)).toEqual(
        expected.map(({ value }) => (query.keysOnly ? '' : value)),
      )
      for (const page of pages) {
        expect(page.isComplete).toBe(true)
        expect(page.count).toBe(query.count ? expected.length : null)
      }
      const streamed: ModelMember[] = []
      for await (const part of db.findAll('c', { ...query, limit: Number.POSITIVE_INFINITY }))
        streamed.push(...part)
      expect(keysOf(streamed)).toEqual(keysOf(expected))
    }
  })
})

describe('pages', () => {
  const cities: readonly ModelMember[] = [
    { key: 'oslo', value: '{"name":"Oslo","country":"NO","population":7e5}' },
    { key: 'bergen', value: '{"name":"Bergen","country":"NO","population":290000}' },
    { key: 'lund', value: '{ "name": "Lund", "country": "SE", "population": 94000.0 }' },
    { key: 'note', value: new Uint8Array([1]) },
    { key: 'umeå', value: '{"name":"Umeå","country":"SE","population":9.4e4}' },
  ]
  const query = (over: Partial<FindQuery>): FindQuery => ({ ...emptyQuery, ...over })
  const order = parseFindOrder

  test('equal fields come by key, in the direction of the last field', async () => {
    const db = await open()
    await putAll(db, cities)
    const found = async (text: string) =>
      keysOf((await db.find('c', query({ where: parseWhere('@.country'), order: order(text) }))).members)
    expect(await found('@.population')).toEqual(['lund', 'umeå', 'bergen', 'oslo'])
    expect(await found('-@.population')).toEqual(['oslo', 'bergen', 'umeå', 'lund'])
    expect(await found('-@.population,@.nothing')).toEqual(['oslo', 'bergen', 'lund', 'umeå'])
  })

  test('a value that is not JSON matches no filter, and is first in an order', async () => {
    const db = await open()
    await putAll(db, cities)
    for (const where of ['@', '!@', '!@.none'])
      expect(keysOf((await db.find('c', query({ where: parseWhere(where) }))).members)).not.toContain('note')
    const [first] = (await db.find('c', query({ order: order('@.name') }))).members
    expect(first!.key).toBe('note')
  })

  test('fields are shown as they are stored', async () => {
    const db = await open()
    await putAll(db, cities)
    const fields = parseShownFields('@.population,@.country')
    const { members } = await db.find('c', query({ fields, order: 'desc' }))
    expect(members.map(({ key, value }) => `${key} ${value}`)).toEqual([
      'umeå {"population":9.4e4,"country":"SE"}',
      'oslo {"population":7e5,"country":"NO"}',
      'note {}',
      'lund {"population":94000.0,"country":"SE"}',
      'bergen {"population":290000,"country":"NO"}',
    ])
  })

  test('what has expired is not found', async () => {
    const db = await open()
    await db.put('c', 'a', content('{"n":1}', 2000))
    await db.put('c', 'b', content('{"n":1}'))
    nowMs = 3000
    for (const over of [{}, { order: order('@.n') }, { count: true, limit: 1 }]) {
      const page = await db.find('c', query({ where: parseWhere('@.n == 1'), ...over }))
      expect([keysOf(page.members), page.count]).toEqual([['b'], 'count' in over ? 1 : null])
    }
  })

  test('a page goes on after its cursor while members change', async () => {
    const db = await open()
    const value = (n: number) => content(`{"n":${n}}`)
    for (let i = 0; i < 10; i++) await db.put('c', `k${i}`, value(i))
    const asked = query({ order: order('@.n'), limit: 4 })
    const first = await db.find('c', asked)
    expect(keysOf(first.members)).toEqual(['k0', 'k1', 'k2', 'k3'])
    await db.put('c', 'k3', value(8.5))
    await db.put('c', 'k9', value(-1))
    await db.delete('c', 'k2')
    await db.put('c', 'new', value(3.5))
    const second = await db.find('c', { ...asked, cursor: first.next })
    expect(keysOf(second.members)).toEqual(['new', 'k4', 'k5', 'k6'])
    await db.delete('c', 'k6')
    const third = await db.find('c', { ...asked, cursor: second.next })
    expect([keysOf(third.members), third.next]).toEqual([['k7', 'k8', 'k3'], null])
  })

  test('a cursor is short, however long the values are', async () => {
    const db = await open()
    for (const key of ['a', 'b', 'c']) {
      const long = `"${'x'.repeat(100_000)}${key}"`
      await db.put('c', key, content(`{"t":${long},"n":${'1'.repeat(1000)}}`))
    }
    const asked = query({ order: order('@.t,@.n,@'), limit: 1 })
    const pages = await pagesOf(db, asked)
    expect(keysOf(pages.flatMap(({ members }) => members))).toEqual(['a', 'b', 'c'])
    for (const { next } of pages) expect(next?.length ?? 0).toBeLessThan(1000)
  })

  const wrongCursors: Record<string, [cursor: string, over: Partial<FindQuery>]> = {
    empty: ['', {}],
    'of nothing': ['x', {}],
    'no list': ['f{}', {}],
    'not JSON': ['f[', {}],
    'with something else': ['f["@.n",1,null,"a"]', {}],
    'of another order': ['f["@.n","k",null,"a"]', { order: parseFindOrder('@.t') }],
    'of a key, for fields': ['kabc', { order: parseFindOrder('@.t') }],
    'with too few fields': ['f["@.n,@.t","k",null,"a"]', {}],
    'with an order that is none': ['f["@.","k",null,"a"]', {}],
  }
  test.each(Object.entries(wrongCursors))('a cursor %s is refused', async (_name, [cursor, over]) => {
    const db = await open()
    expect((await faultOf(db.find('c', query({ ...over, cursor })))).code).toBe('invalid_cursor')
  })

  test('a page ends where its values would be too many, and goes on', async () => {
    const db = await open()
    const large = 'x'.repeat(5 << 20)
    for (const key of ['a', 'b', 'c', 'd', 'e'])
      await db.put('c', key, content(`{"n":1,"t":"${large}${key}"}`))
    for (const over of [{ where: parseWhere('@.n == 1') }, { order: order('@.n') }]) {
      const pages = await pagesOf(db, query(over))
      expect(pages.map(({ members }) => keysOf(members))).toEqual([
        ['a', 'b', 'c'],
        ['d', 'e'],
      ])
      const few = await pagesOf(db, query({ ...over, fields: parseShownFields('@.n') }))
      expect(few.map(({ members }) => keysOf(members))).toEqual([['a', 'b', 'c', 'd', 'e']])
    }
  })

  test('reserves memory before it reads what is large, and not before', async () => {
    const db = await open()
    await putAll(db, cities)
    let reserved = 0
    const memory = { reserve: async () => void reserved++ }
    const asked = query({ where: parseWhere('@.country') })
    await db.find('c', asked, { memory })
    expect(reserved).toBe(0)
    await db.put('c', 'large', content(`{"country":"${'x'.repeat(1 << 20)}"}`))
    for (const over of [{}, { order: order('@.name') }, { count: true, limit: 1 }]) {
      await db.find('c', { ...asked, ...over }, { memory })
      expect(reserved).toBeGreaterThan(0)
      reserved = 0
    }
  })
})

describe('many members', () => {
  let db: Database
  const many = maxExaminedMembers + 1000
  beforeAll(async () => {
    db = await openDatabase({
      open: openLateTestEngine,
      cacheBytes: 1 << 20,
      now: () => 1000,
      onError(error) {
        throw error
      },
    })
    for (let from = 0; from < many; from += 1000) {
      const part = Array.from({ length: 1000 }, (_, i) => String(from + i).padStart(6, '0'))
      await db.putAll(
        'c',
        part.map((key) => ({ key, ...content(`{"n":${Number(key)}}`) })),
      )
    }
  })
  afterAll(() => db.close())

  test('a page examines a bounded number of members, and says that it is not complete', async () => {
    const query = { ...emptyQuery, where: parseWhere(`@.n == ${many - 1}`), count: true }
    const first = await db.find('c', query)
    expect(first).toMatchObject({ members: [], isComplete: false, count: 0 })
    expect(first.explanation.examined).toBe(2 * maxExaminedMembers)
    const second = await db.find('c', { ...query, count: false, cursor: first.next })
    expect(second).toMatchObject({ isComplete: true, next: null })
    expect(keysOf(second.members)).toEqual([String(many - 1).padStart(6, '0')])
  })

  test('more members than are sorted are refused, with the index that would order them', async () => {
    const refused = async (over: Partial<FindQuery>) =>
      faultOf(db.find('c', { ...emptyQuery, order: parseFindOrder('-@.n'), ...over }))
    expect(await refused({})).toMatchObject({ code: 'no_index', extra: { index: { on: ['@.n'] } } })
    const where = parseWhere('@["g"] == 1 && @.t > 5')
    expect(await refused({ where })).toMatchObject({ extra: { index: { on: ['@.g', '@.n'] } } })
    const mixed = await refused({ order: parseFindOrder('-@.n,@.g') })
    expect([mixed.code, mixed.extra.index]).toEqual(['no_index', undefined])
    const stream = db.findAll('c', { ...emptyQuery, order: parseFindOrder('@.n') })
    expect((await faultOf(stream.next())).code).toBe('no_index')
    const { members } = await db.find('c', {
      ...emptyQuery,
      order: parseFindOrder('-@.n'),
      prefix: '01',
      limit: 2,
    })
    expect(keysOf(members)).toEqual(['019999', '019998'])
  })

  test('a drop deletes what matches among many', async () => {
    expect(await db.drop('c', { ...emptyQuery, where: parseWhere(`@.n >= ${many - 2}`) })).toBe(2)
  })
})
