import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { openDatabase } from '../src/core/database.ts'
import { KvistError } from '../src/core/errors.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { listen } from '../src/http/server.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import { authenticatorOf } from './support/authenticator.ts'
import { newFolder } from './support/engine.ts'
import type { SentChange } from './support/events.ts'
import { differsBy } from './support/line-differences.ts'
import { needing } from './support/needs.ts'
import { allBytes, expectProblem, jsonOf, oddJson, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `GET /v1/_changes`, by page, over the wire. */

interface Changes {
  readonly changes: readonly SentChange[]
  readonly next: number | string
  readonly at_end?: boolean
  readonly node?: string
}

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

function changes(query = ''): Promise<Changes> {
  return jsonOf<Changes>(fetch(`${server.url}/v1/_changes${query}`))
}

/** Everything from a point on, page by page, until a page brings nothing and stays where it is. */
async function allChanges(query: string): Promise<SentChange[]> {
  const found: SentChange[] = []
  let since: number | string = 0
  for (;;) {
    const page: Changes = await changes(`?since=${since}&${query}`)
    found.push(...page.changes)
    if (page.next === since) return found
    since = page.next
  }
}

async function head(): Promise<number | string> {
  let since: number | string = 0
  for (;;) {
    const { next }: Changes = await changes(`?since=${since}&limit=10000`)
    if (next === since) return next
    since = next
  }
}

test('a change is the member as it is now, or that it is gone; older ones of it are left out', async () => {
  const since = await head()
  await put(`${server.url}/v1/shapes/a`, '1')
  await put(`${server.url}/v1/shapes/a?expire_in=1h`, '{"n": 1.0}')
  await put(`${server.url}/v1/shapes/b`, '2')
  await fetch(`${server.url}/v1/shapes/b`, { method: 'DELETE' })
  const bytes = new Uint8Array(allBytes)
  await put(`${server.url}/v1/shapes/c/d`, bytes, { 'content-type': 'image/png' })
  const text = await (await fetch(`${server.url}/v1/_changes?since=${since}`)).text()
  // Byte for byte, as it was sent.
  expect(text).toContain('"value":{"n": 1.0},')
  const page = JSON.parse(text) as Changes
  const [a, b, c] = page.changes
  expect(page.changes).toHaveLength(3)
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  expect(a).toEqual({
    revision: expect.any(Number),
    type: 'put',
    collection: 'shapes',
    key: 'a',
    value: { n: 1 },
    created_at: time,
    updated_at: time,
    expires_at: time,
    content_type: 'application/json',
  })
  expect(b).toEqual({ revision: expect.any(Number), type: 'delete', collection: 'shapes', key: 'b' })
  expect(c).toMatchObject({ type: 'put', key: 'c/d', expires_at: null, content_type: 'image/png' })
  expect(c).not.toHaveProperty('value')
  expect(Buffer.from(c!.value_base64!, 'base64')).toEqual(Buffer.from(bytes))
  if (!differsBy('cursor')) expect(page.next).toBe(c!.revision)
  expect(await changes(`?since=${page.next}`)).toMatchObject({ changes: [], next: page.next })
  const etag = (await fetch(`${server.url}/v1/shapes/a`)).headers.get('etag')
  expect(etag).toBe(`"${a!.revision}"`)
})

test('JSON of any kind is shown as it was sent', async () => {
  const since = await head()
  for (const [i, json] of oddJson.entries()) await put(`${server.url}/v1/odd/${i}`, json)
  const text = await (await fetch(`${server.url}/v1/_changes?since=${since}`)).text()
  for (const json of oddJson) expect(text).toContain(`"value":${json},"created_at"`)
})

test('pages of any size have every change once, in the order of revisions, and end', async () => {
  const body = Array.from({ length: 2500 }, (_, i) => `{"key":"k${i}","value":${i}}`).join('\n')
  await fetch(`${server.url}/v1/many`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  await fetch(`${server.url}/v1/many?filter=k*7`, { method: 'DELETE' })
  const all = await allChanges('collection=many&limit=10000')
  expect(new Set(all.map(({ key }) => key)).size).toBe(2500)
  expect(all.filter(({ type }) => type === 'delete')).toHaveLength(250)
  const revisions = all.map(({ revision }) => revision)
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  for (const limit of [1000, 333, 7]) {
    expect(await allChanges(`collection=many&limit=${limit}`)).toEqual(all)
  }
  expect((await changes('?collection=many')).changes).toEqual(all.slice(0, 100))
})

test('a scope is a collection, a prefix, a filter, each with any other', async () => {
  const since = await head()
  for (const path of ['s1/ab1', 's1/ab2', 's1/b1', 's2/ab1', 's2/é*']) {
    await put(`${server.url}/v1/${path.split('/').map(encodeURIComponent).join('/')}`, '1')
  }
  const names = async (query: string) =>
    (await changes(`?since=${since}&${query}`)).changes.map(({ collection, key }) => `${collection}/${key}`)
  expect(await names('')).toEqual(['s1/ab1', 's1/ab2', 's1/b1', 's2/ab1', 's2/é*'])
  expect(await names('collection=s1')).toEqual(['s1/ab1', 's1/ab2', 's1/b1'])
  expect(await names('prefix=ab')).toEqual(['s1/ab1', 's1/ab2', 's2/ab1'])
  expect(await names('filter=*1')).toEqual(['s1/ab1', 's1/b1', 's2/ab1'])
  expect(await names('collection=s1&prefix=ab&filter=*2')).toEqual(['s1/ab2'])
  expect(await names(`prefix=${encodeURIComponent('é')}`)).toEqual(['s2/é*'])
  expect(await names('collection=nobody')).toEqual([])
  expect(await names('prefix=&limit=2')).toEqual(['s1/ab1', 's1/ab2'])
})

test('since=now begins with the next change', async () => {
  await put(`${server.url}/v1/fresh/a`, '1')
  const { changes: none, next } = await changes('?since=now')
  expect(none).toEqual([])
  await put(`${server.url}/v1/fresh/b`, '1')
  expect((await changes(`?since=${next}`)).changes.map(({ key }) => key)).toEqual(['b'])
})

test('include=keys leaves out values and their metadata', async () => {
  const since = await head()
  const { revision } = await jsonOf<{ revision: number }>(put(`${server.url}/v1/bare/a`, '{"long": true}'))
  await put(`${server.url}/v1/bare/b`, '1')
  await fetch(`${server.url}/v1/bare/b`, { method: 'DELETE' })
  const page = await changes(`?since=${since}&include=keys`)
  expect(page.changes).toEqual([
    { revision, type: 'put', collection: 'bare', key: 'a' },
    { revision: expect.any(Number), type: 'delete', collection: 'bare', key: 'b' },
  ])
})

describe('with wait', () => {
  test('a page at the end waits for the next change within its scope', async () => {
    const since = await head()
    const waiting = changes(`?since=${since}&wait=60s&collection=awaited`)
    await put(`${server.url}/v1/others/a`, '1')
    await put(`${server.url}/v1/awaited/a`, '1')
    const page = await waiting
    expect(page.changes.map(({ collection, key }) => `${collection}/${key}`)).toEqual(['awaited/a'])
    expect(page.at_end).toBe(true)
  })

  test('it waits from now on, too', async () => {
    const waiting = changes('?since=now&wait=60s&collection=awaited&include=keys')
    // A wait that has not begun yet sees the write neither: it is repeated until it is seen.
    let isDone = false
    const page = waiting.finally(() => {
      isDone = true
    })
    while (!isDone) await put(`${server.url}/v1/awaited/b`, '1')
    expect((await page).changes).toMatchObject([{ type: 'put', key: 'b' }])
  })

  test('a page with changes comes at once, and says whether it is the last', async () => {
    const since = await head()
    for (const key of ['a', 'b', 'c']) await put(`${server.url}/v1/paged/${key}`, '1')
    const first = await changes(`?since=${since}&limit=2&wait=60s`)
    expect(first.changes).toHaveLength(2)
    expect(first.at_end).toBe(false)
    const last = await changes(`?since=${first.next}&limit=2&wait=60s`)
    expect(last.changes).toHaveLength(1)
    expect(last.at_end).toBe(true)
  })

  test('without a change it is empty when the time is up', async () => {
    const since = await head()
    expect(await changes(`?since=${since}&wait=0.01`)).toEqual({
      changes: [],
      next: since,
      at_end: true,
      node: expect.any(String),
    })
    expect(await changes(`?since=${since}`)).not.toHaveProperty('at_end')
  })

  test.each(['wait=', 'wait=soon', 'wait=301', 'wait=-1', 'include=values', 'include='])(
    '%s is refused',
    async (query) => {
      await expectProblem(await fetch(`${server.url}/v1/_changes?${query}`), 400, 'invalid_parameter')
    },
  )
})

test('a member that has expired is left out until its expiry is reported', async () => {
  const since = await head()
  await put(`${server.url}/v1/short/k?expire_in=0.3`, '1')
  expect((await changes(`?since=${since}`)).changes.map(({ type }) => type)).toEqual(['put'])
  await Bun.sleep(320)
  const seen: string[] = []
  while (seen.at(-1) !== 'expire') {
    const found = (await changes(`?since=${since}`)).changes.map(({ type }) => type).join()
    if (found !== seen.at(-1)) seen.push(found)
    await Bun.sleep(20)
  }
  expect(seen).not.toContain('put')
})

test("kvist's own collections are left out", async () => {
  const since = await head()
  const settings = `${server.url}/v1/_collections/told`
  await fetch(settings, { method: 'PUT', body: '{"default_ttl":3600}' })
  expect((await changes(`?since=${since}`)).changes).toEqual([])
  await fetch(settings, { method: 'DELETE' })
  await put(`${server.url}/v1/told/k`, '1')
  expect((await changes(`?since=${since}`)).changes).toHaveLength(1)
})

test('what is wrong with a request is reported', async () => {
  const url = `${server.url}/v1/_changes`
  const wrong: [query: string, code: string, says: RegExp][] = [
    ['since=abc', 'invalid_cursor', /point/],
    ['since=-1', 'invalid_cursor', /point/],
    ['since=1.5', 'invalid_cursor', /point/],
    ['limit=0', 'invalid_parameter', /1 to 10000/],
    ['limit=10001', 'invalid_parameter', /1 to 10000/],
    ['limit=x', 'invalid_parameter', /1 to 10000/],
    ['cursor=x', 'invalid_parameter', /"cursor".*since, limit, include, collection, prefix, filter/],
    ['include=values', 'invalid_parameter', /include is one of all, keys$/],
    ['include=', 'invalid_parameter', /include/],
    ['since=1&since=2', 'invalid_parameter', /twice/],
    ['collection=_settings', 'invalid_collection', /begins with _/],
    ['collection=', 'invalid_collection', /empty/],
    [`prefix=${'k'.repeat(513)}`, 'invalid_key', /512/],
    [`filter=${'k'.repeat(513)}`, 'invalid_parameter', /512/],
  ]
  for (const [query, code, says] of wrong) {
    const problem = await expectProblem(await fetch(`${url}?${query}`), 400, code)
    expect(problem.detail).toMatch(says)
  }
  const other = await fetch(url, { method: 'POST', body: '{}' })
  expect(other.headers.get('allow')).toBe('GET, HEAD')
  await expectProblem(other, 405, 'method_not_allowed')
  const bare = await fetch(url, { method: 'HEAD' })
  expect([bare.status, bare.headers.get('content-type'), await bare.text()]).toEqual([
    200,
    'application/json',
    '',
  ])
})

// SQLite keeps all; the memory engine begins anew, further on.
needing('process').test('a cursor ahead of the store, which is older than it was, is refused', async () => {
  const ahead = Number(await head()) + 1000
  const problem = await expectProblem(
    await fetch(`${server.url}/v1/_changes?since=${ahead}`),
    410,
    'compacted',
  )
  expect(problem).toMatchObject({ oldest: 0 })
})

test('a cursor from before what is kept is refused with the oldest one', async () => {
  const db = await openDatabase({
    open: (onCommit) => openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit }),
    cacheBytes: 0,
    now: Date.now,
    onError: () => {},
  })
  const changes = () => Promise.reject(new KvistError('compacted', 'gone', { oldest: '70' }))
  const small = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds: 30,
    authenticator: authenticatorOf(null),
    now: Date.now,
    hostNames: ['x'],
    routes: v1Routes({ ...db, changes }),
    onError: () => {},
    observe: () => () => {},
  })
  try {
    const problem = await expectProblem(await fetch(`${small.url}/v1/_changes?since=3`), 410, 'compacted')
    expect(problem).toMatchObject({ oldest: 70 })
  } finally {
    await small.stop(0)
    await db.close()
  }
})
