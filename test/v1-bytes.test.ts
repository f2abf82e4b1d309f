import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Put } from '../src/core/engine.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { newFolder, withEngine } from './support/engine.ts'
import { collection, noonMs, put, write } from './support/engine-writes.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { manualTimers } from './support/manual-timers.ts'
import { until } from './support/until.ts'

/** Responses with members that are copied as bytes, compared with the same responses made of members as objects. */

const members: readonly Put[] = [
  put('expires', '1', noonMs + 1000),
  put('has expired', '1', noonMs - 1),
  put('bytes', new Uint8Array([0, 255, 10])),
  { ...put('text', Buffer.from('"é"\n')), contentType: 'text/plain' },
  { ...put('json', '{}'), contentType: 'application/x+json' },
  { ...put('flags', '{}'), flags: 7 },
  put('large', `"${'x'.repeat(5000)}"`),
  put('quoted "\\ \u0001\n', '"\\u00e9"'),
  put('schlüssel/鍵/😀', '["\u2028", 1.0,\n 2]'),
  ...Array.from({ length: 300 }, (_, i) => put(`k${i}`, `{"n": ${i}, "text": "${'é'.repeat(i)}"}`)),
  ...Array.from({ length: 9 }, (_, i) => put(`z large ${i}`, `"${'y'.repeat(60_000)}"`)),
]

let server: InProcessServer
/** Whether the store may be visited, and how often it was. */
let isVisited = true
let visits = 0
const counted = <Result>(visit: () => Result | null): Result | null => {
  const visited = isVisited ? visit() : null
  if (visited !== null) visits++
  return visited
}

beforeAll(async () => {
  const dir = newFolder()
  await withEngine(dir, (engine) => write(engine, members))
  server = await startInProcess(
    () => noonMs,
    undefined,
    // What has expired is not swept.
    manualTimers(),
    (onCommit) => openSqlite({ dir, durability: 'relaxed', onCommit, pages: 'on' }),
    {
      storeOf: (db) => ({
        ...db,
        visitMany: (...given) => counted(() => db.visitMany(...given)),
        visitPage: (...given) => counted(() => db.visitPage(...given)),
        visitFound: (...given) => counted(() => db.visitFound(...given)),
      }),
    },
  )
})
afterAll(() => server.stop())

/** Compares the responses to one request, with and without visits; returns whether the first had visits. */
async function compare(path: string, init: RequestInit = {}): Promise<boolean> {
  const responses: unknown[] = []
  visits = 0
  for (isVisited of [true, false]) {
    const response = await fetch(server.url + path, init)
    const { date: _, ...headers } = Object.fromEntries(response.headers)
    responses.push({ status: response.status, headers, body: await response.text() })
  }
  expect(responses[0]).toEqual(responses[1])
  return visits > 0
}

test.each([
  ['', false],
  ['?from=k', true],
  ['?limit=1', true],
  ['?limit=10000', false],
  ['?prefix=k&limit=1000', true],
  ['?from=k1&to=k3', true],
  // By visits once the member that has expired is swept.
  ['?from=has&limit=1', null],
  ['?from=has&to=has%20expirez', true],
  ['?prefix=none', true],
  ['?prefix=z', false],
  ['?order=desc', false],
  ['?order=desc&to=l', true],
  ['?order=desc&from=k1&to=k3&limit=20', true],
  ['?filter=k*', false],
  ['?match=1', false],
  ['?include=values', false],
  ['?include=all', false],
  ['?include=keys', false],
  ['?delimiter=/', false],
  ['?limit=0', false],
])('a list%s has the same bytes and headers, by visits: %p', async (query, byVisits) => {
  for (const headers of [{}, { 'accept-encoding': 'gzip' }]) {
    const isByVisits = await compare(`/v1/${collection}${query}`, { headers })
    if (byVisits !== null) expect(isByVisits).toBe(byVisits)
  }
})

test.each(['asc', 'desc'])('cursors lead on from pages of either kind, in order %s', async (order) => {
  const keys: string[] = []
  let next: string | null = null
  for (let i = 0; i === 0 || next !== null; i++) {
    isVisited = i % 2 === 0
    const cursor: string = next === null ? '' : `&cursor=${encodeURIComponent(next)}`
    const query = `prefix=k&limit=70&order=${order}${cursor}`
    const page = (await (await fetch(`${server.url}/v1/${collection}?${query}`)).json()) as {
      readonly members: readonly { readonly key: string }[]
      readonly next: string | null
    }
    keys.push(...page.members.map(({ key }) => key))
    next = page.next
  }
  const expected = members
    .map(({ key }) => key)
    .filter((key) => key.startsWith('k'))
    .toSorted()
  expect(keys).toEqual(order === 'asc' ? expected : expected.toReversed())
})

