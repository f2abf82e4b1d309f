import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { allBytes, expectProblem, jsonOf, oddJson, put } from './support/responses.ts'

/** `POST /v1/_read`: many members at once. */

let nowMs = Date.parse('2026-06-01T12:00:00Z')
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs)
})
afterAll(() => server.stop())

interface Ref {
  readonly collection: string
  readonly key: string
}

type Entry = { readonly key: string; readonly value?: unknown; readonly [name: string]: unknown } | null

function read(members: readonly unknown[], path = '/v1/_read'): Promise<Response> {
  return fetch(server.url + path, { method: 'POST', body: JSON.stringify({ members }) })
}

async function membersOf(refs: readonly Ref[]): Promise<Entry[]> {
  return (await jsonOf<{ members: Entry[] }>(read(refs))).members
}

test('returns what is there in the order of the request, and null for the rest', async () => {
  const url = (collection: string, key: string) => `${server.url}/v1/${collection}/${encodeURIComponent(key)}`
  const stored = await jsonOf<Stored>(put(`${url('read-a', 'a/é')}?expire_in=1h`, '{"n": 1.0}'))
  await put(url('read-b', 'a'), '2')
  const bytes = await jsonOf<Stored>(put(url('read-b', 'bytes'), allBytes, { 'content-type': 'x/y' }))
  const refs = [
    { collection: 'read-b', key: 'a' },
    { collection: 'read-a', key: 'none' },
    { collection: 'read-a', key: 'a/é' },
    { collection: 'none', key: 'a' },
    { collection: 'read-b', key: 'bytes' },
    { collection: 'read-b', key: 'a' },
  ]
  const response = await read(refs)
  expect(response.headers.get('content-type')).toBe('application/json')
  const text = await response.text()
  expect(text).toEndWith('}]}\n')
  expect(text).toContain('"value":{"n": 1.0},')
  const { members } = JSON.parse(text)
  expect(members.map((one: Entry) => one?.key ?? null)).toEqual(['a', null, 'a/é', null, 'bytes', 'a'])
  expect(members[2]).toEqual({ ...stored, value: { n: 1 } })
  expect(members[4]).toEqual({ ...bytes, value_base64: Buffer.from(allBytes).toString('base64') })
  expect(members[5]).toEqual(members[0])
  expect(await membersOf([])).toEqual([])
  expect(await membersOf([{ collection: 'none', key: 'x' }])).toEqual([null])
})

test('keeps values byte for byte', async () => {
  const refs = oddJson.map((_, i) => ({ collection: 'odd', key: String(i) }))
  for (const [i, text] of oddJson.entries()) await put(`${server.url}/v1/odd/${i}`, text)
  const text = await (await read(refs)).text()
  for (const [i, value] of oddJson.entries())
    expect(text).toContain(`{"key":"${i}","value":${value},"revision":`)
})

test('shows nothing that has expired, and lets live on what slides', async () => {
  const settings = `${server.url}/v1/_collections/slides`
  await fetch(settings, { method: 'PUT', body: '{"default_ttl":60,"sliding":true}' })
  await put(`${server.url}/v1/slides/a`, '1')
  await put(`${server.url}/v1/expires/a?expire_in=60`, '1')
  const refs = [
    { collection: 'slides', key: 'a' },
    { collection: 'expires', key: 'a' },
  ]
  nowMs += 59_000
  expect((await membersOf(refs)).map((one) => one?.key)).toEqual(['a', 'a'])
  nowMs += 30_000
  expect((await membersOf(refs)).map((one) => one?.key ?? null)).toEqual(['a', null])
})

