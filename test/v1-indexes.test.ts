import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { IndexSettings, Settings } from '../sdk/settings-types.ts'
import type { CollectionInfo, ImportSummary } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, put } from './support/responses.ts'
import { until } from './support/until.ts'

/** Indexes and unique values over HTTP. */

let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => Date.now())
})
afterAll(() => server.stop())

let names = 0
const at = (rest: string) => `${server.url}/v1/${rest}`
const settingsOf = (name: string) => jsonOf<Settings>(fetch(at(`_collections/${name}`)))
const set = (name: string, indexes: unknown) => put(at(`_collections/${name}`), JSON.stringify({ indexes }))

async function newCollection(indexes: Settings['indexes']): Promise<string> {
  const name = `indexed-${++names}`
  await jsonOf(set(name, indexes))
  await untilReady(name)
  return name
}

const untilReady = (name: string) =>
  until(async () => (await settingsOf(name)).indexes.every(({ state }) => state === 'ready'), 'it is ready')

describe('indexes in settings', () => {
  test('are shown with their state, can be sent back as they are shown, and are dropped by leaving them out', async () => {
    const name = await newCollection([{ name: 'by_country', on: ['@.country', '@.population'] }])
    const { indexes } = await settingsOf(name)
    const shown: IndexSettings = {
      name: 'by_country',
      on: ['@.country', '@.population'],
      unique: false,
      state: 'ready',
      examined: 0,
    }
    expect(indexes).toEqual([shown])
    expect((await jsonOf<Settings>(set(name, indexes))).indexes).toEqual([shown])
    await put(at(`${name}/a`), '{"country":"SE"}')
    expect((await jsonOf<Settings>(set(name, []))).indexes).toEqual([])
    const { collections } = await jsonOf<{ collections: CollectionInfo[] }>(fetch(`${server.url}/v1`))
    expect(collections.filter((one) => one.name.startsWith('_'))).toEqual([])
  })

  const one = { name: 'i', on: ['@.a'] }
  test.each([
    ['by_a', 'is a list'],
    [{ name: 'i', on: ['@.a'] }, 'is a list'],
    [['by_a'], 'an index is an object'],
    [[null], 'an index is an object'],
    [[{ on: ['@.a'] }], 'the "name" of an index'],
    [[{ ...one, name: '' }], 'the "name" of an index'],
    [[{ ...one, name: 'a b' }], 'the "name" of an index'],
    [[{ ...one, name: 'x'.repeat(65) }], 'the "name" of an index'],
    [[{ name: 'i' }], '"on" is a list of 1 to 4 fields'],
    [[{ name: 'i', on: [] }], '"on" is a list of 1 to 4 fields'],
    [[{ name: 'i', on: '@.a' }], '"on" is a list of 1 to 4 fields'],
    [[{ name: 'i', on: ['@.a', '@.b', '@.c', '@.d', '@.e'] }], '"on" is a list of 1 to 4 fields'],
    [[{ name: 'i', on: ['@.a', '@["a"]'] }], 'a field is named twice'],
    [[{ name: 'i', on: [7] }], 'a field is a text'],
    [[{ name: 'i', on: ['a'] }], 'index i: '],
    [[{ name: 'i', on: ['@.a[*]'] }], 'index i: '],
    [[{ ...one, unique: 1 }], '"unique" is true or false'],
    [[{ ...one, sparse: true }], 'there is no "sparse"'],
    [[one, one], 'two indexes with the name i'],
    [Array.from({ length: 17 }, (_, i) => ({ name: `i${i}`, on: ['@.a'] })), 'at most 16 indexes'],
  ])('%j are refused', async (indexes, why) => {
    const problem = await expectProblem(await set('refused', indexes), 400, 'invalid_request')
    expect(String(problem.detail)).toContain(why)
    expect((await settingsOf('refused')).indexes).toEqual([])
  })

  test('are built over what is there, and those that cannot be say why', async () => {
    const name = await newCollection([])
    const lines = Array.from({ length: 3000 }, (_, i) => `{"key":"k${i}","value":{"n":${i % 2999}}}\n`).join(
      '',
    )
    await fetch(at(name), {
      method: 'POST',
      body: lines,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    await set(name, [
      { name: 'by_n', on: ['@.n'] },
      { name: 'one_n', on: ['@.n'], unique: true },
    ])
    await until(async () => (await settingsOf(name)).indexes[1]!.state === 'failed', 'it has failed')
    await until(async () => (await settingsOf(name)).indexes[0]!.state === 'ready', 'it is ready')
    expect((await settingsOf(name)).indexes).toMatchObject([
      { name: 'by_n', state: 'ready', examined: 3000 },
      { name: 'one_n', state: 'failed', failure: 'members have the same values: k0 and k2999' },
    ])
    await fetch(at(`${name}/k2999`), { method: 'DELETE' })
    await set(name, (await settingsOf(name)).indexes)
    await untilReady(name)
  })
})

describe('unique values', () => {
  const json = { 'content-type': 'application/json' }
  const indexes = [{ name: 'one_code', on: ['@.code'], unique: true }]
  const detail = (name: string) => `${name}/b: ${name}/a has the same @.code, and index one_code is unique`

  const requests: Readonly<Record<string, (name: string) => Promise<Response>>> = {
    PUT: (name) => put(at(`${name}/b`), '{"code":10}'),
    'PUT with If-None-Match': (name) => put(at(`${name}/b`), '{"code":1e1}', { 'if-none-match': '*' }),
    PATCH: async (name) => {
      await put(at(`${name}/b`), '{"code":9}')
      return fetch(at(`${name}/b`), {
        method: 'PATCH',
        body: '{"code":10.0}',
        headers: { 'content-type': 'application/merge-patch+json' },
      })
    },
    increment: async (name) => {
      await put(at(`${name}/b`), '{"code":9}')
      return fetch(at(`${name}/b`), {
        method: 'PATCH',
        body: '{"path":"/code","by":1}',
        headers: { 'content-type': 'application/vnd.kvist.increment+json' },
      })
    },
  }
  test.each(Object.keys(requests))('are kept by %s', async (request) => {
    const name = await newCollection(indexes)
    await put(at(`${name}/a`), '{"code":10}')
    const problem = await expectProblem(await requests[request]!(name), 409, 'not_unique')
    expect(problem).toMatchObject({
      ...{ detail: detail(name), collection: name, key: 'b', index: 'one_code', on: ['@.code'] },
      other: { collection: name, key: 'a' },
    })
    expect(problem.operation).toBeUndefined()
  })

  test('are kept by batches, whole, and by imports, line by line', async () => {
    const name = await newCollection(indexes)
    await put(at(`${name}/a`), '{"code":10}')
    const operation = (key: string, code: number) => ({ op: 'put', collection: name, key, value: { code } })
    const batch = { operations: [operation('z', 1), operation('b', 10)] }
    const post = (path: string, body: string, headers = json) =>
      fetch(at(path), { method: 'POST', body, headers })
    const response = await post('_batch', JSON.stringify(batch))
    expect(await expectProblem(response, 409, 'not_unique')).toMatchObject({
      detail: detail(name),
      operation: 1,
    })
    expect((await fetch(at(`${name}/z`))).status).toBe(404)
    const swap = { operations: [operation('a', 11), operation('b', 10)] }
    expect((await post('_batch', JSON.stringify(swap))).status).toBe(200)
    const lines = '{"key":"c","value":{"code":12}}\n{"key":"d","value":{"code":10}}\n'
    const summary = await jsonOf<ImportSummary>(post(name, lines, { 'content-type': 'application/x-ndjson' }))
    expect(summary).toMatchObject({ stored: 1, failed: [{ line: 2, code: 'not_unique' }] })
  })

  const form = 'application/x-www-form-urlencoded'
  const dialects: [
    dialect: string,
    collection: string,
    field: string,
    method: string,
    path: string,
    body: string,
    type: string,
  ][] = [
    ['ozza', 'things', '@.mail', 'PUT', '/things', '{"id":"KEY","mail":"a"}', 'application/json'],
    ['keys', 'keys', '@.mail', 'PUT', '/keys', '{"KEY":{"mail":"a"}}', 'application/json'],
    ['minstore', 'text', '@.value', 'POST', '/text/KEY', 'value=hello', form],
    [
      'tenantbase',
      'cache',
      '@.mail',
      'POST',
      '/set-value',
      '{"key":"KEY","value":{"mail":"a"}}',
      'application/json',
    ],
  ]
  test.each(dialects)(
    'are kept by %s, which refuses in its own form',
    async (dialect, collection, field, method, path, body, type) => {
      const send = (key: string) =>
        fetch(`${server.url}/dialects/${dialect}${path.replace('KEY', key)}`, {
          method,
          body: body.replace('KEY', key),
          headers: { 'content-type': type },
        })
      const own = [{ name: 'u', on: [field], unique: true }]
      await jsonOf(put(at(`_collections/${collection}`), JSON.stringify({ indexes: own, processes: [] })))
      await untilReady(collection)
      expect((await send('a')).status).toBeLessThan(300)
      const refused = await send('b')
      const detail = `${collection}/b: ${collection}/a has the same ${field}, and index u is unique`
      const text = dialect === 'tenantbase' ? `409: ${detail}` : JSON.stringify({ error: detail })
      expect(`${refused.status} ${(await refused.text()).trim()}`).toBe(`409 ${text}`)
      expect((await fetch(at(`${collection}/b`))).status).toBe(404)
      await fetch(at(`${collection}/a`), { method: 'DELETE' })
      expect((await send('b')).status).toBeLessThan(300)
    },
  )
})
