import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { together } from './support/line-differences.ts'
import { allBytes, expectProblem, jsonOf, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `PATCH /v1/{c}/{key}`: merge patch, JSON patch, increment; and that of many at once none is lost. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

let collections = 0
function newUrl(key = 'k', prefix = 'patch'): string {
  return `${server.url}/v1/${prefix}-${++collections}/${key}`
}

const mergePatch = 'application/merge-patch+json'
const jsonPatch = 'application/json-patch+json'
const increment = 'application/vnd.kvist.increment+json'

function patch(
  url: string,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(url, { method: 'PATCH', body, headers: { 'content-type': type, ...headers } })
}

async function textAt(url: string): Promise<string> {
  const response = await fetch(url)
  expect(response.status).toBe(200)
  return response.text()
}

/** A patch of each kind that makes `n` of an object 2. */
const toTwo: [type: string, body: string][] = [
  [mergePatch, '{"n":2}'],
  [jsonPatch, '[{"op":"replace","path":"/n","value":2}]'],
  [increment, '{"path":"/n"}'],
]

describe.each(toTwo)('%s', (type, body) => {
  test('changes what it names, and responds as PUT does', async () => {
    const url = newUrl('a/b c')
    const before = await jsonOf<Stored>(put(url, '{"n":1, "big":12345678901234567890}'))
    const reply = await patch(url, `${type.toUpperCase()} ; charset=utf-8`, body)
    expect(reply.status).toBe(200)
    const after = await jsonOf<Stored>(reply)
    expect(Object.keys(after)).toEqual([...Object.keys(before), ...(type === increment ? ['value'] : [])])
    expect(reply.headers.get('etag')).toBe(`"${after.revision}"`)
    expect(after.revision).toBeGreaterThan(before.revision)
    expect(after).toMatchObject({
      key: 'a/b c',
      created_at: before.created_at,
      content_type: 'application/json',
    })
    const stored = await textAt(url)
    expect(stored).toContain('12345678901234567890')
    expect(JSON.parse(stored).n).toBe(2)
    expect((await fetch(url)).headers.get('etag')).toBe(`"${after.revision}"`)
    // The same member under the other spelling of its key.
    expect((await patch(url.replace('a/b', 'a%2Fb'), type, body)).status).toBe(200)
  })

  test('keeps content type, expiry and flags, unless a new expiry is given', async () => {
    const url = newUrl()
    const line = { key: 'k', value: { n: 1 }, expire_in: '1h', content_type: 'application/ld+json', flags: 5 }
    const headers = { 'content-type': 'application/x-ndjson' }
    await fetch(url.slice(0, -2), { method: 'POST', headers, body: JSON.stringify(line) })
    const expiresAt = (await fetch(url)).headers.get('kvist-expires-at')
    const kept = await jsonOf<Stored>(patch(url, type, body))
    expect(kept).toMatchObject({ content_type: 'application/ld+json', expires_at: expiresAt })
    const { members } = await jsonOf<{ members: unknown[] }>(fetch(url.slice(0, -2)))
    expect(members).toMatchObject([{ value: { n: 2 }, content_type: 'application/ld+json' }])
    const values = await jsonOf<{ members: unknown[] }>(fetch(`${url.slice(0, -2)}?include=values`))
    expect(values.members).toMatchObject([{ flags: 5 }])
    const given = await jsonOf<Stored>(patch(`${url}?expire_in=2d`, type, body))
    expect(Date.parse(given.expires_at!)).toBeGreaterThan(Date.now() + 47 * 3600_000)
    const at = await jsonOf<Stored>(patch(`${url}?expire_at=2100-01-01T00:00:00Z`, type, body))
    expect(at.expires_at).toBe('2100-01-01T00:00:00.000Z')
    expect((await fetch(url)).headers.get('kvist-expires-at')).toBe('2100-01-01T00:00:00.000Z')
  })

  test('reads the revision that it is given', async () => {
    const url = newUrl()
    const { revision } = await jsonOf<Stored>(put(url, '{"n":1}'))
    const stale = await patch(url, type, body, { 'if-match': `"${revision + 1}"` })
    expect((await expectProblem(stale, 412, 'precondition_failed')).revision).toBe(revision)
    const exists = await patch(url, type, body, { 'if-none-match': '*' })
    await expectProblem(exists, 412, 'precondition_failed')
    expect(await textAt(url)).toBe('{"n":1}')
    const done = await jsonOf<Stored>(patch(url, type, body, { 'if-match': `"1", "${revision}"` }))
    expect((await patch(url, type, body, { 'if-match': `"${revision}"` })).status).toBe(412)
    expect((await patch(url, type, body, { 'if-match': '*' })).status).toBe(200)
    const missing = await patch(newUrl(), type, body, { 'if-match': '*' })
    expect((await expectProblem(missing, 412, 'precondition_failed')).revision).toBeNull()
    expect(done.revision).toBeGreaterThan(revision)
  })

  test('leaves bytes alone', async () => {
    const url = newUrl()
    await put(url, allBytes, { 'content-type': 'text/plain' })
    await expectProblem(await patch(url, type, body), 422, 'unprocessable')
    expect(new Uint8Array(await (await fetch(url)).arrayBuffer())).toEqual(allBytes)
  })

  test('counts what has expired as missing', async () => {
    const url = newUrl()
    await put(`${url}?expire_in=0.05`, '{"n":1}')
    await Bun.sleep(60)
    const reply = await patch(url, type, body)
    expect(reply.status).toBe(type === jsonPatch ? 404 : 201)
    if (reply.ok) expect(await textAt(url)).toBe(type === mergePatch ? '{"n":2}' : '{"n":1}')
    else await expectProblem(reply, 404, 'not_found')
  })
})

describe('a member that is missing', () => {
  test('is made by merge patches and increments', async () => {
    const merged = newUrl()
    const reply = await patch(`${merged}?expire_in=1h`, mergePatch, '{"a":{"b":null,"c":1.0}}')
    expect(reply.status).toBe(201)
    expect((await jsonOf<Stored>(reply)).expires_at).not.toBeNull()
    expect(await textAt(merged)).toBe('{"a":{"c":1.0}}')
    const counted = newUrl()
    expect((await patch(counted, increment, '{}')).status).toBe(201)
    expect((await patch(counted, increment, '{"by":-2.5}')).status).toBe(200)
    expect(await textAt(counted)).toBe('-1.5')
    expect((await patch(newUrl(), increment, '{"path":"/a","by":3}', { 'if-none-match': '*' })).status).toBe(
      201,
    )
  })

  test('is not made by a JSON patch', async () => {
    const url = newUrl()
    const reply = await patch(url, jsonPatch, '[{"op":"add","path":"","value":1}]')
    await expectProblem(reply, 404, 'not_found')
    expect((await fetch(url)).status).toBe(404)
  })
})

describe('a JSON patch', () => {
  test('is done whole or not at all, and says which operation failed', async () => {
    const url = newUrl()
    await put(url, '{"a":[1,2],"b":"x"}')
    const first = { op: 'add', path: '/a/0', value: 0 }
    const failing: [operation: object, status: number, code: string][] = [
      [{ op: 'test', path: '/b', value: 'y' }, 409, 'conflict'],
      [{ op: 'test', path: '/c', value: null }, 409, 'conflict'],
      [{ op: 'remove', path: '/c' }, 422, 'unprocessable'],
      [{ op: 'replace', path: '/a/9', value: 1 }, 422, 'unprocessable'],
      [{ op: 'add', path: '/toString/x', value: 1 }, 422, 'unprocessable'],
      [{ op: 'copy', from: '/constructor', path: '/x' }, 422, 'unprocessable'],
      [{ op: 'wish', path: '/b' }, 400, 'invalid_request'],
      [{ op: 'add', path: '/b' }, 400, 'invalid_request'],
      [{ op: 'move', from: '/a', path: '/a/b' }, 400, 'invalid_request'],
      [{ op: 'add', path: 'b', value: 1 }, 400, 'invalid_parameter'],
    ]
    for (const [operation, status, code] of failing) {
      const reply = await patch(url, jsonPatch, JSON.stringify([first, operation]))
      const problem = await expectProblem(reply, status, code)
      expect([problem.operation, problem.detail]).toEqual([1, expect.stringMatching(/^operation 1: /)])
    }
    expect(await textAt(url)).toBe('{"a":[1,2],"b":"x"}')
    await jsonOf(patch(url, jsonPatch, JSON.stringify([first, { op: 'move', from: '/b', path: '/a/-' }])))
    expect(await textAt(url)).toBe('{"a":[0,1,2,"x"]}')
  })

  test('names that JavaScript knows are names like any other, and reach nothing but the value', async () => {
    const url = newUrl()
    await put(url, '{"__proto__":{"a":1}}')
    const operations = [
      '{"op":"add","path":"/__proto__/polluted","value":true}',
      '{"op":"add","path":"/constructor","value":{"prototype":{"polluted":true}}}',
      '{"op":"add","path":"/x","value":{"__proto__":{"polluted":true}}}',
    ]
    await jsonOf(patch(url, jsonPatch, `[${operations}]`))
    const polluted = '{"polluted":true}'
    expect(await textAt(url)).toBe(
      `{"__proto__":{"a":1,"polluted":true},"constructor":{"prototype":${polluted}},"x":{"__proto__":${polluted}}}`,
    )
    await jsonOf(patch(url, mergePatch, `{"__proto__":{"a":null},"constructor":${polluted},"x":null}`))
    expect(await textAt(url)).toBe(
      `{"__proto__":{"polluted":true},"constructor":{"prototype":${polluted},"polluted":true}}`,
    )
    await put(newUrl(), '{}')
    expect((await jsonOf<Record<string, unknown>>(fetch(`${server.url}/v1`))).polluted).toBeUndefined()
  })
})

describe('bounds', () => {
  test('on what a value may become', async () => {
    const url = newUrl()
    const half = 'x'.repeat(8 * 1024 * 1024)
    await put(url, JSON.stringify({ half }))
    const { revision } = await jsonOf<Stored>(patch(url, increment, '{"path":"/n"}'))
    const copies = [1, 2].map((i) => ({ op: 'copy', from: '/half', path: `/${i}` }))
    await expectProblem(await patch(url, jsonPatch, JSON.stringify(copies)), 413, 'too_large')
    await expectProblem(await patch(url, mergePatch, JSON.stringify({ other: half })), 413, 'too_large')
    await expectProblem(await patch(url, mergePatch, JSON.stringify({ half: half + half })), 413, 'too_large')
    expect((await fetch(url, { method: 'HEAD' })).headers.get('etag')).toBe(`"${revision}"`)
  })

  test('on depth and on work', async () => {
    const url = newUrl()
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    const nested = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    await put(url, deep)
    const deepTest = `[{"op":"test","path":"","value":${deep}}]`
    await jsonOf(patch(url, jsonPatch, deepTest))
    await expectProblem(await patch(url, jsonPatch, deepTest.replace('[]', '[1]')), 422, 'unprocessable')
    await expectProblem(await patch(url, jsonPatch, deep), 400, 'invalid_request')
    await expectProblem(await patch(url, mergePatch, nested), 422, 'unprocessable')
    await expectProblem(await patch(url, increment, deep), 400, 'invalid_request')
    expect(await textAt(url)).toBe(deep)
    await jsonOf(patch(url, mergePatch, deep))
    const many = Array(10_001).fill({ op: 'add', path: '/a', value: 1 })
    await expectProblem(await patch(url, jsonPatch, JSON.stringify(many)), 413, 'too_large')
  })
})

test('what PATCH takes is in the response to other types', async () => {
  const url = newUrl()
  await put(url, '{}')
  const wrong = [
    ...['text/plain', 'application/merge-patch', 'toString', ''].map((type) => [type, '{}'] as const),
    // A merge patch that is no object replaces all there is: plain JSON does not say that it is meant.
    ...['[]', '1', '"a"', 'null', '[{"op":"remove","path":""}]'].map(
      (body) => ['application/json', body] as const,
    ),
  ]
  for (const [type, body] of wrong) {
    const reply = await patch(url, type, body)
    expect(reply.headers.get('accept-patch')).toBe(
      `${mergePatch}, ${jsonPatch}, ${increment}, application/json`,
    )
    await expectProblem(reply, 415, 'unsupported_media_type')
  }
  expect((await fetch(url, { method: 'OPTIONS' })).headers.get('allow')).toContain('PATCH')
})

test('an object as plain JSON is a merge patch', async () => {
  const url = newUrl()
  await put(url, '{"a": 1.0,"b":2}')
  for (const type of ['application/json', 'Application/JSON; charset=utf-8']) {
    expect((await patch(url, type, ' {"b":null,"c":{"d":1}}')).status).toBe(200)
  }
  expect(await textAt(url)).toBe('{"a":1.0,"c":{"d":1}}')
  await expectProblem(await patch(url, 'application/json', '{"a":'), 400, 'invalid_json')
})

test('a collection settings reach what a patch makes', async () => {
  const url = newUrl()
  const settings = JSON.stringify({ processes: ['mark'], default_ttl: 3600 })
  const name = url.split('/').at(-2)
  await jsonOf(fetch(`${server.url}/v1/_collections/${name}`, { method: 'PUT', body: settings }))
  const made = await jsonOf<Stored>(patch(url, mergePatch, '{"value":"a"}'))
  expect(Date.parse(made.expires_at!) - Date.now()).toBeWithin(3_500_000, 3_601_000)
  expect(await textAt(url)).toBe('{"value":"a (Marked)."}')
  const again = await jsonOf<Stored>(patch(url, jsonPatch, '[{"op":"replace","path":"/value","value":"b"}]'))
  expect(again.expires_at).toBe(made.expires_at)
  expect(await textAt(url)).toBe('{"value":"b (Marked)."}')
})

/** Does something over so many connections at once, each asking again and again. */
async function withClients(clients: number, each: (client: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, (_, client) => each(client)))
}