test('is of one moment: a batch is seen whole or not at all', async () => {
  const refs = Array.from({ length: 200 }, (_, i) => ({ collection: `moment-${i % 3}`, key: String(i) }))
  const write = (value: number) => {
    const operations = refs.map((ref) => ({ op: 'put', ...ref, value }))
    return fetch(`${server.url}/v1/_batch`, { method: 'POST', body: JSON.stringify({ operations }) })
  }
  await write(0)
  let isWriting = true
  const writing = (async () => {
    for (let value = 1; value <= 60; value++) expect((await write(value)).status).toBe(200)
    isWriting = false
  })()
  const seen = new Set<unknown>()
  while (isWriting) {
    const values = new Set((await membersOf(refs)).map((one) => one?.value))
    expect(values.size).toBe(1)
    for (const value of values) seen.add(value)
  }
  await writing
  expect(seen.size).toBeGreaterThan(3)
})

test('takes ten thousand, and sends what is large in parts', async () => {
  const refs = Array.from({ length: 10_000 }, (_, i) => ({ collection: 'many', key: `k${i}` }))
  const lines = refs.map(({ key }, i) => `{"key":"${key}","value":"${i}-${'x'.repeat(i % 300)}"}`)
  const headers = { 'content-type': 'application/x-ndjson' }
  await fetch(`${server.url}/v1/many`, { method: 'POST', body: lines.join('\n'), headers })
  const asked = refs.toReversed().map((ref, i) => (i % 10 === 0 ? { ...ref, key: 'none' } : ref))
  const found = await membersOf(asked)
  expect(found.map((one) => one?.key ?? 'none')).toEqual(asked.map(({ key }) => key))
  expect(String(found[1]?.value)).toStartWith('9998-xx')
  await expectProblem(await read([...refs, refs[0]!]), 413, 'too_large')
})

test('bounds what the values come to, before it reads them', async () => {
  const value = `"${'x'.repeat(16 * 1024 * 1024 - 2)}"`
  for (const key of ['a', 'b']) await put(`${server.url}/v1/large/${key}`, value)
  const [a, b] = ['a', 'b'].map((key) => ({ collection: 'large', key }))
  const found = await membersOf([a!, b!, a!, b!])
  expect(found.map((one) => String(one?.value).length)).toEqual(Array(4).fill(value.length - 2))
  const problem = await expectProblem(await read([a, b, a, b, a]), 413, 'too_large')
  expect(problem.limit_bytes).toBe(64 * 1024 * 1024)
  // What is not there counts for nothing.
  const none = { collection: 'large', key: 'none' }
  expect((await membersOf([a!, none, none, none, none, none, none])).length).toBe(7)
})

test('refuses what is no question', async () => {
  const post = (body: string | undefined, path = '/v1/_read') =>
    fetch(server.url + path, { method: 'POST', ...(body === undefined ? {} : { body }) })
  const wrong: [string | undefined, string][] = [
    [undefined, 'invalid_json'],
    ['', 'invalid_json'],
    ['{', 'invalid_json'],
    ['[]', 'invalid_request'],
    ['{}', 'invalid_request'],
    ['null', 'invalid_request'],
    ['{"members":{}}', 'invalid_request'],
    ['{"members":null}', 'invalid_request'],
    ['{"members":[],"keys":[]}', 'invalid_request'],
    ['{"members":["a"]}', 'invalid_request'],
    ['{"members":[null]}', 'invalid_request'],
    ['{"members":[{"collection":"c","key":"k","revision":1}]}', 'invalid_request'],
    ['{"members":[{"key":"k"}]}', 'invalid_collection'],
    ['{"members":[{"collection":"c"}]}', 'invalid_key'],
    ['{"members":[{"collection":"c","key":""}]}', 'invalid_key'],
    ['{"members":[{"collection":"c","key":1}]}', 'invalid_key'],
    [`{"members":[{"collection":"c","key":"${'k'.repeat(513)}"}]}`, 'invalid_key'],
    ['{"members":[{"collection":"_settings","key":"slides"}]}', 'invalid_collection'],
    ['{"members":[{"collection":"..","key":"k"}]}', 'invalid_collection'],
  ]
  for (const [body, code] of wrong) await expectProblem(await post(body), 400, code)
  await expectProblem(await post('{"members":[]}', '/v1/_read?limit=1'), 400, 'invalid_parameter')
  expect((await fetch(`${server.url}/v1/_read`)).status).toBe(405)
})
