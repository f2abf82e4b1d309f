import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { maxQueryBytes } from '../src/core/limits.ts'
import { eventParser } from './support/events.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, type Page, put } from './support/responses.ts'
import { until } from './support/until.ts'

/** Lists by what is in the values, `POST /v1/_query`, drops and the change feed with a filter. */

let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess()
})
afterAll(() => server.stop())

let collections = 0
let collection = ''
let url = ''

interface Found extends Page {
  readonly complete?: boolean
  readonly count?: number
  readonly explain?: Readonly<Record<string, unknown>>
}

const cities: Readonly<Record<string, string>> = {
  bergen: '{"name":"Bergen","country":"NO","population":290000}',
  lund: '{ "name": "Lund", "country": "SE", "population": 94000.0 }',
  oslo: '{"name":"Oslo","country":"NO","population":7e5}',
  umeå: '{"name":"Umeå","country":"SE","population":9.4e4}',
}

beforeEach(async () => {
  collection = `cities-${++collections}`
  url = `${server.url}/v1/${collection}`
  for (const [key, value] of Object.entries(cities)) await put(`${url}/${encodeURIComponent(key)}`, value)
})

function withQuery(parameters: Readonly<Record<string, string>>): string {
  return `${url}?${new URLSearchParams(parameters)}`
}

function find(parameters: Readonly<Record<string, string>>): Promise<Found> {
  return jsonOf<Found>(fetch(withQuery(parameters)))
}

