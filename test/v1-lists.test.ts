import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import {
  allBytes,
  countsOf,
  expectProblem,
  jsonOf,
  membersIn,
  oddJson,
  type Page,
  put,
} from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { stepLimit } from './support/steps.ts'

/** `/v1` and `/v1/{c}`: the collections, lists by page and as a stream, members under new ids, dropping. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

let collections = 0
function newCollection(): string {
  return `${server.url}/v1/lists-${++collections}`
}

const ndjson = { accept: 'application/x-ndjson' }

async function putAll(url: string, members: Readonly<Record<string, unknown>>): Promise<void> {
  for (const [key, value] of Object.entries(members)) {
    expect((await put(`${url}/${encodeURIComponent(key)}`, JSON.stringify(value))).status).toBe(201)
  }
}

async function keysOf(url: string, query = ''): Promise<string[]> {
  return (await membersIn(url, query)).map(({ key }) => key)
}

/** The keys of all pages, following the cursor or the Link header. */
async function keysOfPages(url: string, query: string, by: 'cursor' | 'link' = 'cursor'): Promise<string[]> {
  const keys: string[] = []
  let next: string | null = `${url}?${query}`
  for (let pages = 0; next !== null; pages++) {
    expect(pages).toBeLessThan(10_000)
    const response: Response = await fetch(next)
    const link = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    const page: Page = await jsonOf<Page>(response)
    keys.push(...page.members.map(({ key }) => key))
    expect(link === undefined).toBe(page.next === null)
    if (page.next === null) next = null
    else next = by === 'link' ? server.url + link : `${url}?${query}&cursor=${encodeURIComponent(page.next)}`
  }
  return keys
}

