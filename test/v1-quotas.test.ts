import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Settings } from '../sdk/settings-types.ts'
import type { CollectionInfo, ImportSummary } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, membersIn, put } from './support/responses.ts'

/** Quotas of a collection over HTTP: `/v1` and the dialects. */

let nowMs = Date.parse('2026-06-01T12:00:00Z')
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs)
})
afterAll(() => server.stop())

let names = 0

async function limit(name: string, settings: Partial<Settings>): Promise<Settings> {
  return jsonOf(put(`${server.url}/v1/_collections/${name}`, JSON.stringify(settings)))
}

/** Returns the name of a new collection with these settings. */
async function newCollection(settings: Partial<Settings>): Promise<string> {
  const name = `quota-${++names}`
  await limit(name, settings)
  return name
}

const at = (name: string, rest = '') => `${server.url}/v1/${name}${rest}`

function send(method: string, url: string, body: string, type: string, headers: Record<string, string> = {}) {
  return fetch(url, { method, body, headers: { 'content-type': type, ...headers } })
}

async function sizeOf(name: string): Promise<Omit<CollectionInfo, 'name'>> {
  const { collections } = await jsonOf<{ collections: CollectionInfo[] }>(
    fetch(`${server.url}/v1?prefix=${name}`),
  )
  const { members = 0, bytes = 0 } = collections.find((one) => one.name === name) ?? {}
  return { members, bytes }
}

const json = 'application/json'
const merge = 'application/merge-patch+json'
const jsonPatch = 'application/json-patch+json'
const increment = 'application/vnd.kvist.increment+json'

test('settings show the quotas as numbers, however they were sent', async () => {
  const name = await newCollection({})
  const sent = { max_members: 5, max_bytes: '64MiB', max_value_bytes: '1.5kB' }
  const shown = { processes: null, default_ttl: null, sliding: false, schema: null, indexes: [] }
  const expected = { ...shown, max_members: 5, max_bytes: 67_108_864, max_value_bytes: 1500 }
  expect(await limit(name, sent)).toEqual(expected)
  expect(await jsonOf<Settings>(fetch(at(`_collections/${name}`)))).toEqual(expected)
  expect(await limit(name, { max_members: 6 })).toEqual({
    ...shown,
    max_members: 6,
    max_bytes: null,
    max_value_bytes: null,
  })
})