function post(body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return fetch(`${server.url}/v1/_query`, {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

const keysOf = ({ members }: Page) => members.map(({ key }) => key)

describe('a list', () => {
  test('has what matches, and says that it is complete', async () => {
    const found = await find({ where: '@.country == "SE" && @.population >= 94000' })
    expect(keysOf(found)).toEqual(['lund', 'umeå'])
    expect(found).toMatchObject({ next: null, complete: true })
    expect(found).not.toHaveProperty('count')
    expect(found).not.toHaveProperty('explain')
  })

  test('without these parameters is as it was', async () => {
    const found = await jsonOf<Found>(fetch(`${url}?order=desc&limit=1`))
    expect(Object.keys(found)).toEqual(['members', 'next'])
  })

  test('goes on by cursor and by link, in any order, with all that selects keys', async () => {
    for (const by of ['cursor', 'link']) {
      const asked = { order: '-@.population,@.name', limit: '1', count: 'true', filter: '*u*' }
      const keys: string[] = []
      let next: string | null = withQuery(asked)
      while (next !== null) {
        const response: Response = await fetch(next)
        const page: Found = await jsonOf<Found>(response)
        keys.push(...keysOf(page))
        expect(page.count).toBe(2)
        const link = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
        expect(link === undefined).toBe(page.next === null)
        if (page.next === null) next = null
        else next = by === 'link' ? server.url + link : withQuery({ ...asked, cursor: page.next })
      }
      expect(keys).toEqual(['umeå', 'lund'].toSorted())
    }
  })

  test('shows fields as they are stored', async () => {
    const text = await (await fetch(withQuery({ fields: '@.population,@.nothing', prefix: 'l' }))).text()
    expect(text).toContain('"value":{"population":94000.0}')
  })

  test('explains how it was found', async () => {
    const found = await find({ where: '@.country == "NO"', order: '-@.name', explain: 'true', limit: '1' })
    expect(keysOf(found)).toEqual(['oslo'])
    expect(found.explain).toEqual({ index: null, examined: 4, returned: 1, sorted_in_memory: true })
  })

  test('streams as NDJSON', async () => {
    const headers = { accept: 'application/x-ndjson' }
    const asked = { where: '@.population < 700000', order: '@.population', include: 'keys' }
    const lines = await (await fetch(withQuery(asked), { headers })).text()
    expect(lines).toBe('{"key":"lund"}\n{"key":"umeå"}\n{"key":"bergen"}\n')
    const two = await (await fetch(withQuery({ ...asked, limit: '2' }), { headers })).text()
    expect(two).toBe('{"key":"lund"}\n{"key":"umeå"}\n')
    const none = await fetch(withQuery({ where: '@.none' }), { headers })
    expect([none.status, await none.text()]).toEqual([200, ''])
  })

  test('has a tag, unless it explains', async () => {
    const asked = { where: '@.country == "NO"' }
    const tag = (await fetch(withQuery(asked))).headers.get('etag')!
    const headers = { 'if-none-match': tag }
    expect((await fetch(withQuery(asked), { headers })).status).toBe(304)
    await put(`${url}/new`, '{"country":"NO"}')
    expect((await fetch(withQuery(asked), { headers })).status).toBe(200)
    expect((await fetch(withQuery({ ...asked, explain: 'true' }))).headers.get('etag')).toBeNull()
  })

  const refused: Record<string, [parameters: Record<string, string>, code: string, says: RegExp]> = {
    'a filter that is none': [{ where: '@.a ==' }, 'invalid_where', /position 6/],
    'an empty filter': [{ where: '' }, 'invalid_where', /position 0/],
    'an order that is none': [{ order: '@.a,' }, 'invalid_parameter', /^order: .*position 4/],
    'an order of many values': [{ order: '@.*' }, 'invalid_parameter', /^order: /],
    'another order of keys': [{ order: 'up' }, 'invalid_parameter', /^order: /],
    'fields that are none': [{ fields: 'name' }, 'invalid_parameter', /^fields: .*position 0/],
    'a count that is neither': [{ count: 'yes' }, 'invalid_parameter', /^count is one of false, true/],
    'an explain that is neither': [{ explain: '1' }, 'invalid_parameter', /^explain is one of/],
    'fields of keys': [{ fields: '@.a', include: 'keys' }, 'invalid_parameter', /include=keys/],
    'a delimiter': [{ where: '@', delimiter: '/' }, 'invalid_parameter', /delimiter/],
    'a limit too large': [{ where: '@', limit: '10001' }, 'invalid_parameter', /10000/],
    'a cursor of another list': [{ where: '@', cursor: 'abc' }, 'invalid_cursor', /cursor/],
  }
  test.each(Object.entries(refused))('is refused with %s', async (_name, [parameters, code, says]) => {
    const problem = await expectProblem(await fetch(withQuery(parameters)), 400, code)
    expect(problem.detail).toMatch(says)
  })

  test('has the position and the reason of a mistake', async () => {
    const problem = await expectProblem(await fetch(withQuery({ where: '@.a = 1' })), 400, 'invalid_where')
    expect(problem).toMatchObject({ parameter: 'where', position: 4, reason: expect.any(String) })
    const long = await expectProblem(
      await post({ collection, where: `@.a${' '.repeat(70_000)}` }),
      400,
      'invalid_where',
    )
    expect(long.limit).toBeNumber()
  })

  test('refuses the cursor of a page with another filter or order', async () => {
    const asked = { where: '@.population', order: '@.name', limit: '1' }
    const { next } = await find(asked)
    for (const other of [{ where: '@.name' }, { order: '-@.name' }, { order: 'asc' }, { prefix: 'l' }])
      await expectProblem(
        await fetch(withQuery({ ...asked, ...other, cursor: next! })),
        400,
        'invalid_cursor',
      )
    expect(keysOf(await find({ ...asked, cursor: next! }))).toEqual(['lund'])
  })

  test.each(['cursor', 'count', 'explain'])('as NDJSON is refused with %s', async (name) => {
    const headers = { accept: 'application/x-ndjson' }
    const response = await fetch(withQuery({ where: '@', [name]: 'true' }), { headers })
    const problem = await expectProblem(response, 400, 'invalid_parameter')
    expect(problem.detail).toContain(name)
  })
})

describe('a query as a body', () => {
  test('finds what the list does, and its cursor goes with either', async () => {
    const asked = { where: '@.country == "SE"', order: '-@.name', limit: '1', count: 'true' }
    const listed = await find(asked)
    const body = { collection, ...asked, limit: 1, count: true, cursor: null }
    const found = await jsonOf<Found>(post(body))
    expect(found).toEqual(listed)
    expect(found).toMatchObject({ count: 2, complete: true })
    const rest = await jsonOf<Found>(post({ ...body, cursor: listed.next }))
    expect([keysOf(rest), rest.next]).toEqual([['lund'], null])
  })

  test('takes lists of fields', async () => {
    const body = { collection, order: ['@.country', '-@.name'], fields: ['@.name'], include: 'values' }
    const text = await (await post(body)).text()
    expect(text).toContain('{"key":"oslo","value":{"name":"Oslo"},"expires_at":null}')
    expect(keysOf(JSON.parse(text))).toEqual(['oslo', 'bergen', 'umeå', 'lund'])
  })

  test('streams as NDJSON', async () => {
    const response = await post(
      { collection, where: '@.name == "Oslo"', include: 'keys' },
      { accept: 'application/x-ndjson' },
    )
    expect(await response.text()).toBe('{"key":"oslo"}\n')
  })

  const refused: Record<string, [body: unknown, code: string, status?: number]> = {
    'no JSON': ['{', 'invalid_json'],
    'no object': [[], 'invalid_request'],
    'no collection': [{}, 'invalid_collection'],
    'a collection that is none': [{ collection: 1 }, 'invalid_collection'],
    "a collection of kvist's own": [{ collection: '_settings' }, 'invalid_collection'],
    'another field': [{ collection: 'c', sort: '@.a' }, 'invalid_request'],
    'a delimiter': [{ collection: 'c', delimiter: '/' }, 'invalid_request'],
    'a filter that is no text': [{ collection: 'c', where: {} }, 'invalid_request'],
    'an order that is no text': [{ collection: 'c', order: [1] }, 'invalid_request'],
    'no order in a list': [{ collection: 'c', order: [] }, 'invalid_request'],
    'a limit that is text': [{ collection: 'c', limit: '1' }, 'invalid_request'],
    'a limit that is not whole': [{ collection: 'c', limit: 1.5 }, 'invalid_parameter'],
    'a count that is text': [{ collection: 'c', count: 'true' }, 'invalid_request'],
    'a filter that is none': [{ collection: 'c', where: '@.' }, 'invalid_where'],
    'a body that is too large': [{ collection: 'c', where: ' '.repeat(maxQueryBytes) }, 'too_large', 413],
  }
  test.each(Object.entries(refused))('is refused with %s', async (_name, [body, code, status = 400]) => {
    await expectProblem(await post(body), status, code)
  })

  test('has no parameters', async () => {
    const response = await fetch(`${server.url}/v1/_query?where=@`, { method: 'POST', body: '{}' })
    await expectProblem(response, 400, 'invalid_parameter')
  })
})

test('a drop deletes what matches, and refuses an empty filter', async () => {
  await expectProblem(await fetch(withQuery({ where: '' }), { method: 'DELETE' }), 400, 'invalid_parameter')
  await expectProblem(await fetch(withQuery({ where: '@.' }), { method: 'DELETE' }), 400, 'invalid_where')
  const where = '@.country == "SE"'
  expect(await jsonOf<unknown>(fetch(withQuery({ where, prefix: 'l' }), { method: 'DELETE' }))).toEqual({
    deleted: 1,
  })
  expect(await jsonOf<unknown>(fetch(withQuery({ where }), { method: 'DELETE' }))).toEqual({ deleted: 1 })
  expect(keysOf(await find({ count: 'true' }))).toEqual(['bergen', 'oslo'])
})

describe('an index', () => {
  const settings = () => `${server.url}/v1/_collections/${collection}`

  async function setIndexes(...indexes: readonly object[]): Promise<void> {
    const response = await put(settings(), JSON.stringify({ indexes }))
    expect(response.status).toBe(200)
    const isReady = async () => {
      const found = await jsonOf<{ indexes: readonly { state: string }[] }>(fetch(settings()))
      return found.indexes.every(({ state }) => state === 'ready')
    }
    await until(isReady, 'the indexes are ready')
  }

  test('serves filters, orders, counts and drops, and says so', async () => {
    await setIndexes({ name: 'by_country', on: ['@.country', '@.population'] })
    await put(`${url}/${encodeURIComponent('malmö')}`, '{"country":"SE","population":362133}')
    const where = '@.country == "SE"'
    const found = await find({ where, order: '-@.population', explain: 'true', count: 'true', limit: '2' })
    expect(keysOf(found)).toEqual(['malmö', 'umeå'])
    expect(found).toMatchObject({ count: 3, complete: true })
    expect(found.explain).toEqual({ index: 'by_country', examined: 5, returned: 2, sorted_in_memory: false })
    const rest = await find({ where, order: '-@.population', limit: '2', count: 'true', cursor: found.next! })
    expect([keysOf(rest), rest.next]).toEqual([['lund'], null])
    const headers = { accept: 'application/x-ndjson' }
    const lines = await fetch(withQuery({ where, include: 'keys' }), { headers })
    expect(await lines.text()).toBe('{"key":"lund"}\n{"key":"umeå"}\n{"key":"malmö"}\n')
    expect(await jsonOf<unknown>(fetch(withQuery({ where }), { method: 'DELETE' }))).toEqual({ deleted: 3 })
    expect(keysOf(await find({ order: '@.country,@.population', explain: 'true' }))).toEqual([
      'bergen',
      'oslo',
    ])
  })

  test('that was dropped serves no more', async () => {
    await setIndexes({ name: 'by_name', on: ['@.name'] })
    const asked = { order: '@.name', explain: 'true' }
    expect((await find(asked)).explain).toMatchObject({ index: 'by_name' })
    await setIndexes()
    expect((await find(asked)).explain).toMatchObject({ index: null, sorted_in_memory: true })
  })
})

describe('the change feed', () => {
  interface Changes {
    readonly changes: readonly Readonly<Record<string, unknown>>[]
    readonly next: number
  }
  const changes = (parameters: Readonly<Record<string, string>>) =>
    jsonOf<Changes>(fetch(`${server.url}/v1/_changes?${new URLSearchParams({ collection, ...parameters })}`))

  test('shows what matches, and that others leave', async () => {
    const where = '@.country == "NO"'
    const { changes: first, next } = await changes({ where })
    expect(first.map(({ type, key }) => `${type} ${key}`)).toEqual([
      'put bergen',
      'leave lund',
      'put oslo',
      'leave umeå',
    ])
    expect(Object.keys(first[1]!)).toEqual(['revision', 'type', 'collection', 'key'])
    await put(`${url}/oslo`, '{"country":"SE"}')
    await fetch(`${url}/lund`, { method: 'DELETE' })
    const second = await changes({ where, since: String(next) })
    expect(second.changes.map(({ type, key }) => `${type} ${key}`)).toEqual(['leave oslo', 'delete lund'])
    const keys = await changes({ where, since: String(next), include: 'keys' })
    expect(keys.changes.map(({ type, key }) => `${type} ${key}`)).toEqual(['leave oslo', 'delete lund'])
    const all = await changes({ where, since: String(next), include: 'all' })
    expect(Object.keys(all.changes[0]!)).toEqual(['revision', 'type', 'collection', 'key', 'origin'])
  })

  test('is refused with a filter that is none', async () => {
    await expectProblem(await fetch(`${server.url}/v1/_changes?where=@.`), 400, 'invalid_where')
    const headers = { accept: 'text/event-stream' }
    await expectProblem(await fetch(`${server.url}/v1/_changes?where=@.`, { headers }), 400, 'invalid_where')
    await expectProblem(await fetch(`${url}?where=@.`, { headers }), 400, 'invalid_where')
    await expectProblem(await fetch(`${url}?where=@&order=@.a`, { headers }), 400, 'invalid_parameter')
    await expectProblem(await fetch(`${url}/oslo?where=@`, { headers }), 400, 'invalid_parameter')
  })
})

describe('a filter that takes too many steps on a value', () => {
  const where = '@.list[?$.list[?@.n == 2]]'
  beforeEach(async () => {
    const list = JSON.stringify(Array(3000).fill({ n: 1 }))
    await put(`${url}/costly`, `{"list":${list}}`)
  })

  test('is refused, and nothing is left out', async () => {
    const refused = [
      await fetch(withQuery({ where })),
      await fetch(withQuery({ where, count: 'true', order: '@.name' })),
      await fetch(withQuery({ where }), { headers: { accept: 'application/x-ndjson' } }),
      await fetch(withQuery({ where }), { method: 'DELETE' }),
      await post({ collection, where }),
      await fetch(`${server.url}/v1/_changes?${new URLSearchParams({ collection, where })}`),
    ]
    for (const response of refused) {
      const problem = await expectProblem(response, 422, 'unprocessable')
      expect(problem.limit).toBeNumber()
    }
    expect((await fetch(`${url}/costly`)).status).toBe(200)
  })

  test('ends a watch, and the server goes on', async () => {
    const headers = { accept: 'text/event-stream' }
    const watch = await fetch(withQuery({ where, since: '0' }), { headers })
    expect(watch.status).toBe(200)
    const text = await watch.text().catch(() => 'broken off')
    expect(text).not.toContain('event: put\n')
    expect((await fetch(`${url}/costly`)).status).toBe(200)
  })
})

test('a watch has what matches, and what leaves', async () => {
  const stop = new AbortController()
  const headers = { accept: 'text/event-stream' }
  const where = '@.country == "NO"'
  const watch = await fetch(withQuery({ where, since: '0' }), { headers, signal: stop.signal })
  const events: string[] = []
  const parser = eventParser(({ type, data }) => {
    const change = JSON.parse(data)
    expect(change.type).toBe(type)
    events.push(`${type} ${change.key}`)
  })
  const decoder = new TextDecoder()
  for await (const chunk of watch.body!) {
    const before = events.length
    parser.push(decoder.decode(chunk, { stream: true }))
    if (events.length === 5) break
    if (events.length === 4 && before < 4) await put(`${url}/oslo`, '{"country":"SE"}')
  }
  stop.abort()
  expect(events).toEqual(['put bergen', 'leave lund', 'put oslo', 'leave umeå', 'leave oslo'])
})
