import { expect, test } from 'bun:test'
import {
  emptyQuery,
  type ModelMember,
  modelMatches,
  modelSorted,
  randomFilter,
  randomOrder,
  randomValue,
} from '../../../test/support/find-model.ts'
import { lateEngine } from '../../../test/support/late-engine.ts'
import { linedEngine } from '../../../test/support/lined-engine.ts'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { openTestEngine } from '../../../test/support/test-engine.ts'
import type { Engine, MemberRef, Put, ScanPage, ScanRange } from '../engine.ts'
import { type Index, indexOf, parseIndexes } from '../indexes/definition.ts'
import { asDuplicate, entryOf } from '../indexes/entries.ts'
import { maxExaminedMembers, smallPageBytes } from '../limits.ts'
import { jsonContentType, type Member } from '../member.ts'
import type { MemberVisitor } from '../member-visitor.ts'
import { parseFindOrder, parseWhere } from './expressions.ts'
import { findAll, findPage, visitFound } from './find.ts'
import type { FindQuery, FoundPage } from './query.ts'
import type { FindSource } from './search.ts'

/** What indexes serve, with entries that the tests themselves store. */

const engines: Record<string, () => Promise<Engine>> = {
  'the test engine': () => openTestEngine(() => {}),
  'lines whose results come late': async () =>
    lateEngine(linedEngine({ lines: 4, spans: 'line', onCommit() {}, onSetback() {} })),
}

function indexesOn(...fields: readonly (readonly string[])[]): Index[] {
  const given = fields.map((on, i) => ({ name: `i${i}`, on, unique: on[0] === '@.u' }))
  return parseIndexes(given).map((one) => indexOf('c', one))
}

