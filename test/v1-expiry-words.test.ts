import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, jsonOf, membersIn, put } from './support/responses.ts'

/** One set of words for expiry, wherever it is given; and touches, which change the expiry alone. */

let nowMs = Date.parse('2026-06-01T12:00:00Z')
let server: InProcessServer
beforeAll(async () => {
  server = await startInProcess(() => nowMs)
})
afterAll(() => server.stop())

let collections = 0
/** A collection that no other test has, with these settings. */
async function newCollection(settings?: object): Promise<string> {
  const name = `words-${++collections}`
  if (settings !== undefined) {
    const url = `${server.url}/v1/_collections/${name}`
    expect((await fetch(url, { method: 'PUT', body: JSON.stringify(settings) })).status).toBe(200)
  }
  return name
}

/** What says an expiry: fields of JSON, or the same as parameters. */
type Words = Readonly<Record<string, unknown>>

/** Gives a member of a collection an expiry, in one of the ways there are. */
interface Surface {
  readonly takesAlias: boolean
  send(collection: string, key: string, words: Words): Promise<Response>
}

function query(words: Words): string {
  return new URLSearchParams(
    Object.entries(words).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString()
}

function patch(type: string, body: string): Surface {
  return {
    takesAlias: false,
    async send(collection, key, words) {
      const url = `${server.url}/v1/${collection}/${key}?${query(words)}`
      return fetch(url, { method: 'PATCH', body, headers: { 'content-type': type } })
    },
  }
}

function batch(operation: object, fields: (words: Words) => object): Surface {
  return {
    takesAlias: true,
    send: (collection, key, words) =>
      fetch(`${server.url}/v1/_batch`, {
        method: 'POST',
        body: JSON.stringify({ operations: [{ ...operation, collection, key, ...fields(words) }] }),
      }),
  }
}

const surfaces: Readonly<Record<string, Surface>> = {
  PUT: {
    takesAlias: false,
    send: (collection, key, words) => put(`${server.url}/v1/${collection}/${key}?${query(words)}`, '1'),
  },
  'a merge patch': patch('application/merge-patch+json', '1'),
  'an increment': patch('application/vnd.kvist.increment+json', '{}'),
  'put in a batch': batch({ op: 'put', value: 1 }, (words) => words),
  'increment in a batch': batch({ op: 'increment' }, (words) =>
    Object.keys(words).length === 0 ? {} : { if_created: words },
  ),
  'a line of an import': {
    takesAlias: true,
    async send(collection, key, words) {
      const headers = { 'content-type': 'application/x-ndjson' }
      const body = JSON.stringify({ key, value: 1, ...words })
      const response = await fetch(`${server.url}/v1/${collection}`, { method: 'POST', body, headers })
      const { failed } = await jsonOf<{ failed: { code: string; detail: string }[] }>(response)
      if (failed.length === 0) return new Response('{}')
      const problem = { status: 400, type: `urn:kvist:${failed[0]!.code}`, title: 'Line', ...failed[0]! }
      return Response.json(problem, { status: 400, headers: { 'content-type': 'application/problem+json' } })
    },
  },
}

const inAnHour = 3_600_000
const later = '2026-06-02T00:00:00Z'
const laterMs = Date.parse(later)

describe.each(Object.entries(surfaces))('%s', (_name, { takesAlias, send }) => {
  const cases: [words: Words, expiresAtMs: (now: number) => number | null | 'default'][] = [
    [{ expire_in: 3600 }, (now) => now + inAnHour],
    [{ expire_in: '3600' }, (now) => now + inAnHour],
    [{ expire_in: '3600s' }, (now) => now + inAnHour],
    [{ expire_in: '60m' }, (now) => now + inAnHour],
    [{ expire_in: '1h' }, (now) => now + inAnHour],
    [{ expire_in: '0.5h' }, (now) => now + inAnHour / 2],
    [{ expire_in: '1d' }, (now) => now + 24 * inAnHour],
    [{ expire_in: 1.5 }, (now) => now + 1500],
    [{ expire_in: 'never' }, () => null],
    [{ expire_at: later }, () => laterMs],
    [{ expire_at: '2026-06-02T02:00:00+02:00' }, () => laterMs],
    [{ expire_at: laterMs / 1000 }, () => laterMs],
    [{ expire_at: null }, () => null],
    [{}, () => 'default'],
    ...(takesAlias
      ? ([
          [{ expires_at: later }, () => laterMs],
          [{ expires_at: null }, () => null],
        ] satisfies [Words, () => number | null][])
      : []),
  ]

  test.each([
    ['no default', undefined, null],
    ['a default time to live', { default_ttl: '2h' }, 2 * inAnHour],
  ] as [string, object | undefined, number | null][])(
    'means the same where there is %s',
    async (_which, settings, ttlMs) => {
      const collection = await newCollection(settings)
      for (const [i, [words, expected]] of cases.entries()) {
        const response = await send(collection, `k${i}`, words)
        expect([words, response.status < 300]).toEqual([words, true])
        const asked = expected(nowMs)
        const expiresAtMs = asked === 'default' ? (ttlMs === null ? null : nowMs + ttlMs) : asked
        const shown = (await fetch(`${server.url}/v1/${collection}/k${i}`)).headers.get('kvist-expires-at')
        expect([words, shown]).toEqual([
          words,
          expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
        ])
      }
    },
  )

  test('contradictions and words that say nothing are refused', async () => {
    const collection = await newCollection({ default_ttl: '2h' })
    const wrong: Words[] = [
      { expire_in: 60, expire_at: later },
      { expire_in: 'never', expire_at: null },
      { expire_in: 'soon' },
      { expire_in: 0 },
      { expire_in: -60 },
      { expire_in: '' },
      { expire_in: '1w' },
      { expire_at: 'tomorrow' },
      { expire_at: '' },
      { expire_at: 'never' },
      { expire_at: '2026-13-01T00:00:00Z' },
      { expire_in: '9999999d' },
      ...(takesAlias
        ? [
            { expire_in: 60, expires_at: null },
            { expire_at: later, expires_at: later },
            { expires_at: 'x' },
            { expire_in: null },
            { expire_in: [60] },
            { expire_in: { s: 60 } },
            { expire_at: true },
            { expires_at: [later] },
          ]
        : []),
    ]
    for (const words of wrong) {
      const problem = await expectProblem(await send(collection, 'k', words), 400, 'invalid_parameter')
      expect(String(problem.detail)).toMatch(/expir|duration|time/)
    }
    for (const unknown of [{ ttl: 60 }, { expires_in: 60 }, ...(takesAlias ? [] : [{ expires_at: later }])]) {
      const response = await send(collection, 'k', unknown)
      expect(response.status).toBe(400)
      expect(await response.text()).toContain(Object.keys(unknown)[0]!)
    }
    expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual([])
  })

  test('a time that has passed is taken: the member is expired at once, and watchers see it go', async () => {
    const collection = await newCollection()
    const events = await watched(collection)
    const past: Words[] = [
      { expire_at: '2020-01-01T00:00:00Z' },
      { expire_at: new Date(nowMs).toISOString() },
    ]
    for (const [i, words] of past.entries()) {
      await put(`${server.url}/v1/${collection}/k${i}`, '1')
      if (!takesAlias || _name !== 'increment in a batch') {
        expect((await send(collection, `k${i}`, words)).status).toBeLessThan(300)
      } else {
        // It sets an expiry only of what it makes.
        await fetch(`${server.url}/v1/${collection}/k${i}`, { method: 'DELETE' })
        expect((await send(collection, `k${i}`, words)).status).toBe(200)
      }
      expect((await fetch(`${server.url}/v1/${collection}/k${i}`)).status).toBe(404)
      await events.until((type, key) => type === 'expire' && key === `k${i}`)
    }
    events.close()
    expect(await membersIn(`${server.url}/v1/${collection}`)).toEqual([])
  })
})

/** Events of a collection as they come. */
async function watched(collection: string) {
  const watch = await fetch(`${server.url}/v1/${collection}`, { headers: { accept: 'text/event-stream' } })
  const reader = watch.body!.getReader()
  let text = ''
  return {
    async until(isIt: (type: string, key: string) => boolean): Promise<void> {
      for (;;) {
        const events = [...text.matchAll(/^event: (\w+)\n(?:id: .*\n)?data: (.*)$/gm)]
        if (events.some(([, type = '', data = '{}']) => isIt(type, JSON.parse(data).key))) return
        const part = await reader.read()
        if (part.done) throw new Error(`the stream ended: ${text}`)
        text += Buffer.from(part.value).toString()
      }
    },
    close: () => void reader.cancel(),
  }
}

describe('a new member', () => {
  test('under an id of its own takes the words too', async () => {
    const collection = await newCollection({ default_ttl: '2h' })
    const post = (words: Words) =>
      fetch(`${server.url}/v1/${collection}?${query(words)}`, { method: 'POST', body: '1' })
    const expiryOf = async (words: Words) => (await jsonOf<Stored>(post(words))).expires_at
    expect(await expiryOf({})).toBe(new Date(nowMs + 2 * inAnHour).toISOString())
    expect(await expiryOf({ expire_in: 'never' })).toBeNull()
    expect(await expiryOf({ expire_at: 'null' })).toBeNull()
    expect(await expiryOf({ expire_at: later })).toBe(new Date(laterMs).toISOString())
    expect(await expiryOf({ expire_at: '2020-01-01T00:00:00Z' })).toBe('2020-01-01T00:00:00.000Z')
    await expectProblem(await post({ expire_in: 1, expire_at: later }), 400, 'invalid_parameter')
  })

  test('of ozza never expires with 0, and else after minutes', async () => {
    const resource = await newCollection({ default_ttl: '2h' })
    const expiryOf = async (id: string, words: string) => {
      const url = `${server.url}/dialects/ozza/${resource}${words}`
      const headers = { 'content-type': 'application/json' }
      const { result } = await jsonOf<{ result: { expiry_time: number } }>(
        fetch(url, { method: 'PUT', body: JSON.stringify({ id }), headers }),
      )
      return result.expiry_time
    }
    expect(await expiryOf('a', '')).toBe(nowMs + 2 * inAnHour)
    expect(await expiryOf('b', '?expire_in=0')).toBe(0)
    expect(await expiryOf('a', '?expire_in=0')).toBe(0)
    expect(await expiryOf('c', '?expire_in=10')).toBe(nowMs + 600_000)
  })
})

test('what was exported goes back as it was, also where another default awaits it', async () => {
  const from = await newCollection()
  await put(`${server.url}/v1/${from}/never`, '{"a": 1.0}')
  await put(`${server.url}/v1/${from}/later?expire_in=1h`, '2')
  await put(`${server.url}/v1/${from}/bytes`, new Uint8Array([0, 255]), { 'content-type': 'a/b' })
  await put(`${server.url}/v1/${from}/text?expire_in=1d`, 'text', { 'content-type': 'text/plain' })
  for (const shown of ['?include=values', '?include=all', '']) {
    const headers = { accept: 'application/x-ndjson' }
    const lines = await (await fetch(`${server.url}/v1/${from}${shown}`, { headers })).text()
    for (const settings of [undefined, { default_ttl: 60 }, { default_ttl: '2d', sliding: true }]) {
      const to = await newCollection(settings)
      const summary = await fetch(`${server.url}/v1/${to}`, {
        method: 'POST',
        body: lines,
        headers: { 'content-type': 'application/x-ndjson' },
      })
      expect(await jsonOf<unknown>(summary)).toEqual({ stored: 4, failed: [] })
      const values = `?include=values`
      expect(await membersIn(`${server.url}/v1/${to}`, values)).toEqual(
        await membersIn(`${server.url}/v1/${from}`, values),
      )
    }
  }
})

test('an expiry of a patch says what becomes of the one that is there; without one it stays', async () => {
  const collection = await newCollection({ default_ttl: '2h' })
  const url = `${server.url}/v1/${collection}/k`
  await put(`${url}?expire_in=1h`, '{"n":1}')
  const merge = async (words: string) =>
    (
      await jsonOf<Stored>(
        fetch(url + words, {
          method: 'PATCH',
          body: '{"m":1}',
          headers: { 'content-type': 'application/merge-patch+json' },
        }),
      )
    ).expires_at
  expect(await merge('')).toBe(new Date(nowMs + inAnHour).toISOString())
  expect(await merge('?expire_in=never')).toBeNull()
  // What never expires goes on so.
  expect(await merge('')).toBeNull()
  expect(await merge('?expire_at=null')).toBeNull()
  expect(await merge('?expire_in=60')).toBe(new Date(nowMs + 60_000).toISOString())
})

describe('a touch', () => {
  function touch(url: string, words: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${url}?${words}`, { method: 'PATCH', ...init })
  }

  const kinds: [string, string | Uint8Array<ArrayBuffer>, string][] = [
    ['JSON', '{"n": 1.0}', 'application/json'],
    ['a number', '5', 'application/json'],
    ['bytes', new Uint8Array([0, 255, 1]), 'application/octet-stream'],
    ['text', 'text', 'text/plain'],
    ['nothing', new Uint8Array(), 'a/b'],
  ]

  test.each(kinds)('changes the expiry of %s, and nothing else', async (_what, value, type) => {
    const url = `${server.url}/v1/${await newCollection()}/k`
    const stored = await jsonOf<Stored>(put(url, value, { 'content-type': type }))
    // Last-Modified is there when the second of the write is over.
    nowMs += 1000
    const before = await fetch(url)
    const response = await touch(url, 'expire_in=600')
    expect([response.status, response.headers.get('etag')]).toEqual([200, `"${stored.revision}"`])
    expect(await jsonOf<Stored>(response)).toEqual({
      ...stored,
      expires_at: new Date(nowMs + 600_000).toISOString(),
    })
    const after = await fetch(url)
    expect(after.headers.get('kvist-expires-at')).toBe(new Date(nowMs + 600_000).toISOString())
    for (const name of ['etag', 'last-modified', 'content-type', 'content-length']) {
      expect([name, after.headers.get(name)]).toEqual([name, before.headers.get(name)])
    }
    expect(await after.bytes()).toEqual(await before.bytes())
    // And takes it away again.
    for (const words of ['expire_in=never', 'expire_in=60', 'expire_at=null']) {
      expect((await touch(url, words)).status).toBe(200)
    }
    const never = await fetch(url)
    expect([never.headers.get('kvist-expires-at'), never.headers.get('etag')]).toEqual([
      null,
      `"${stored.revision}"`,
    ])
    nowMs += 3_600_000
    expect((await fetch(url)).status).toBe(200)
  })

  test('honours conditions, and what is not there is 404', async () => {
    const url = `${server.url}/v1/${await newCollection()}/k`
    await expectProblem(await touch(url, 'expire_in=60'), 404, 'not_found')
    await expectProblem(
      await touch(url, 'expire_in=60', { headers: { 'if-match': '*' } }),
      412,
      'precondition_failed',
    )
    const { revision } = await jsonOf<Stored>(put(url, '1'))
    const other = { 'if-match': `"${revision + 1}"` }
    await expectProblem(await touch(url, 'expire_in=60', { headers: other }), 412, 'precondition_failed')
    await expectProblem(
      await touch(url, 'expire_in=60', { headers: { 'if-none-match': '*' } }),
      412,
      'precondition_failed',
    )
    expect((await fetch(url)).headers.get('kvist-expires-at')).toBeNull()
    const own = { 'if-match': `"${revision}"` }
    expect((await touch(url, 'expire_in=60', { headers: own })).status).toBe(200)
    // The tag stays: the next one is as good.
    expect((await touch(url, 'expire_in=never', { headers: own })).status).toBe(200)
  })

  test('is a PATCH without a body, whatever says that there is none', async () => {
    const url = `${server.url}/v1/${await newCollection()}/k`
    await put(url, '1')
    const empty = () =>
      new ReadableStream({
        start(controller) {
          controller.close()
        },
      })
    for (const init of [
      {},
      { body: '' },
      { body: empty() },
      { body: '', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      { headers: { 'content-type': 'application/json' } },
      { body: empty(), headers: { 'content-type': 'application/json' } },
    ] as RequestInit[]) {
      expect((await touch(url, 'expire_in=60', init)).status).toBe(200)
    }
    // Without an expiry, or with a body that is no patch, it says what a patch is.
    for (const [words, init] of [
      ['', {}],
      ['', { body: '' }],
      ['expire_in=60', { body: '{}', headers: { 'content-type': 'text/plain' } }],
      ['expire_in=60', { body: '{}' }],
    ] as [string, RequestInit][]) {
      const response = await touch(url, words, init)
      expect(response.headers.get('accept-patch')).toContain('merge-patch')
      expect(await expectProblem(response, 415, 'unsupported_media_type')).toMatchObject({})
    }
    // A patch that is empty was meant to be one.
    const headers = { 'content-type': 'application/merge-patch+json' }
    await expectProblem(await touch(url, 'expire_in=60', { body: '', headers }), 400, 'invalid_json')
    for (const words of ['expire_in=0', 'expire_in=x', 'ttl=5', 'expire_in=1&expire_at=null']) {
      await expectProblem(await touch(url, words), 400, 'invalid_parameter')
    }
  })

  test('in the past ends the member, and watchers see it go; else they see nothing', async () => {
    const collection = await newCollection()
    const url = `${server.url}/v1/${collection}/k`
    const other = `${server.url}/v1/${collection}/z`
    await put(url, '1')
    const { changes, next } = await changesOf(collection, 0)
    await touch(url, 'expire_in=600')
    expect((await changesOf(collection, next)).changes).toEqual([])
    const events = await watched(collection)
    expect((await touch(url, 'expire_at=2020-01-01T00:00:00Z')).status).toBe(200)
    expect((await fetch(url)).status).toBe(404)
    await events.until((type, key) => type === 'expire' && key === 'k')
    events.close()
    expect((await changesOf(collection, next)).changes).toMatchObject([{ type: 'expire', key: 'k' }])
    expect(changes.length).toBe(1)
    expect((await put(other, '1')).status).toBe(201)
  })

  test('in a batch is as a touch alone; of what is not there it is revision 0', async () => {
    const collection = await newCollection()
    const url = `${server.url}/v1/${collection}`
    const { revision } = await jsonOf<Stored>(put(`${url}/a`, '1'))
    const operations = [
      { op: 'touch', collection, key: 'a', expire_in: '10m' },
      { op: 'touch', collection, key: 'none', expires_at: null },
      { op: 'put', collection, key: 'b', value: 2 },
      { op: 'touch', collection, key: 'b', expire_at: later },
    ]
    const response = await fetch(`${server.url}/v1/_batch`, {
      method: 'POST',
      body: JSON.stringify({ operations }),
    })
    const { revisions, values } = await jsonOf<{ revisions: number[]; values: unknown[] }>(response)
    expect(revisions.slice(0, 2)).toEqual([revision, 0])
    expect(revisions[3]).toBe(revisions[2]!)
    expect(values).toEqual([null, null, null, null])
    expect(await membersIn(url)).toMatchObject([
      { key: 'a', revision, expires_at: new Date(nowMs + 600_000).toISOString() },
      { key: 'b', expires_at: new Date(laterMs).toISOString() },
    ])
  })
})

async function changesOf(collection: string, since: unknown) {
  const url = `${server.url}/v1/_changes?collection=${collection}&since=${since}`
  return jsonOf<{ changes: { type: string; key: string }[]; next: unknown }>(fetch(url))
}

describe('counters', () => {
  const type = 'application/vnd.kvist.increment+json'

  function increment(url: string, body: object, words = ''): Promise<Response> {
    return fetch(url + words, {
      method: 'PATCH',
      body: JSON.stringify(body),
      headers: { 'content-type': type },
    })
  }

  test('respond with their number', async () => {
    const url = `${server.url}/v1/${await newCollection()}`
    const countAfter = async (key: string, body: object) =>
      (await jsonOf<Stored & { value: unknown }>(increment(`${url}/${key}`, body))).value
    expect(await countAfter('n', {})).toBe(1)
    expect(await countAfter('n', { by: 41 })).toBe(42)
    expect(await countAfter('n', { by: -0.5 })).toBe(41.5)
    await put(`${url}/object`, '{"a":{"b":[1,2]},"x":"text"}')
    expect(await countAfter('object', { path: '/a/b/1', by: 5 })).toBe(7)
    expect(await countAfter('object', { path: '/new' })).toBe(1)
    expect(await (await fetch(`${url}/object`)).json()).toEqual({ a: { b: [1, 7] }, x: 'text', new: 1 })
    const response = await increment(`${url}/é`, {})
    expect(response.headers.get('content-length')).toBe(String((await response.bytes()).length))
  })

  test('are in the response of a batch beside the revisions, null for all else', async () => {
    const collection = await newCollection()
    const operations = [
      { op: 'increment', collection, key: 'n' },
      { op: 'put', collection, key: 'o', value: { views: 10 } },
      { op: 'increment', collection, key: 'n', by: 2 },
      { op: 'increment', collection, key: 'o', path: '/views', by: 0.5 },
      { op: 'delete', collection, key: 'n' },
      { op: 'increment', collection, key: 'n', by: 7 },
    ]
    const response = await fetch(`${server.url}/v1/_batch`, {
      method: 'POST',
      body: JSON.stringify({ operations }),
    })
    const { revisions, values } = await jsonOf<{ revisions: number[]; values: unknown[] }>(response)
    expect(values).toEqual([1, null, 3, 10.5, null, 7])
    expect(revisions.length).toBe(6)
    const empty = await fetch(`${server.url}/v1/_batch`, { method: 'POST', body: '{}' })
    expect(await jsonOf<unknown>(empty)).toEqual({ revisions: [], values: [] })
  })

  test('with if_created have an expiry from their first increment on, and windows begin anew', async () => {
    const collection = await newCollection({ default_ttl: '2h' })
    const url = `${server.url}/v1/${collection}/window`
    const body = { if_created: { expire_in: '60s' } }
    const begunMs = nowMs
    for (const value of [1, 2, 3]) {
      const stored = await jsonOf<Stored & { value: number }>(increment(url, body))
      expect([stored.value, stored.expires_at]).toEqual([value, new Date(begunMs + 60_000).toISOString()])
      nowMs += 20_000
    }
    expect(nowMs).toBe(begunMs + 60_000)
    const again = await jsonOf<Stored & { value: number }>(increment(url, body))
    expect([again.value, again.expires_at]).toEqual([1, new Date(nowMs + 60_000).toISOString()])
    // A number that is missing in a member that is there makes no member.
    await put(`${server.url}/v1/${collection}/o?expire_in=never`, '{}')
    const inside = await jsonOf<Stored>(
      increment(`${server.url}/v1/${collection}/o`, { path: '/n', ...body }),
    )
    expect(inside.expires_at).toBeNull()
    // Never goes before the default of the collection.
    const never = await jsonOf<Stored>(
      increment(`${server.url}/v1/${collection}/never`, { if_created: { expires_at: null } }),
    )
    expect(never.expires_at).toBeNull()
  })

  test('refuse what says nothing, or two things', async () => {
    const url = `${server.url}/v1/${await newCollection()}/n`
    const wrong: [object, string, string?][] = [
      [{ if_created: {} }, 'invalid_request'],
      [{ if_created: 60 }, 'invalid_request'],
      [{ if_created: null }, 'invalid_request'],
      [{ if_created: [] }, 'invalid_request'],
      [{ if_created: { ttl: 60 } }, 'invalid_request'],
      [{ if_created: { expire_in: 0 } }, 'invalid_parameter'],
      [{ if_created: { expire_in: 60, expire_at: null } }, 'invalid_parameter'],
      [{ expire_in: 60 }, 'invalid_request'],
      [{ if_created: { expire_in: 60 } }, 'invalid_parameter', '?expire_in=60'],
    ]
    for (const [body, code, words] of wrong) {
      await expectProblem(await increment(url, body, words), 400, code)
    }
    expect((await fetch(url)).status).toBe(404)
  })
})