function inBytes(keys: readonly string[]): string[] {
  return keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

describe('GET /v1', () => {
  test('names every collection that has members, with how many and their bytes', async () => {
    const url = newCollection()
    const name = url.slice(url.lastIndexOf('/') + 1)
    expect(await countsOf(server.url, name)).toBeNull()
    await putAll(url, { a: 1, é: 'xx' })
    expect(await countsOf(server.url, name)).toEqual({ members: 2, bytes: 1 + 1 + 2 + 4 })
    await put(`${url}/a`, '1234')
    expect(await countsOf(server.url, name)).toEqual({ members: 2, bytes: 1 + 4 + 2 + 4 })
    await fetch(`${url}/a`, { method: 'DELETE' })
    expect(await countsOf(server.url, name)).toEqual({ members: 1, bytes: 2 + 4 })
    await fetch(url, { method: 'DELETE' })
    expect(await countsOf(server.url, name)).toBeNull()
  })
})

describe('one level of keys', () => {
  interface Level extends Page {
    readonly prefixes: readonly string[]
  }

  async function newTree(): Promise<string> {
    const url = newCollection()
    const keys = ['a', 'a/1', 'a/2/x', 'a/2/y', 'b', 'c/1', 'd/é', 'e']
    await putAll(url, Object.fromEntries(keys.map((key) => [key, 1])))
    return url
  }

  test('has members, and prefixes for what lies below', async () => {
    const url = await newTree()
    const top = await jsonOf<Level>(fetch(`${url}?delimiter=/&include=keys`))
    expect(top).toEqual({
      members: [{ key: 'a' }, { key: 'b' }, { key: 'e' }],
      prefixes: ['a/', 'c/', 'd/'],
      next: null,
    })
    const below = await jsonOf<Level>(fetch(`${url}?delimiter=%2F&prefix=a/&include=values`))
    expect(below.members).toMatchObject([{ key: 'a/1', value: 1 }])
    expect(below.prefixes).toEqual(['a/2/'])
    const none = await jsonOf<Level>(fetch(`${url}?delimiter=/&prefix=a/2/`))
    expect([none.members.map(({ key }) => key), none.prefixes]).toEqual([['a/2/x', 'a/2/y'], []])
    const other = await jsonOf<Level>(fetch(`${url}?delimiter=none`))
    expect([other.members.length, other.prefixes]).toEqual([8, []])
    // Without one there is no word of prefixes.
    expect(Object.keys(await jsonOf<Level>(fetch(url)))).toEqual(['members', 'next'])
  })

  test('comes in pages, whose limit counts both, by cursor and by Link', async () => {
    const url = await newTree()
    const orders = { asc: ['a', 'a/', 'b', 'c/', 'd/', 'e'], desc: ['e', 'd/', 'c/', 'b', 'a/', 'a'] }
    for (const [order, entries] of Object.entries(orders)) {
      for (const limit of [1, 2, 3, 5, 6, 7]) {
        for (const by of ['cursor', 'link']) {
          const found: string[] = []
          const query = `delimiter=/&order=${order}&limit=${limit}`
          let next: string | null = `${url}?${query}`
          for (const step = stepLimit('reading all pages'); next !== null; step()) {
            const response: Response = await fetch(next)
            const link = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
            const page = await jsonOf<Level>(response)
            const both = [...page.members.map(({ key }) => key), ...page.prefixes]
            expect(both.length).toBeLessThanOrEqual(limit)
            found.push(...both.toSorted().map(String))
            next = page.next === null ? null : `${url}?${query}&cursor=${page.next}`
            if (by === 'link') next = link === undefined ? null : server.url + link
          }
          expect([order, limit, found.toSorted()]).toEqual([order, limit, entries.toSorted()])
        }
      }
    }
    const { next } = await jsonOf<Level>(fetch(`${url}?delimiter=/&limit=1`))
    await expectProblem(await fetch(`${url}?cursor=${next}`), 400, 'invalid_cursor')
    await expectProblem(await fetch(`${url}?delimiter=.&cursor=${next}`), 400, 'invalid_cursor')
  })

  test('streams as NDJSON, prefixes in their place', async () => {
    const url = await newTree()
    const streamed = async (query: string) =>
      (await (await fetch(`${url}?delimiter=/&include=keys&${query}`, { headers: ndjson })).text())
        .trim()
        .split('\n')
    const lines = ['a', 'a/', 'b', 'c/', 'd/', 'e'].map((key) =>
      key.endsWith('/') ? `{"prefix":"${key}"}` : `{"key":"${key}"}`,
    )
    expect(await streamed('')).toEqual(lines)
    expect(await streamed('order=desc')).toEqual(lines.toReversed())
    expect(await streamed('limit=2')).toEqual(lines.slice(0, 2))
    // More than one part.
    const many = newCollection()
    await importKeys(
      many,
      Array.from({ length: 1300 }, (_, i) => (i % 2 === 0 ? `k${i + 1000}` : `k${i + 1000}/x`)),
    )
    const all = await (await fetch(`${many}?delimiter=/&include=keys`, { headers: ndjson })).text()
    expect(all.trim().split('\n')).toEqual(
      Array.from({ length: 1300 }, (_, i) =>
        i % 2 === 0 ? `{"key":"k${i + 1000}"}` : `{"prefix":"k${i + 1000}/"}`,
      ),
    )
  })

  test('goes with the other parameters that select, and is refused where it means nothing', async () => {
    const url = await newTree()
    const entries = async (query: string) => {
      const { members, prefixes } = await jsonOf<Level>(fetch(`${url}?delimiter=/&${query}`))
      return [...members.map(({ key }) => key), ...prefixes]
    }
    expect(await entries('filter=*2*')).toEqual(['a/'])
    expect(await entries('match=2')).toEqual([])
    expect(await entries('from=a/2&to=d')).toEqual(['b', 'a/', 'c/'])
    await expectProblem(await fetch(`${url}?delimiter=`), 400, 'invalid_parameter')
    await expectProblem(await fetch(`${url}?delimiter=/&delimiter=/`), 400, 'invalid_parameter')
    await expectProblem(await fetch(`${url}?delimiter=/`, { method: 'DELETE' }), 400, 'invalid_parameter')
    const accept = { accept: 'text/event-stream' }
    await expectProblem(await fetch(`${url}?delimiter=/`, { headers: accept }), 400, 'invalid_parameter')
    await expectProblem(await fetch(`${server.url}/v1/_changes?delimiter=/`), 400, 'invalid_parameter')
  })
})

async function importKeys(url: string, keys: readonly string[]): Promise<void> {
  const body = keys.map((key) => `{"key":${JSON.stringify(key)},"value":1}`).join('\n')
  const headers = { 'content-type': 'application/x-ndjson' }
  expect(await jsonOf<{ stored: number }>(fetch(url, { method: 'POST', body, headers }))).toMatchObject({
    stored: keys.length,
  })
}

describe('a page', () => {
  test('has members as they are, with next and the type of JSON', async () => {
    const url = newCollection()
    expect(await jsonOf(fetch(url))).toEqual({ members: [], next: null })
    const stored = await jsonOf<Stored>(put(`${url}/a?expire_in=1h`, ' {"n": 1.0}\n'))
    const response = await fetch(url)
    expect(response.headers.get('content-type')).toBe('application/json')
    const text = await response.text()
    const { key, ...metadata } = stored
    expect(text).toBe(
      `{"members":[{"key":"${key}","value": {"n": 1.0}\n,${JSON.stringify(metadata).slice(1, -1)}}],"next":null}\n`,
    )
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(200)
  })

  test('include: keys alone, what storing it again takes, or all', async () => {
    const url = newCollection()
    await put(`${url}/bytes`, allBytes, { 'content-type': 'x/y' })
    await put(`${url}/json?expire_at=2100-01-01T00:00:00Z`, '1.0')
    await put(`${url}/plus`, '[]', { 'content-type': 'application/a+json' })
    expect(await membersIn(url, '?include=keys')).toEqual([
      { key: 'bytes' },
      { key: 'json' },
      { key: 'plus' },
    ])
    const base64 = Buffer.from(allBytes).toString('base64')
    expect(await (await fetch(`${url}?include=values`)).text()).toBe(
      `{"members":[{"key":"bytes","value_base64":"${base64}","content_type":"x/y","expires_at":null},` +
        '{"key":"json","value":1.0,"expires_at":"2100-01-01T00:00:00.000Z"},' +
        '{"key":"plus","value":[],"content_type":"application/a+json","expires_at":null}],"next":null}\n',
    )
    const all = await membersIn(url, '?include=all')
    const usual = await membersIn(url)
    expect(Object.keys(usual[0]!)).toEqual([
      'key',
      'value_base64',
      'revision',
      'created_at',
      'updated_at',
      'expires_at',
      'content_type',
    ])
    for (const [i, { flags, origin, ...member }] of all.entries()) {
      expect(member).toEqual(usual[i]!)
      expect(flags).toBe(0)
      expect(origin).toEqual({ node: expect.stringMatching(/^[a-z0-9]{12}$/), clock: expect.any(Number) })
    }
    const lines = await fetch(`${url}?include=all`, { headers: { accept: 'application/x-ndjson' } })
    expect(
      (await lines.text())
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([...all])
  })

  test('selects by prefix, filter, match, from and to, together as well', async () => {
    const url = newCollection()
    await putAll(url, {
      'a/1': { color: 'red', n: 1 },
      'a/2': { color: 'blue', n: 12 },
      'a/10': { colour: 'red', tags: ['red'] },
      'b/1': 'red',
      'b/2': ['x', 'red', 3],
      'b/é': { n: 1.5, nested: { color: 'red' } },
      c: null,
      'c*d': { color: 're"d' },
    })
    await put(`${url}/z`, allBytes, { 'content-type': 'x/y' })
    const cases: [string, string[]][] = [
      ['', ['a/1', 'a/10', 'a/2', 'b/1', 'b/2', 'b/é', 'c', 'c*d', 'z']],
      ['prefix=a/', ['a/1', 'a/10', 'a/2']],
      ['prefix=a/1', ['a/1', 'a/10']],
      ['prefix=b/%C3%A9', ['b/é']],
      ['prefix=x', []],
      ['filter=*/1*', ['a/1', 'a/10', 'b/1']],
      ['filter=?/?', ['a/1', 'a/2', 'b/1', 'b/2', 'b/é']],
      ['filter=b/?', ['b/1', 'b/2', 'b/é']],
      ['filter=a/1', ['a/1']],
      ['filter=c*', ['c', 'c*d']],
      ['filter=', []],
      ['filter=*', ['a/1', 'a/10', 'a/2', 'b/1', 'b/2', 'b/é', 'c', 'c*d', 'z']],
      ['match=red', ['a/1', 'a/10', 'b/1', 'b/2']],
      ['match=*e*d', ['a/1', 'a/10', 'b/1', 'b/2', 'c*d']],
      ['match=1*', ['a/1', 'a/2', 'b/é']],
      ['match=1.5', ['b/é']],
      ['match=null', ['c']],
      ['match=*color*', ['b/é']],
      ['match=re"d', ['c*d']],
      ['from=a/2', ['a/2', 'b/1', 'b/2', 'b/é', 'c', 'c*d', 'z']],
      ['to=a/2', ['a/1', 'a/10']],
      ['from=a/10&to=b/2', ['a/10', 'a/2', 'b/1']],
      ['from=b&to=a', []],
      ['prefix=a/&from=a/10', ['a/10', 'a/2']],
      ['prefix=a/&to=b', ['a/1', 'a/10', 'a/2']],
      ['prefix=b/&filter=*1&match=red', ['b/1']],
      ['prefix=a/&filter=b*', []],
    ]
    for (const [query, keys] of cases) {
      expect([query, await keysOf(url, `?${query}`)]).toEqual([query, keys])
      expect([query, await keysOf(url, `?${query}&order=desc`)]).toEqual([query, keys.toReversed()])
      expect([query, await keysOfPages(url, `${query}&limit=1`)]).toEqual([query, keys])
      expect([query, await keysOfPages(url, `${query}&limit=2&order=desc`)]).toEqual([
        query,
        keys.toReversed(),
      ])
      const lines = await (await fetch(`${url}?${query}`, { headers: ndjson })).text()
      expect([
        query,
        lines
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line).key),
      ]).toEqual([query, keys])
    }
  })

  test('has 100 members unless it has a limit, up to 10,000', async () => {
    const url = newCollection()
    const keys = Array.from({ length: 10_050 }, (_, i) => `k${String(i).padStart(5, '0')}`)
    await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: keys.map((key) => `{"key":"${key}","value":1}`).join('\n'),
    })
    expect(await keysOf(url)).toEqual(keys.slice(0, 100))
    expect(await keysOf(url, '?limit=10000')).toEqual(keys.slice(0, 10_000))
    expect(await keysOf(url, '?limit=10000&order=desc&include=keys')).toEqual(
      keys.toReversed().slice(0, 10_000),
    )
    for (const order of ['asc', 'desc'] as const) {
      const expected = order === 'asc' ? keys : keys.toReversed()
      expect(await keysOfPages(url, `order=${order}&limit=999&include=keys`)).toEqual(expected)
      expect(await keysOfPages(url, `order=${order}&limit=3000&include=keys`, 'link')).toEqual(expected)
    }
    expect(await keysOfPages(url, 'filter=*77&limit=10&include=keys', 'link')).toEqual(
      keys.filter((key) => key.endsWith('77')),
    )
  })

  test('ends early when its values are large, and the next ones have the rest', async () => {
    const url = newCollection()
    const value = `"${'x'.repeat(6 * 1024 * 1024)}"`
    for (let i = 0; i < 5; i++) await put(`${url}/${i}`, value)
    const page = await jsonOf<Page>(fetch(url))
    expect(page.members.length).toBeWithin(2, 4)
    expect(await keysOfPages(url, '')).toEqual(['0', '1', '2', '3', '4'])
    expect(await keysOfPages(url, 'order=desc')).toEqual(['4', '3', '2', '1', '0'])
    expect((await (await fetch(url, { headers: ndjson })).text()).length).toBeGreaterThan(5 * value.length)
  })

  test('a cursor belongs to its collection and its question, and to no other', async () => {
    const [url, other] = [newCollection(), newCollection()]
    const all = { a: 1, b1: 1, b2: 1, b3: 1, c: 1 }
    await putAll(url, all)
    await putAll(other, all)
    const questions = [
      '',
      'prefix=b',
      'prefix=b1',
      'filter=b*',
      'match=1',
      'match=b*',
      'from=b',
      'to=b',
      'to=c',
      'order=desc',
      'order=desc&prefix=b',
    ]
    for (const asked of questions) {
      const { next } = await jsonOf<Page>(fetch(`${url}?limit=1&${asked}`))
      if (next === null) continue
      for (const question of questions) {
        const response = await fetch(`${url}?limit=9&cursor=${next}&${question}`)
        if (question === asked) expect((await jsonOf<Page>(response)).members.length).toBeGreaterThan(0)
        else await expectProblem(response, 400, 'invalid_cursor')
      }
      await expectProblem(await fetch(`${other}?limit=1&cursor=${next}&${asked}`), 400, 'invalid_cursor')
    }
    // What does not decide which members there are may change from page to page.
    const { next } = await jsonOf<Page>(fetch(`${url}?limit=1`))
    for (const same of ['limit=2', 'include=keys', 'order=asc', 'prefix=', 'include=values&limit=10000']) {
      expect((await keysOf(url, `?cursor=${next}&${same}`))[0]).toBe('b1')
    }
    expect((await fetch(`${server.url}/dialects/keys/keys?cursor=${next}`)).status).toBe(400)
  })

  test('wildcards are escaped by a backslash, wherever patterns are taken', async () => {
    const url = newCollection()
    const name = url.slice(url.lastIndexOf('/') + 1)
    const keys = ['*', '**', 'a*b', 'a?b', 'a\\b', 'axb', 'axxb']
    await putAll(url, Object.fromEntries(keys.map((key) => [key, key])))
    const cases: [pattern: string, found: string[]][] = [
      ['\\*', ['*']],
      ['\\**', ['*', '**']],
      ['a\\*b', ['a*b']],
      ['a\\?b', ['a?b']],
      ['a\\\\b', ['a\\b']],
      ['a?b', ['a*b', 'a?b', 'a\\b', 'axb']],
    ]
    for (const [pattern, found] of cases) {
      const query = encodeURIComponent(pattern)
      expect([pattern, await keysOf(url, `?filter=${query}`)]).toEqual([pattern, found])
      expect([pattern, await keysOf(url, `?match=${query}`)]).toEqual([pattern, found])
      const { changes } = await jsonOf<{ changes: { key: string }[] }>(
        fetch(`${server.url}/v1/_changes?collection=${name}&filter=${query}`),
      )
      expect([pattern, changes.map(({ key }) => key).toSorted()]).toEqual([pattern, found])
      const { result } = await jsonOf<{ result: { id: string }[] }>(
        fetch(`${server.url}/dialects/ozza/${name}?filter=${query}`),
      )
      const inOzza = pattern === 'a?b' ? ['a?b'] : pattern === 'a\\?b' ? [] : found
      expect([pattern, result.map(({ id }) => id)]).toEqual([pattern, inOzza])
    }
    const watch = await fetch(`${url}?filter=${encodeURIComponent('a\\*b')}&since=0`, {
      headers: { accept: 'text/event-stream' },
    })
    let events = ''
    for await (const part of watch.body!) {
      events += Buffer.from(part).toString()
      if (events.includes('event: put')) break
    }
    expect(events.match(/"key":"[^"]*"/g)).toEqual(['"key":"a*b"'])
    expect(await jsonOf<unknown>(fetch(`${url}?filter=a%5C*b`, { method: 'DELETE' }))).toEqual({ deleted: 1 })
    expect(await keysOf(url, '')).toEqual(keys.filter((key) => key !== 'a*b'))
  })

  test('all pages have everything once while others write, in both orders', async () => {
    const url = newCollection()
    const stay = Array.from({ length: 300 }, (_, i) => `k${String(i * 10).padStart(4, '0')}`)
    for (const key of stay) await put(`${url}/${key}`, '1')
    let writing = true
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; writing; i++) {
        const key = `k${String((i * 7919 + writer * 13) % 3000).padStart(4, '0')}`
        if (key.endsWith('0')) await put(`${url}/${key}`, String(i))
        else if (i % 3 === 0) await fetch(`${url}/${key}`, { method: 'DELETE' })
        else await put(`${url}/${key}`, String(i))
      }
    })
    for (const order of ['asc', 'desc'] as const) {
      for (let round = 0; round < 5; round++) {
        const keys = await keysOfPages(url, `limit=17&order=${order}`)
        const sorted = inBytes(keys)
        expect(keys).toEqual(order === 'asc' ? sorted : sorted.toReversed())
        expect(new Set(keys).size).toBe(keys.length)
        expect(inBytes(keys.filter((key) => key.endsWith('0')))).toEqual(stay)
      }
      const lines = await (await fetch(`${url}?order=${order}`, { headers: ndjson })).text()
      const keys = lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).key)
      expect(inBytes(keys.filter((key) => key.endsWith('0')))).toEqual(stay)
    }
    writing = false
    await Promise.all(writers)
  })

  test('is in the order of the bytes of the keys', async () => {
    const url = newCollection()
    const keys = ['z', 'é', '日', '\uffee', '\u{1f600}', 'Z', '\0', 'a\0', 'a', 'a/b', 'ab', '%']
    await putAll(url, Object.fromEntries(keys.map((key) => [key, 1])))
    expect(await keysOf(url)).toEqual(inBytes(keys))
    expect(await keysOfPages(url, 'limit=1&order=desc')).toEqual(inBytes(keys).toReversed())
  })
})