test('of 100 clients that increment one member at once, none loses anything', async () => {
  const url = newUrl()
  const seen = new Set<number>()
  await withClients(100, async () => {
    for (let i = 0; i < 10; i++) {
      const { revision } = await jsonOf<Stored>(patch(url, increment, '{"path":"/n","by":2}'))
      seen.add(revision)
    }
  })
  expect(await textAt(url)).toBe('{"n":2000}')
  expect(seen.size).toBe(1000)
})

test('nor do those who patch in different ways, in two collections, beside batches', async () => {
  const prefix = together('patch')
  const urls = [newUrl('n', prefix), newUrl('n', prefix)] as const
  const names = urls.map((url) => url.split('/').at(-2)!)
  await Promise.all(urls.map((url) => put(url, '{"n":0,"list":[]}')))
  await withClients(100, async (client) => {
    const url = urls[client % 2]!
    for (let i = 0; i < 4; i++) {
      const statuses = [
        (await patch(url, increment, '{"path":"/n"}')).status,
        (await patch(url, jsonPatch, `[{"op":"add","path":"/list/-","value":"${client} ${i}"}]`)).status,
        (await patch(url, mergePatch, `{"by-${client}":${i}}`)).status,
      ]
      expect(statuses).toEqual([200, 200, 200])
      if (client >= 20) continue
      const operations = names.map((collection) => ({ op: 'increment', collection, key: 'n', path: '/n' }))
      await jsonOf(fetch(`${server.url}/v1/_batch`, { method: 'POST', body: JSON.stringify({ operations }) }))
    }
  })
  for (const [which, url] of urls.entries()) {
    const { n, list, ...others } = JSON.parse(await textAt(url))
    expect(n).toBe(50 * 4 + 20 * 4)
    expect(new Set(list).size).toBe(200)
    const clients = Array.from({ length: 50 }, (_, i) => [`by-${i * 2 + which}`, 3])
    expect(others).toEqual(Object.fromEntries(clients))
  }
})
