import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { JsonSchema, Settings } from '../sdk/settings-types.ts'
import type { ImportSummary } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, membersIn, put } from './support/responses.ts'

/** The schema of a collection over HTTP: `/v1` and the dialects. */

const nowMs = Date.parse('2026-06-01T12:00:00Z')
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs)
})
afterAll(() => server.stop())

let names = 0
const at = (name: string, rest = '') => `${server.url}/v1/${name}${rest}`
const json = 'application/json'
const merge = 'application/merge-patch+json'
const jsonPatch = 'application/json-patch+json'
const increment = 'application/vnd.kvist.increment+json'

const person: JsonSchema = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, age: { type: 'integer', maximum: 150 } },
}

function set(name: string, schema: unknown): Promise<Response> {
  return put(at('_collections/') + name, JSON.stringify({ schema }))
}

/** Returns the name of a new collection with a schema, and with members that were there before. */
async function newCollection(
  schema: unknown,
  members: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const name = `schema-${++names}`
  for (const [key, value] of Object.entries(members)) await put(at(name, `/${key}`), JSON.stringify(value))
  expect((await set(name, schema)).status).toBe(200)
  return name
}

function send(method: string, url: string, body: string, type: string, headers: Record<string, string> = {}) {
  return fetch(url, { method, body, headers: { 'content-type': type, ...headers } })
}

const batch = (operations: readonly unknown[], others: object = {}) =>
  send('POST', at('_batch'), JSON.stringify({ operations, ...others }), json)

test('is shown as it was set, and is gone when settings are set without it', async () => {
  const name = await newCollection(person)
  const { schema } = await jsonOf<Settings>(fetch(at(`_collections/${name}`)))
  expect(schema).toEqual(person)
  await put(at(`_collections/${name}`), '{"default_ttl":60}')
  expect((await jsonOf<Settings>(fetch(at(`_collections/${name}`)))).schema).toBeNull()
  expect((await put(at(name, '/a'), '1')).status).toBe(201)
})

test('that is wrong is refused with the place, and the one before stays', async () => {
  const name = await newCollection(person)
  const wrong = await expectProblem(
    await set(name, { properties: { age: { type: 'int' } } }),
    400,
    'invalid_schema',
  )
  expect(wrong).toMatchObject({
    pointer: '/properties/age/type',
    detail: expect.stringContaining('the schema is wrong at /properties/age/type: must be equal to one of'),
  })
  await expectProblem(await set(name, { $ref: 'https://example.com/other.json' }), 400, 'invalid_schema')
  await expectProblem(await set(name, 'text'), 400, 'invalid_schema')
  expect((await jsonOf<Settings>(fetch(at(`_collections/${name}`)))).schema).toEqual(person)
})

describe('a value that breaks the schema is refused by', () => {
  const age = { pointer: '/age', keyword: 'maximum', reason: 'must be <= 150' }
  const requests: Readonly<Record<string, [request: (name: string) => Promise<Response>, key?: unknown]>> = {
    PUT: [(name) => put(at(name, '/new'), '{"name":"B","age":151}')],
    'PUT over a member': [(name) => put(at(name, '/old'), '{"name":"B","age":151}'), 'old'],
    'PUT with If-None-Match': [
      (name) => put(at(name, '/new'), '{"name":"B","age":151}', { 'if-none-match': '*' }),
    ],
    POST: [(name) => send('POST', at(name), '{"name":"B","age":151}', json), expect.any(String)],
    'POST with Idempotency-Key': [
      (name) => send('POST', at(name), '{"name":"B","age":151}', json, { 'idempotency-key': name }),
      expect.any(String),
    ],
    'merge patch': [(name) => send('PATCH', at(name, '/old'), '{"age":151}', merge), 'old'],
    'merge patch that makes a member': [
      (name) => send('PATCH', at(name, '/new'), '{"name":"B","age":151}', merge),
    ],
    'JSON patch': [
      (name) => send('PATCH', at(name, '/old'), '[{"op":"replace","path":"/age","value":151}]', jsonPatch),
      'old',
    ],
    increment: [(name) => send('PATCH', at(name, '/old'), '{"path":"/age"}', increment), 'old'],
    batch: [(name) => batch([{ op: 'put', collection: name, key: 'new', value: { name: 'B', age: 151 } }])],
    'batch with an increment': [
      (name) => batch([{ op: 'increment', collection: name, key: 'old', path: '/age' }]),
      'old',
    ],
  }
  test.each(Object.entries(requests))('%s', async (_name, [request, key = 'new']) => {
    const name = await newCollection(person, { old: { name: 'A', age: 150 } })
    for (let time = 0; time < 2; time++) {
      const problem = await expectProblem(await request(name), 422, 'schema_violation')
      expect(problem).toMatchObject({ title: 'Schema broken', collection: name, key, violations: [age] })
      expect(problem.detail).toEndWith(`breaks the schema of ${name}: /age must be <= 150`)
      expect(problem).not.toHaveProperty('operation')
    }
    expect((await membersIn(at(name))).map(({ key, value }) => [key, value])).toEqual([
      ['old', { name: 'A', age: 150 }],
    ])
    expect((await set(name, true)).status).toBe(200)
    expect((await request(name)).status).toBeLessThan(300)
  })
})