describe('NDJSON', () => {
  test('streams a line for each member, which is what an import takes', async () => {
    const url = newCollection()
    const texts = oddJson.map((text) => text.trim())
    for (const [i, text] of texts.entries()) await put(`${url}/${i}`, text)
    await put(`${url}/z?expire_in=7d`, allBytes, { 'content-type': 'x/y; a="b"' })
    const response = await fetch(`${url}?include=values`, { headers: ndjson })
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    const lines = await response.text()
    expect(lines.endsWith('\n')).toBe(true)
    expect(lines.trimEnd().split('\n').length).toBe(oddJson.length + 1)
    // Line breaks can only stand between tokens, and become spaces.
    for (const [i, text] of texts.entries()) {
      expect(lines).toContain(`{"key":"${i}","value":${text.replace(/[\r\n]/g, ' ')},"expires_at":null}\n`)
    }
    const copy = newCollection()
    const summary = await fetch(copy, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines,
    })
    expect(await jsonOf(summary)).toEqual({ stored: oddJson.length + 1, failed: [] })
    expect(await (await fetch(`${copy}?include=values`, { headers: ndjson })).text()).toBe(lines)
    const all = await (await fetch(url, { headers: ndjson })).text()
    await fetch(copy, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: all })
    expect(await (await fetch(`${copy}?include=values`, { headers: ndjson })).text()).toBe(lines)
  })

  test('keeps to limit, also beyond what a page may have; an empty result is an empty body', async () => {
    const url = newCollection()
    const body = Array.from({ length: 12_000 }, (_, i) => `{"key":"${i}","value":1}\n`).join('')
    await fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
    for (const [limit, lines] of [
      [1, 1],
      [500, 500],
      [501, 501],
      [11_000, 11_000],
      [20_000, 12_000],
    ]) {
      const text = await (await fetch(`${url}?limit=${limit}&include=keys`, { headers: ndjson })).text()
      expect(text.split('\n').length - 1).toBe(lines!)
    }
    expect(await (await fetch(`${url}?prefix=x`, { headers: ndjson })).text()).toBe('')
    const head = await fetch(url, { method: 'HEAD', headers: ndjson })
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
    await expectProblem(await fetch(`${url}?cursor=azE6YQ`, { headers: ndjson }), 400, 'invalid_parameter')
  })
})