describe('a page by an index', () => {
  beforeAll(async () => {
    const indexes = [
      { name: 'by_n', on: ['@.n'] },
      { name: 'by_text', on: ['@.text'] },
    ]
    const path = `${server.url}/v1/_collections/${collection}`
    const headers = { 'content-type': 'application/json' }
    await fetch(path, { method: 'PUT', headers, body: JSON.stringify({ indexes }) })
    await until(async () => {
      const settings = (await (await fetch(path)).json()) as { indexes: { state: string }[] }
      return settings.indexes.every(({ state }) => state === 'ready')
    }, 'the indexes are built')
  })

  test.each([
    [{ where: '@.n >= 10' }, true],
    [{ where: '@.n >= 10', limit: '7', explain: 'true' }, true],
    [{ where: '@.n >= 10 && @.n < 15', limit: '5' }, true],
    [{ where: '@.n >= 10 && @.n < 15', limit: '500', order: '-@.n' }, true],
    [{ where: '@.n == 12' }, true],
    [{ where: '@.n == 12000' }, true],
    [{ where: '@.n > 290', prefix: 'k29' }, true],
    [{ order: '@.n', limit: '3', where: '@.n >= 0' }, true],
    [{ order: '-@.n', limit: '300' }, true],
    [{ order: '@.n', limit: '1' }, true],
    [{ where: '@.n >= 10', limit: '3', prefix: 'k2' }, false],
    [{ where: '@.n >= 10 && @.text != ""' }, false],
    [{ where: '@.text == "éé"' }, true],
    [{ where: `@.text == "${'é'.repeat(299)}"` }, false],
    [{ where: '@.n >= 10', fields: '@.n' }, false],
    [{ where: '@.n >= 10', count: 'true' }, false],
    [{ where: '@.n >= 10', include: 'values' }, false],
    [{ where: '@.n >= 10', include: 'keys' }, false],
    [{ where: '@.n >= 10', filter: 'k2*' }, false],
    [{ where: '@.n >= 10', match: '20' }, false],
    [{ where: '@.n >= 10', limit: '1000' }, true],
    [{ where: '@.text >= "é"', limit: '1000' }, true],
    [{ where: '@.text >= "é"', limit: '250', order: '-@.text' }, true],
    [{ where: '@.n >= 10', cursor: 'bad' }, false],
  ] as const)('%p has the same bytes and headers, by visits: %p', async (given, byVisits) => {
    expect(await compare(`/v1/${collection}?${new URLSearchParams(given)}`)).toBe(byVisits)
    const { limit, ...rest } = given as Readonly<Record<string, string>>
    if (['count', 'explain', 'fields'].some((name) => name in rest)) return
    const body = JSON.stringify({
      collection,
      ...rest,
      ...(limit === undefined ? {} : { limit: Number(limit) }),
    })
    const headers = { 'content-type': 'application/json' }
    expect(await compare('/v1/_query', { method: 'POST', headers, body })).toBe(byVisits)
  })

  test('leads on by its cursors, with pages of either kind', async () => {
    const found: number[] = []
    let more = {}
    for (let i = 0; ; i++) {
      isVisited = i % 2 === 0
      const query = new URLSearchParams({ where: '@.n >= 7', order: '-@.n', limit: '19', ...more })
      const page = (await (await fetch(`${server.url}/v1/${collection}?${query}`)).json()) as {
        readonly members: readonly { readonly value: { n: number } }[]
        readonly next: string | null
      }
      found.push(...page.members.map(({ value }) => value.n))
      if (page.next === null) break
      more = { cursor: page.next }
    }
    expect(found).toEqual(Array.from({ length: 293 }, (_, i) => 299 - i))
  })
})

test('a read has the same bytes and headers', async () => {
  const refs = members.slice(0, 300).flatMap(({ key }) => [
    { collection, key },
    { collection: 'none', key },
  ])
  const read = (given: readonly unknown[]) =>
    compare('/v1/_read', { method: 'POST', body: JSON.stringify({ members: given }) })
  expect(await read(refs)).toBe(true)
  expect(await read(refs.filter((_, i) => i % 2 === 0).toReversed())).toBe(true)
  expect(await read([])).toBe(true)
  // More than is read without waiting for memory.
  visits = 0
  await read(members.map(({ key }) => ({ collection, key })))
  expect(await read([{ collection: '_settings', key: 'k' }])).toBe(false)
})