describe('a collection that is full', () => {
  const requests: Readonly<Record<string, (name: string) => Promise<Response>>> = {
    PUT: (name) => put(at(name, '/new'), '1'),
    'PUT with If-None-Match': (name) => put(at(name, '/new'), '1', { 'if-none-match': '*' }),
    'PUT of bytes': (name) => put(at(name, '/new'), 'x', { 'content-type': 'text/plain' }),
    POST: (name) => send('POST', at(name), '1', json),
    'merge patch': (name) => send('PATCH', at(name, '/new'), '{"a":1}', merge),
    increment: (name) => send('PATCH', at(name, '/new'), '{}', increment),
    batch: (name) =>
      send(
        'POST',
        at('_batch'),
        JSON.stringify({
          operations: [
            { op: 'put', collection: name, key: 'a', value: 2 },
            { op: 'put', collection: name, key: 'new', value: 1 },
          ],
        }),
        json,
      ),
    'batch with an increment': (name) =>
      send(
        'POST',
        at('_batch'),
        JSON.stringify({ operations: [{ op: 'increment', collection: name, key: 'new' }] }),
        json,
      ),
  }

  test.each(Object.entries(requests))('refuses a %s with a problem that says all', async (_name, request) => {
    const name = await newCollection({ max_members: 2 })
    for (const key of ['a', 'b']) expect((await put(at(name, `/${key}`), '1')).status).toBe(201)
    for (const idempotent of [false, true]) {
      const response = await request(name)
      expect(response.headers.get('retry-after')).toBeNull()
      const problem = await expectProblem(response, 422, 'quota_exceeded')
      expect(problem).toMatchObject({
        title: 'Quota exceeded',
        detail: `max_members of ${name} is 2; it has 2 and would have 3`,
        ...{ collection: name, quota: 'max_members', limit: 2, used: 2, needed: 3 },
      })
      expect([idempotent, await sizeOf(name)]).toEqual([idempotent, { members: 2, bytes: 4 }])
    }
    expect((await membersIn(at(name))).map(({ key, value }) => [key, value])).toEqual([
      ['a', 1],
      ['b', 1],
    ])
    for (const key of ['a', 'b']) await fetch(at(name, `/${key}`), { method: 'DELETE' })
    expect((await request(name)).status).toBeLessThan(300)
  })

  test('refuses what makes a value longer, and neither what shortens it nor what touches it', async () => {
    const name = await newCollection({ max_bytes: 20, max_value_bytes: 12 })
    expect((await put(at(name, '/doc'), '{"a":"1"}')).status).toBe(201)
    const longer = await send('PATCH', at(name, '/doc'), '{"a":"12345"}', merge)
    expect(await expectProblem(longer, 422, 'quota_exceeded')).toMatchObject({
      ...{ collection: name, key: 'doc', quota: 'max_value_bytes', limit: 12, used: 9, needed: 13 },
    })
    const patch = '[{"op":"add","path":"/b","value":1}]'
    await expectProblem(await send('PATCH', at(name, '/doc'), patch, jsonPatch), 422, 'quota_exceeded')
    expect((await put(at(name, '/n'), '"1234"')).status).toBe(201)
    const needs = await put(at(name, '/m'), '')
    await expectProblem(needs, 400, 'invalid_json')
    expect(await expectProblem(await put(at(name, '/m'), '1'), 422, 'quota_exceeded')).toMatchObject({
      ...{ quota: 'max_bytes', limit: 20, used: 19, needed: 21 },
    })
    expect((await send('PATCH', at(name, '/doc'), '{"a":null}', merge)).status).toBe(200)
    expect((await fetch(at(name, '/doc?expire_in=1h'), { method: 'PATCH' })).status).toBe(200)
    expect(await sizeOf(name)).toEqual({ members: 2, bytes: 3 + 2 + 1 + 6 })
  })

  test('has room as soon as a member has expired', async () => {
    const name = await newCollection({ max_members: 1 })
    expect((await put(at(name, '/old?expire_in=5'), '1')).status).toBe(201)
    await expectProblem(await put(at(name, '/new'), '1'), 422, 'quota_exceeded')
    nowMs += 5000
    expect((await put(at(name, '/new'), '1')).status).toBe(201)
  })

  test('names each line of an import that has no room, and stores the others', async () => {
    const name = await newCollection({ max_members: 1003, max_value_bytes: 6 })
    const line = (key: string, value: unknown) => JSON.stringify({ key, value })
    const lines = [
      line('first', 'a'),
      line('long', 'too long'),
      ...Array.from({ length: 1001 }, (_, i) => line(`k${i}`, i)),
      '{',
      line('last', 1),
      line('none', 1),
      line('first', 'b'),
      line('none either', 1),
    ]
    const response = send('POST', at(name), lines.join('\n'), 'application/x-ndjson')
    const summary = await jsonOf<ImportSummary>(response)
    expect(summary.stored).toBe(1004)
    expect(summary.failed.map(({ line, code }) => [line, code])).toEqual([
      [2, 'quota_exceeded'],
      [1004, 'invalid_json'],
      [1006, 'quota_exceeded'],
      [1008, 'quota_exceeded'],
    ])
    expect(summary.failed[0]!.detail).toBe(`max_value_bytes of ${name} is 6; the value of long would have 10`)
    expect(await sizeOf(name)).toMatchObject({ members: 1003 })
    expect(await jsonOf<string>(fetch(at(name, '/first')))).toBe('b')
  })
})