describe('POST', () => {
  test('stores under new ids in the order of time, and says where', async () => {
    const url = newCollection()
    const before = Date.now()
    const keys: string[] = []
    for (let i = 0; i < 50; i++) {
      const response = await fetch(`${url}?expire_in=1h`, { method: 'POST', body: String(i) })
      expect(response.status).toBe(201)
      const stored = await jsonOf<Stored>(response)
      expect(response.headers.get('location')).toBe(`${new URL(url).pathname}/${stored.key}`)
      expect(response.headers.get('etag')).toBe(`"${stored.revision}"`)
      expect(stored.expires_at).not.toBeNull()
      expect(stored.key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(Number.parseInt(stored.key.replace('-', '').slice(0, 12), 16)).toBeWithin(before, Date.now() + 1)
      keys.push(stored.key)
      expect(await (await fetch(server.url + response.headers.get('location'))).text()).toBe(String(i))
    }
    expect(await keysOf(url)).toEqual(keys)
    expect(keys.toSorted()).toEqual(keys)
  })

  test('keeps bytes, and escapes the collection in Location', async () => {
    const url = `${server.url}/v1/a%20%C3%A9%25`
    const response = await fetch(url, { method: 'POST', body: allBytes, headers: { 'content-type': 'x/y' } })
    const got = await fetch(server.url + response.headers.get('location'))
    expect(new Uint8Array(await got.arrayBuffer())).toEqual(allBytes)
    expect(await countsOf(server.url, 'a é%')).toEqual({ members: 1, bytes: 36 + 1024 })
  })
})

describe('DELETE', () => {
  test('drops what is selected, or everything, and says how many', async () => {
    const url = newCollection()
    const members = { a1: { t: 'x' }, a2: { t: 'y' }, b1: { t: 'x' }, b2: 1, c1: 1 }
    await putAll(url, members)
    const drop = (query: string) => jsonOf(fetch(`${url}${query}`, { method: 'DELETE' }))
    expect(await drop('?prefix=x')).toEqual({ deleted: 0 })
    expect(await drop('?prefix=a&filter=*2')).toEqual({ deleted: 1 })
    expect(await keysOf(url)).toEqual(['a1', 'b1', 'b2', 'c1'])
    expect(await drop('?match=x')).toEqual({ deleted: 2 })
    expect(await keysOf(url)).toEqual(['b2', 'c1'])
    expect(await drop('?from=c')).toEqual({ deleted: 1 })
    expect(await drop('')).toEqual({ deleted: 1 })
    expect(await drop('')).toEqual({ deleted: 0 })
    expect(await keysOf(url)).toEqual([])
  })

  test('drops more than one batch of members, exactly', async () => {
    const url = newCollection()
    const name = url.slice(url.lastIndexOf('/') + 1)
    const body = Array.from({ length: 5_500 }, (_, i) => `{"key":"${i}","value":1}\n`).join('')
    await fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
    expect(await jsonOf(fetch(`${url}?filter=*5`, { method: 'DELETE' }))).toEqual({ deleted: 550 })
    expect((await countsOf(server.url, name))?.members).toBe(4_950)
    expect(await jsonOf(fetch(url, { method: 'DELETE' }))).toEqual({ deleted: 4_950 })
    expect(await countsOf(server.url, name)).toBeNull()
  })

  test('wants a key to delete a member: a path with none, or one step up, drops no collection', async () => {
    const url = newCollection()
    await putAll(url, { a: 1 })
    await expectProblem(await fetch(`${url}/`, { method: 'DELETE' }), 400, 'invalid_key')
    expect(await keysOf(url)).toEqual(['a'])
  })
})