test('a batch names the operation, and nothing of it is done', async () => {
  const name = await newCollection(person, { b: { name: 'B', age: 150 } })
  const good = { op: 'put', collection: name, key: 'a', value: { name: 'A' } }
  const bad = { op: 'put', collection: name, key: 'c', value: {} }
  const grown = { op: 'increment', collection: name, key: 'b', path: '/age' }
  for (const operations of [
    [good, bad],
    [good, grown],
  ]) {
    const problem = await expectProblem(await batch(operations), 422, 'schema_violation')
    expect(problem).toMatchObject({ operation: 1, collection: name, key: operations[1]!.key })
  }
  expect((await membersIn(at(name))).map(({ key }) => key)).toEqual(['b'])
  const apart = await jsonOf<{ revisions: unknown[]; errors: unknown[] }>(
    batch([good, bad, grown], { atomic: false }),
  )
  expect(apart.revisions).toEqual([expect.any(Number), null, null])
  expect(apart.errors).toMatchObject([
    { index: 1, code: 'schema_violation', detail: expect.stringContaining('must have the property "name"') },
    { index: 2, code: 'schema_violation' },
  ])
})

test('an import names the lines, and stores the others', async () => {
  const name = await newCollection(person)
  const lines = [
    '{"key":"a","value":{"name":"A"}}',
    '{"key":"b","value":{"age":1}}',
    '{"key":"c","value_text":"x"}',
  ]
  const summary = await jsonOf<ImportSummary>(
    send('POST', at(name), lines.join('\n'), 'application/x-ndjson'),
  )
  expect(summary).toEqual({
    stored: 1,
    failed: [
      {
        line: 2,
        code: 'schema_violation',
        detail: `the value of "b" breaks the schema of ${name}: it must have the property "name"`,
      },
      {
        line: 3,
        code: 'schema_violation',
        detail: `the value of "c" breaks the schema of ${name}: it must be JSON`,
      },
    ],
  })
})

test('a refused request is not recorded under its Idempotency-Key', async () => {
  const name = await newCollection({ type: 'string' })
  const post = () => send('POST', at(name), '1', json, { 'idempotency-key': `schema-${name}` })
  await expectProblem(await post(), 422, 'schema_violation')
  await set(name, { type: 'number' })
  const { key } = await jsonOf<{ key: string }>(post())
  await set(name, { type: 'string' })
  expect((await jsonOf<{ key: string }>(post())).key).toBe(key)
})

test('a value that is not JSON needs the schema true', async () => {
  const name = await newCollection({})
  const text = () => put(at(name, '/t'), 'text', { 'content-type': 'text/plain' })
  expect(await expectProblem(await text(), 422, 'schema_violation')).toMatchObject({
    violations: [{ pointer: '', keyword: 'json', reason: 'must be JSON' }],
  })
  await set(name, true)
  expect((await text()).status).toBe(201)
})

test('members from before stay, and are checked when they are written', async () => {
  const name = await newCollection(person, { old: { age: 1 } })
  expect(await jsonOf<unknown>(fetch(at(name, '/old')))).toEqual({ age: 1 })
  expect((await fetch(at(name, '/old?expire_in=1h'), { method: 'PATCH' })).status).toBe(200)
  await expectProblem(await send('PATCH', at(name, '/old'), '{"age":2}', merge), 422, 'schema_violation')
  expect((await send('PATCH', at(name, '/old'), '{"name":"A"}', merge)).status).toBe(200)
  expect((await fetch(at(name, '/old'), { method: 'DELETE' })).status).toBe(204)
})

test('numbers are stored as they were sent, and checked as JavaScript has them', async () => {
  const name = await newCollection({ type: 'integer', maximum: 2 ** 53 })
  const large = '9007199254740993.000'
  expect((await put(at(name, '/n'), large)).status).toBe(201)
  expect(await (await fetch(at(name, '/n'))).text()).toBe(large)
  await expectProblem(await put(at(name, '/n'), '1e999'), 422, 'schema_violation')
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
    await put(at(`_collections/${collection}`), '{"schema":{"type":"null"},"processes":[]}')
    const refused = await ask('b')
    const detail = `the value of "b" breaks the schema of ${collection}: it must be null`
    const forms: Readonly<Record<string, string>> = {
      ozza: JSON.stringify({ error: detail }),
      keys: JSON.stringify({ error: detail }),
      reforg: JSON.stringify({ detail }),
      minstore: JSON.stringify({ error: detail }),
      tenantbase: `422: ${detail}`,
    }
    expect(`${refused.status} ${(await refused.text()).trim()}`).toBe(`422 ${forms[dialect]}`)
    expect(await membersIn(at(collection))).toEqual([])
    await put(at(`_collections/${collection}`), '{"processes":[]}')
    expect((await ask('b')).status).toBeLessThan(300)
  })

  test('minstore checks the record as it is stored, and takes those of other nodes unchecked', async () => {
    await fetch(at('text'), { method: 'DELETE' })
    const schema = { required: ['size'], properties: { size: { maximum: 130 } } }
    await put(at('_collections/text'), JSON.stringify({ schema, processes: [] }))
    const post = (value: string) =>
      send('POST', `${server.url}/dialects/minstore/text/a`, `value=${encodeURIComponent(value)}`, form)
    expect((await post('Det här är en lång text på svenska')).status).toBe(422)
    expect((await post('kort')).status).toBe(200)
    const record = JSON.stringify({ uid: 'b', value: 'x', size: 999 })
    for (const query of ['mirror=1', 'mirror=1&bridge=1']) {
      const url = `${server.url}/dialects/minstore/text/b?${query}`
      expect((await send('PUT', url, `value=${encodeURIComponent(record)}`, form)).status).toBe(200)
    }
    await put(at('_collections/text'), '{}')
  })
})