test('of many clients at once exactly as many are stored as there is room for, however they write', async () => {
  const name = await newCollection({ max_members: 40 })
  const statuses = await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      const key = `k${i}`
      const operations = [{ op: 'put', collection: name, key, value: 1 }]
      const responses = [
        () => put(at(name, `/${key}`), '1'),
        () => send('POST', at('_batch'), JSON.stringify({ operations }), json),
        () => send('PATCH', at(name, `/${key}`), '{}', increment),
        () => send('POST', at(name), '1', json),
      ]
      return (await responses[i % 4]!()).status
    }),
  )
  expect(statuses.filter((status) => status < 300)).toHaveLength(40)
  expect(statuses.filter((status) => status === 422)).toHaveLength(80)
  expect(await sizeOf(name)).toMatchObject({ members: 40 })
})

test('a refused request is not recorded under its Idempotency-Key, and is done once there is room', async () => {
  const name = await newCollection({ max_members: 1 })
  await put(at(name, '/a'), '1')
  const post = () => send('POST', at(name), '2', json, { 'idempotency-key': `once-${name}` })
  await expectProblem(await post(), 422, 'quota_exceeded')
  await expectProblem(await post(), 422, 'quota_exceeded')
  await fetch(at(name, '/a'), { method: 'DELETE' })
  const stored = await jsonOf<{ key: string }>(post())
  expect((await jsonOf<{ key: string }>(post())).key).toBe(stored.key)
  expect(await sizeOf(name)).toMatchObject({ members: 1 })
})

test('above a quota that was lowered, deletes and drops work', async () => {
  const name = await newCollection({})
  for (const key of ['a', 'b', 'c']) await put(at(name, `/${key}`), '"long"')
  await limit(name, { max_members: 1, max_bytes: 1, max_value_bytes: 1 })
  expect((await put(at(name, '/a'), '"1ong"')).status).toBe(200)
  expect((await fetch(at(name, '/a'), { method: 'DELETE' })).status).toBe(204)
  const operations = [{ op: 'delete', collection: name, key: 'b' }]
  expect((await send('POST', at('_batch'), JSON.stringify({ operations }), json)).status).toBe(200)
  expect(await jsonOf<unknown>(fetch(at(name), { method: 'DELETE' }))).toEqual({ deleted: 1 })
})

describe('dialects', () => {
  const form = 'application/x-www-form-urlencoded'
  const requests: [
    dialect: string,
    collection: string,
    method: string,
    path: string,
    body: string,
    type: string,
  ][] = [
    ['ozza', 'things', 'PUT', '/things', '{"id":"KEY"}', json],
    ['keys', 'keys', 'PUT', '/keys', '{"KEY":"1"}', json],
    ['reforg', 'keys', 'PUT', '/api/v1/keys?key=KEY&value=1', '', json],
    ['minstore', 'text', 'POST', '/text/KEY', 'value=hello', form],
    ['tenantbase', 'cache', 'POST', '/set-value', '{"key":"KEY","value":"1"}', json],
  ]
  test.each(requests)('%s refuses in its own form', async (dialect, collection, method, path, body, type) => {
    const ask = (key: string) =>
      send(
        method,
        `${server.url}/dialects/${dialect}${path.replace('KEY', key)}`,
        body.replace('KEY', key),
        type,
      )
    await fetch(at(collection), { method: 'DELETE' })
    await limit(collection, { max_members: 1, processes: [] })
    const first = await ask('a')
    expect([await first.text(), first.status < 300]).toEqual([expect.any(String), true])
    const refused = await ask('b')
    const detail = `max_members of ${collection} is 1; it has 1 and would have 2`
    const forms: Readonly<Record<string, string>> = {
      ozza: `{"error":"${detail}"}`,
      keys: `{"error":"${detail}"}`,
      reforg: `{"detail":"${detail}"}`,
      minstore: `{"error":"${detail}"}`,
      tenantbase: `422: ${detail}`,
    }
    expect(`${refused.status} ${(await refused.text()).trim()}`).toBe(`422 ${forms[dialect]}`)
    expect(await sizeOf(collection)).toMatchObject({ members: 1 })
    await limit(collection, { processes: [] })
    expect((await ask('b')).status).toBeLessThan(300)
  })
})