function putOf(collection: string, key: string, value: ModelMember['value']): Put {
  return { op: 'put', collection, key, value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
}

/** Stores members with their entries; those of `taken` have unique values that another member has. */
async function store(
  engine: Engine,
  members: readonly ModelMember[],
  indexes: readonly Index[],
  taken: ReadonlySet<string> = new Set(),
): Promise<void> {
  for (const { key, value } of members) {
    const entries = indexes.map((index) => {
      const entry = taken.has(key) ? asDuplicate(entryOf(index, key, value), key) : entryOf(index, key, value)
      return { ...putOf(index.entries, entry.key, entry.value), near: { collection: 'c', key } }
    })
    await engine.commit({ checks: [], writes: [putOf('c', key, value), ...entries], nowMs: 1000 })
  }
}

/** A source whose engine has members at hand, if it returns them at once. */
function visitable(source: FindSource): FindSource {
  const { engine } = source
  function visitMany(refs: readonly MemberRef[], maxBytes: number, visitor: MemberVisitor): number | null {
    const members = engine.readMany(refs, maxBytes)
    if (members instanceof Promise) return null
    for (const [i, member] of members.entries()) visitor.member(member, i)
    return members.length
  }
  function visitRange(range: ScanRange, visitor: MemberVisitor): ScanPage | null {
    const page = engine.scan(range)
    if (page instanceof Promise) return null
    for (const [i, member] of page.members.entries()) visitor.member(member, i)
    return page
  }
  return { ...source, engine: { ...engine, visitMany, visitRange } }
}

/** Returns the page as `visitFound` gives it; null if it does not. */
function visitedPage(source: FindSource, query: FindQuery, nowMs = 1000): FoundPage | null {
  const members: Member[] = []
  const summary = visitFound(visitable(source), 'c', query, nowMs, {
    stored() {},
    undo() {},
    member: (member) => void members.push(member!),
  })
  return summary === null ? null : { members, ...summary }
}

let visitedPages = 0

async function pagesOf(source: FindSource, query: FindQuery): Promise<FoundPage[]> {
  const pages: FoundPage[] = []
  let cursor: string | null = null
  do {
    const page: FoundPage = await findPage(source, 'c', { ...query, cursor }, 1000)
    const visited = visitedPage(source, { ...query, cursor })
    if (visited !== null) expect(visited).toEqual(page)
    if (visited !== null) visitedPages++
    pages.push(page)
    cursor = page.next
  } while (cursor !== null)
  return pages
}

const keysOf = (members: readonly ModelMember[]) => members.map(({ key }) => key)

test.each(Object.keys(engines))(
  'on %s, random queries find with indexes what they do without',
  async (name) => {
    const { int: below } = random(seedOfRun())
    const engine = await engines[name]!()
    const indexes = indexesOn(['@.g'], ['@.n'], ['@.g', '@.n'], ['@.g', '@.n', '@.t'], ['@'])
    const members: ModelMember[] = []
    for (let i = 0; i < 120; i++)
      members.push({ key: `${['k', 'l', 'é', '\u{1f600}'][below(4)]}${i}`, value: randomValue(below) })
    await store(engine, members, indexes)
    const served = new Map<string, number>()
    for (let i = 0; i < 150; i++) {
      const some = indexes.filter(() => below(3) > 0)
      const source: FindSource = { engine, indexesOf: () => some }
      const filter = below(4) === 0 ? null : randomFilter(below)
      const text = randomOrder(below)
      const prefix = ['', '', '', 'k', 'é'][below(5)]!
      const query: FindQuery = {
        ...emptyQuery,
        prefix,
        where: filter === null ? null : parseWhere(filter.text),
        order: text === null ? null : parseFindOrder(text),
        limit: 1 + below(40),
        count: below(3) === 0,
      }
      const selected = members.filter((one) => one.key.startsWith(prefix) && modelMatches(one, filter))
      const pages = await pagesOf(source, query)
      const found = pages.flatMap((page) => page.members)
      const by = pages[0]!.explanation.index
      served.set(by ?? 'none', (served.get(by ?? 'none') ?? 0) + 1)
      const about = [filter?.text, text, by, query.limit]
      if (query.order === null) {
        expect([about, keysOf(found).toSorted()]).toEqual([about, keysOf(selected).toSorted()])
      } else {
        expect([about, keysOf(found)]).toEqual([about, keysOf(modelSorted(selected, query.order))])
      }
      for (const page of pages)
        expect([about, page.count]).toEqual([about, query.count ? selected.length : null])
      const streamed: string[] = []
      for await (const part of findAll(
        source,
        'c',
        { ...query, limit: Number.POSITIVE_INFINITY },
        () => 1000,
      ))
        streamed.push(...keysOf(part))
      expect([about, streamed]).toEqual([about, keysOf(found)])
    }
    for (const one of ['none', 'i0', 'i1', 'i2']) expect(served.get(one) ?? 0).toBeGreaterThan(0)
    expect(visitedPages > 0).toBe(name === 'the test engine')
    visitedPages = 0
    await engine.close()
  },
)

async function opened(
  members: readonly ModelMember[],
  indexes: readonly Index[],
  taken?: ReadonlySet<string>,
): Promise<FindSource> {
  const engine = await openTestEngine(() => {})
  await store(engine, members, indexes, taken)
  return { engine, indexesOf: () => indexes }
}

const numbered = (count: number): ModelMember[] =>
  Array.from({ length: count }, (_, n) => ({
    key: `k${String(n).padStart(3, '0')}`,
    value: `{"g":"${n % 2 === 0 ? 'even' : 'odd'}","n":${n},"u":${count - n}}`,
  }))

const query = (where: string | null, order: string | null, over: Partial<FindQuery> = {}): FindQuery => ({
  ...emptyQuery,
  where: where === null ? null : parseWhere(where),
  order: order === null ? null : parseFindOrder(order),
  ...over,
})

test('a page with members that have expired, or larger than is read without waiting for memory, is not visited', async () => {
  const source = await opened(numbered(30), indexesOn(['@.n']))
  const { engine } = source
  const all = query('@.n < 20', null)
  expect(visitedPage(source, all)?.members).toHaveLength(20)
  await engine.commit({
    checks: [],
    writes: [{ ...putOf('c', 'k007', '{"n":7}'), expiresAtMs: 2000 }],
    nowMs: 1000,
  })
  expect(visitedPage(source, all)?.members).toHaveLength(20)
  expect(visitedPage(source, all, 2000)).toBeNull()
  expect(visitedPage(source, query('@.n > 7 && @.n < 20', null), 2000)?.members).toHaveLength(12)
  const large = `{"n":19,"text":"${'x'.repeat(smallPageBytes)}"}`
  await engine.commit({ checks: [], writes: [putOf('c', 'k019', large)], nowMs: 1000 })
  expect(visitedPage(source, all)).toBeNull()
  expect(visitedPage(source, { ...all, limit: 19 })?.members).toHaveLength(19)
})

test('a page of an index examines what it returns', async () => {
  const source = await opened(numbered(300), indexesOn(['@.g', '@.n']))
  for (const order of [null, '@.n', '-@.n', '-@.g,-@.n']) {
    const page = await findPage(source, 'c', query('@.g == "odd"', order, { limit: 20 }), 1000)
    expect(page.members).toHaveLength(20)
    expect(page.explanation).toEqual({ index: 'i0', examined: 20, isSortedInMemory: false })
  }
  const range = await findPage(source, 'c', query('@.g == "odd" && @.n >= 290', '@.n'), 1000)
  expect(keysOf(range.members)).toEqual(['k291', 'k293', 'k295', 'k297', 'k299'])
  expect(range.explanation.examined).toBe(5)
})

test('a range ends with the values of its type', async () => {
  const others = ['null', 'true', '"x"', '[1]', '{}', '"9"'].map((value, i) => ({
    key: `o${i}`,
    value: `{"n":${value}}`,
  }))
  const source = await opened([...numbered(10), ...others, { key: 'none', value: '{}' }], indexesOn(['@.n']))
  const cases: readonly [where: string, found: number][] = [
    ['@.n > 7', 2],
    ['@.n >= 7', 3],
    ['@.n < 2', 2],
    ['@.n <= 2', 3],
    ['@.n > "5"', 2],
    ['@.n < "a"', 1],
    ['@.n == null', 1],
    ['@.n == true', 1],
  ]
  for (const [where, found] of cases) {
    const { members, explanation } = await findPage(source, 'c', query(where, null), 1000)
    expect([where, members.length, explanation.index]).toEqual([where, found, 'i0'])
    // A bound that is not inclusive has an entry beside it.
    expect(explanation.examined).toBeLessThanOrEqual(found + 1)
  }
})

test('pages go on when an index is dropped, or is ready, between them', async () => {
  const members = numbered(30)
  const source = await opened(members, indexesOn(['@.g', '@.u']))
  const none: FindSource = { ...source, indexesOf: () => [] }
  for (const order of ['@.u', '-@.u', 'asc', '-@.g,-@.u', null]) {
    const expected = keysOf((await findPage(source, 'c', query('@.g == "odd"', order), 1000)).members)
    for (const first of [source, none]) {
      // A query without an order has that of its first page.
      if (order === null && first === none) continue
      const found: string[] = []
      let cursor: string | null = null
      let isFirst = true
      do {
        const from: FindSource = isFirst === (first === source) ? source : none
        const page = await findPage(from, 'c', query('@.g == "odd"', order, { limit: 4, cursor }), 1000)
        found.push(...keysOf(page.members))
        cursor = page.next
        isFirst = !isFirst
      } while (cursor !== null)
      expect([order, found]).toEqual([order, expected])
    }
  }
})

test('pages go on without the index in an order by a field that equals one value', async () => {
  const members = ['e', 'b', 'd', 'a', 'c'].map((g, i) => ({ key: `k${i}`, value: `{"g":"${g}","n":5}` }))
  const source = await opened(members, indexesOn(['@.g']))
  for (const order of ['@.n,@.g', '@.g,@.n', '-@.g,-@.n']) {
    const first = await findPage(source, 'c', query('@.n == 5', order, { limit: 2 }), 1000)
    expect(first.explanation).toMatchObject({ index: 'i0', isSortedInMemory: false })
    const without: FindSource = { ...source, indexesOf: () => [] }
    const rest = await findPage(without, 'c', query('@.n == 5', order, { cursor: first.next }), 1000)
    const all = await findPage(without, 'c', query('@.n == 5', order), 1000)
    expect([order, keysOf([...first.members, ...rest.members])]).toEqual([order, keysOf(all.members)])
  }
})

test('unique entries, duplicates of them and entries of long keys are found', async () => {
  const long = 'x'.repeat(500)
  const members = [
    ...numbered(5),
    { key: `${long}1`, value: '{"u":2}' },
    { key: `${long}2`, value: '{"u":2}' },
    { key: 'last', value: '{"u":2}' },
  ]
  const taken = new Set(members.slice(5).map(({ key }) => key))
  const source = await opened(members, indexesOn(['@.u']), taken)
  const pages = await pagesOf(source, query('@.u >= 1', '@.u', { limit: 1 }))
  const found = keysOf(pages.flatMap((page) => page.members))
  expect(found.toSorted()).toEqual(keysOf(members).toSorted())
  expect(found.at(0)).toBe('k004')
  expect(found.slice(-3)).toEqual(['k002', 'k001', 'k000'])
  expect(new Set(found.slice(1, 5))).toEqual(new Set(['k003', ...taken]))
})

test('the filter distinguishes values that are too long for an entry', async () => {
  const start = 'y'.repeat(1000)
  const members = ['a', 'b', 'c'].map((key) => ({ key, value: `{"t":"${start}${key}"}` }))
  const source = await opened(members, indexesOn(['@.t']))
  for (const [where, keys] of [
    [`@.t == "${start}b"`, ['b']],
    [`@.t > "${start}a"`, ['b', 'c']],
    [`@.t <= "${start}b"`, ['a', 'b']],
    [`@.t > "${start}c"`, []],
  ] as const) {
    const { members: found, explanation } = await findPage(source, 'c', query(where, null), 1000)
    expect([explanation.index, keysOf(found)]).toEqual(['i0', [...keys]])
  }
})

test('what was deleted or changed after its entry was read is left out, or shown as it is', async () => {
  const source = await opened(numbered(6), indexesOn(['@.n']))
  const { engine } = source
  const scan: Engine['scan'] = async (range) => {
    const page = await engine.scan(range)
    if (range.collection === 'c') return page
    const { members } = await engine.scan({
      ...range,
      collection: 'c',
      from: null,
      to: null,
      order: 'asc',
      limit: 2,
    })
    await engine.commit({
      checks: [],
      writes: [
        { op: 'delete', collection: 'c', key: members[0]!.key, cause: 'delete' },
        putOf('c', 'k004', '{"n":-5}'),
      ],
      nowMs: 1000,
    })
    return page
  }
  const changing: FindSource = { ...source, engine: { ...engine, scan } }
  const { members } = await findPage(changing, 'c', query('@.n >= 0', '@.n'), 1000)
  expect(keysOf(members)).toEqual(['k001', 'k002', 'k003', 'k005'])
})

test('a query within ranges of keys is not served by an index', async () => {
  const source = await opened(numbered(20), indexesOn(['@.g'], ['@.n']))
  const within = [
    { from: 'k003', to: 'k005' },
    { from: 'k010', to: 'k012' },
  ]
  for (const order of [null, '-@.n', 'desc']) {
    const page = await findPage(source, 'c', query('@.g == "odd"', order, { within, count: true }), 1000)
    expect(keysOf(page.members).toSorted()).toEqual(['k003', 'k011'])
    expect(page.count).toBe(2)
    expect(page.explanation.index).toBeNull()
    expect(page.explanation.examined).toBeLessThanOrEqual(8)
  }
})

test('an index serves a part that is too large to sort by going through another in the order', async () => {
  const source = await opened(numbered(10), indexesOn(['@.g'], ['@.n']))
  const entries = source.indexesOf('c')[0]!.entries
  let scanned = 0
  const { engine } = source
  const scan: Engine['scan'] = async (range) => {
    if (range.collection !== entries) return engine.scan(range)
    // As if there were no end of them.
    const page = await engine.scan({ ...range, from: null, to: null })
    scanned += page.members.length
    const members = Array.from({ length: range.limit }, () => page.members[0]!)
    return { members, next: 'z', isCut: false }
  }
  const large: FindSource = { ...source, engine: { ...engine, scan } }
  const { members, explanation } = await findPage(
    large,
    'c',
    query('@.g == "odd"', '-@.n', { limit: 2 }),
    1000,
  )
  expect(keysOf(members)).toEqual(['k009', 'k007'])
  expect(explanation).toMatchObject({ index: 'i1', isSortedInMemory: false })
  expect(scanned).toBeGreaterThan(0)
})

test('an index counts more than a page examines', async () => {
  const source = await opened(numbered(4), indexesOn(['@.g']))
  const { engine } = source
  const rounds = maxExaminedMembers / 500 + 2
  let scans = 0
  const scan: Engine['scan'] = async (range) => {
    const page = await engine.scan(range)
    if (range.collection === 'c') return page
    const members = Array.from({ length: range.limit }, () => page.members[0]!)
    return { members, next: ++scans === rounds ? null : range.from, isCut: false }
  }
  const large: FindSource = { ...source, engine: { ...engine, scan } }
  const page = await findPage(large, 'c', query('@.g == "odd"', null, { limit: 1, count: true }), 1000)
  expect(page).toMatchObject({ count: 500 * (rounds - 1), isComplete: true })
})