describe('a check of members', () => {
  interface Checked {
    readonly checked: number
    readonly broken: readonly { readonly key: string; readonly violations: readonly unknown[] }[]
    readonly complete: boolean
    readonly next: string | null
  }
  const check = (name: string, body: object) =>
    send('POST', at(`_collections/${name}/_check`), JSON.stringify(body), json)
  const checked = (name: string, body: object) => jsonOf<Checked>(check(name, body))

  test('names those that would break a schema, with the reasons', async () => {
    const name = await newCollection(null, { a: { name: 'A' }, b: {}, c: { name: 'C', age: 200 } })
    await put(at(name, '/t'), 'text', { 'content-type': 'text/plain' })
    expect(await checked(name, { schema: person })).toEqual({
      checked: 4,
      broken: [
        {
          key: 'b',
          violations: [{ pointer: '', reason: 'must have the property "name"', keyword: 'required' }],
        },
        { key: 'c', violations: [{ pointer: '/age', reason: 'must be <= 150', keyword: 'maximum' }] },
        { key: 't', violations: [{ pointer: '', reason: 'must be JSON', keyword: 'json' }] },
      ],
      complete: true,
      next: null,
    })
    expect((await jsonOf<Settings>(fetch(at(`_collections/${name}`)))).schema).toBeNull()
  })

  test('is about the schema that is set where none is sent', async () => {
    const name = await newCollection(person, { b: {} })
    expect(await checked(name, {})).toMatchObject({ checked: 1, broken: [{ key: 'b' }], complete: true })
    const none = await newCollection(null)
    await expectProblem(await check(none, {}), 422, 'unprocessable')
    expect(await checked(none, { schema: false })).toEqual({
      checked: 0,
      broken: [],
      complete: true,
      next: null,
    })
  })

  test('goes on at its cursor, whatever the limit, until all were checked', async () => {
    const name = await newCollection(null)
    const members = Array.from({ length: 450 }, (_, i) => ({
      key: String(i).padStart(4, '0'),
      ...{ value: String(i), contentType: json, flags: 0, expiresAtMs: null },
    }))
    await server.db.putAll(name, members)
    for (const [limit, parts] of [
      [1000, 1],
      [90, 2],
      [7, 22],
    ] as const) {
      const schema = { not: { multipleOf: 3 } }
      const broken: string[] = []
      let total = 0
      let requests = 0
      let cursor: string | null = null
      do {
        const part: Checked = await checked(name, { schema, limit, cursor })
        expect(part.complete).toBe(part.next === null)
        broken.push(...part.broken.map(({ key }) => key))
        total += part.checked
        requests++
        cursor = part.next
      } while (cursor !== null)
      expect(total).toBe(450)
      expect(broken.map(Number)).toEqual(Array.from({ length: 150 }, (_, i) => 3 * i))
      expect(requests).toBe(parts)
    }
  })

  test('refuses what it cannot do', async () => {
    const name = await newCollection(null, { a: 1, b: 2 })
    const { next } = await checked(name, { schema: false, limit: 1 })
    for (const [body, code] of [
      [{ schema: { type: 'x' } }, 'invalid_schema'],
      [{ schema: 'x' }, 'invalid_schema'],
      [{ schema: true, limit: 0 }, 'invalid_request'],
      [{ schema: true, limit: 1001 }, 'invalid_request'],
      [{ schema: true, limit: '5' }, 'invalid_request'],
      [{ schema: true, cursor: 5 }, 'invalid_cursor'],
      [{ schema: true, cursor: next }, 'invalid_cursor'],
      [{ schem: true }, 'invalid_request'],
      [[], 'invalid_request'],
    ] as const)
      await expectProblem(await check(name, body), 400, code)
    expect(await checked(name, { schema: false, limit: 1, cursor: next })).toMatchObject({
      broken: [{ key: 'b' }],
      complete: true,
    })
  })
})
