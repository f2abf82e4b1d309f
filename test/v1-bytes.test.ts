import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Put } from '../src/core/engine.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { newFolder, withEngine } from './support/engine.ts'
import { collection, noonMs, put, write } from './support/engine-writes.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

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
    undefined,
    (onCommit) => openSqlite({ dir, durability: 'relaxed', onCommit, pages: 'on' }),
    {
      storeOf: (db) => ({
        ...db,
        visitMany: (...given) => counted(() => db.visitMany(...given)),
        visitPage: (...given) => counted(() => db.visitPage(...given)),
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
  ['?from=has&limit=1', false],
  ['?from=has&to=has%20expirez', true],
  ['?prefix=none', true],
  ['?prefix=z', false],
  ['?order=desc', false],
  ['?filter=k*', false],
  ['?match=1', false],
  ['?include=values', false],
  ['?include=all', false],
  ['?include=keys', false],
  ['?delimiter=/', false],
  ['?limit=0', false],
])('a list%s has the same bytes and headers, by visits: %p', async (query, byVisits) => {
  expect(await compare(`/v1/${collection}${query}`)).toBe(byVisits)
  expect(await compare(`/v1/${collection}${query}`, { headers: { 'accept-encoding': 'gzip' } })).toBe(
    byVisits,
  )
})

test('cursors lead on from pages of either kind', async () => {
  const keys: string[] = []
  let next: string | null = null
  for (let i = 0; i === 0 || next !== null; i++) {
    isVisited = i % 2 === 0
    const query: string =
      next === null ? 'prefix=k&limit=70' : `prefix=k&limit=70&cursor=${encodeURIComponent(next)}`
    const page = (await (await fetch(`${server.url}/v1/${collection}?${query}`)).json()) as {
      readonly members: readonly { readonly key: string }[]
      readonly next: string | null
    }
    keys.push(...page.members.map(({ key }) => key))
    next = page.next
  }
  expect(keys).toEqual(
    members
      .map(({ key }) => key)
      .filter((key) => key.startsWith('k'))
      .toSorted(),
  )
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
