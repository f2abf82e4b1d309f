import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { sendRaw } from './support/raw.ts'
import { allBytes, countsOf, expectProblem, jsonOf, membersIn, oddJson, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `/v1/{c}/{key}`: GET, HEAD, PUT and DELETE of one member, over the wire. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

let collections = 0
/** The address of a collection that no other test has. */
function newCollection(): string {
  return `${server.url}/v1/members-${++collections}`
}

describe('PUT', () => {
  test('says how long its response is, whatever the key', async () => {
    const url = newCollection()
    for (const key of ['a', 'é', '日本', '\u{1f600}', '"\\\u0001', '\u2028é']) {
      const response = await put(`${url}/${encodeURIComponent(key)}`, '1')
      const body = await response.bytes()
      expect([key, response.headers.get('content-length')]).toEqual([key, `${body.length}`])
      expect(JSON.parse(Buffer.from(body).toString()).key).toBe(key)
    }
  })

  test('responds 201, then 200, with what was stored but the value', async () => {
    const url = `${newCollection()}/a`
    const before = Date.now()
    const created = await put(url, '{"n":1}')
    expect(created.status).toBe(201)
    expect(created.headers.get('content-type')).toBe('application/json')
    const first = await jsonOf<Stored>(created)
    expect(Object.keys(first)).toEqual([
      'key',
      'revision',
      'created_at',
      'updated_at',
      'expires_at',
      'content_type',
    ])
    expect(first).toMatchObject({ key: 'a', expires_at: null, content_type: 'application/json' })
    expect(first.created_at).toBe(first.updated_at)
    expect(Date.parse(first.created_at)).toBeWithin(before, Date.now() + 1)
    expect(created.headers.get('etag')).toBe(`"${first.revision}"`)

    await Bun.sleep(5)
    const replaced = await put(url, '2')
    expect(replaced.status).toBe(200)
    const second = await jsonOf<Stored>(replaced)
    expect(second.revision).toBeGreaterThan(first.revision)
    expect(second.created_at).toBe(first.created_at)
    expect(second.updated_at > first.updated_at).toBe(true)
    expect(await (await fetch(url)).text()).toBe('2')
  })

  test('keeps JSON byte for byte, found by key and in a list', async () => {
    const collection = newCollection()
    for (const [i, text] of oddJson.entries()) {
      expect((await put(`${collection}/${i}`, text)).status).toBe(201)
      const got = await fetch(`${collection}/${i}`)
      expect(await got.text()).toBe(text)
      expect(got.headers.get('content-type')).toBe('application/json')
      const page = await (await fetch(`${collection}?from=${i}&limit=1`)).text()
      expect(page).toContain(`{"key":"${i}","value":${text},"revision":`)
    }
  })

  test('keeps bytes of every kind with their content type', async () => {
    const collection = newCollection()
    const kinds: [string, Uint8Array<ArrayBuffer>][] = [
      ['application/octet-stream', allBytes],
      ['image/png', new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0xff, 0x00])],
      ['text/plain; charset=latin1', new Uint8Array([0xe9, 0xff])],
      ['text/plain;charset=utf-8', new TextEncoder().encode('é\n')],
      ['text/html', new TextEncoder().encode('{not json')],
      ['x-y/a.b+c', new Uint8Array([0])],
      ['application/octet-stream', new Uint8Array()],
      ['text/plain', new Uint8Array()],
    ]
    for (const [i, [type, bytes]] of kinds.entries()) {
      const stored = await put(`${collection}/${i}`, bytes, { 'content-type': type })
      expect(((await stored.json()) as Stored).content_type).toBe(type)
      const got = await fetch(`${collection}/${i}`)
      expect(got.headers.get('content-type')).toBe(type)
      expect(got.headers.get('content-length')).toBe(String(bytes.length))
      expect(new Uint8Array(await got.arrayBuffer())).toEqual(bytes)
    }
  })

  test('takes +json types for JSON and keeps their name', async () => {
    const collection = newCollection()
    for (const type of [
      'application/ld+json',
      'application/vnd.api+JSON; version=2',
      'application/geo+json ;x',
    ]) {
      expect((await put(`${collection}/a`, ' {"a": 1.0}', { 'content-type': type })).ok).toBe(true)
      const got = await fetch(`${collection}/a`)
      expect(got.headers.get('content-type')).toBe(type)
      expect(await got.text()).toBe(' {"a": 1.0}')
      await expectProblem(
        await put(`${collection}/a`, '{a:1}', { 'content-type': type }),
        400,
        'invalid_json',
      )
    }
  })

  test('takes no content type, JSON in other words and what curl -d says for JSON', async () => {
    const url = `${newCollection()}/a`
    for (const type of [
      '',
      'Application/JSON',
      'application/json; charset=utf-8',
      'application/json;charset="UTF-8"',
      'application/x-www-form-urlencoded',
    ]) {
      const line = type === '' ? '' : `Content-Type: ${type}\r\n`
      const reply = await sendRaw(
        server.port,
        `PUT ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${line}Content-Length: 3\r\n\r\n1.0`,
      )
      expect([200, 201]).toContain(reply!.status)
      const got = await fetch(url)
      expect(got.headers.get('content-type')).toBe('application/json')
      expect(await got.text()).toBe('1.0')
    }
  })

  test('takes values up to 16 MiB, with and without a length, and no larger ones', async () => {
    const url = `${newCollection()}/big`
    const most = `"${'x'.repeat(16 * 1024 * 1024 - 2)}"`
    expect((await put(url, most)).status).toBe(201)
    expect((await (await fetch(url)).text()) === most).toBe(true)
    const over = `"${'y'.repeat(16 * 1024 * 1024 - 1)}"`
    await expectProblem(await put(url, over), 413, 'too_large')
    const chunked = await fetch(url, { method: 'PUT', body: streamOf(over) })
    expect(await expectProblem(chunked, 413, 'too_large')).toMatchObject({ limit_bytes: 16 * 1024 * 1024 })
    expect((await (await fetch(url)).text()) === most).toBe(true)
    expect((await fetch(url, { method: 'PUT', body: streamOf(most) })).status).toBe(200)
    expect((await (await fetch(url)).text()) === most).toBe(true)
  })

  test('writes of many clients to one member are all done, one after the other', async () => {
    const url = `${newCollection()}/a`
    const responses = await Promise.all(Array.from({ length: 50 }, (_, i) => put(url, String(i))))
    const revisions = await Promise.all(responses.map(async (one) => ((await one.json()) as Stored).revision))
    expect(new Set(revisions).size).toBe(50)
    expect(responses.filter(({ status }) => status === 201).length).toBe(1)
    const last = revisions.indexOf(Math.max(...revisions))
    expect(await (await fetch(url)).text()).toBe(String(last))
  })
})

function streamOf(text: string): ReadableStream {
  const bytes = new TextEncoder().encode(text)
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at + 65_536))
      at += 65_536
    },
  })
}

describe('GET', () => {
  test('says revision, time and expiry in headers, on HEAD too', async () => {
    const url = `${newCollection()}/a`
    const stored = await jsonOf<Stored>(put(`${url}?expire_in=1h`, '{"a":1}'))
    for (const method of ['GET', 'HEAD']) {
      const got = await fetch(url, { method })
      expect(got.status).toBe(200)
      expect(got.headers.get('etag')).toBe(`"${stored.revision}"`)
      // Not before it is over: another write may come in the same second.
      const lastModified = got.headers.get('last-modified')
      if (lastModified !== null) expect(lastModified).toBe(secondAfter(stored.updated_at))
      expect(got.headers.get('kvist-expires-at')).toBe(stored.expires_at!)
      expect(got.headers.get('content-type')).toBe('application/json')
      expect(got.headers.get('content-length')).toBe('7')
      expect(await got.text()).toBe(method === 'GET' ? '{"a":1}' : '')
    }
    await put(url, '1')
    expect((await fetch(url)).headers.get('kvist-expires-at')).toBeNull()
  })

  test('HEAD of bytes says their length and sends none', async () => {
    const path = new URL(`${newCollection()}/b`).pathname
    await put(server.url + path, allBytes, { 'content-type': 'x/y' })
    const reply = await sendRaw(server.port, `HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect(reply).toMatchObject({ status: 200, body: '' })
    expect(reply!.headers['content-length']).toBe('1024')
  })

  test('a member that is not there is a 404, in a collection that is not there as well', async () => {
    const collection = newCollection()
    await expectProblem(await fetch(`${collection}/a`), 404, 'not_found')
    await put(`${collection}/a`, '1')
    await expectProblem(await fetch(`${collection}/b`), 404, 'not_found')
    expect((await fetch(`${collection}/b`, { method: 'HEAD' })).status).toBe(404)
  })

  test('If-None-Match: 304 for the present revision, in every form', async () => {
    const url = `${newCollection()}/a`
    const { revision } = await jsonOf<Stored>(put(url, '1'))
    const other = revision + 1
    for (const tags of [
      `"${revision}"`,
      `W/"${revision}"`,
      `"${other}", "${revision}"`,
      `"x","${revision}" , W/"y"`,
      ' * ',
      '*',
    ]) {
      const got = await fetch(url, { headers: { 'if-none-match': tags } })
      expect([tags, got.status]).toEqual([tags, 304])
      expect(got.headers.get('etag')).toBe(`"${revision}"`)
      expect(await got.text()).toBe('')
      expect((await fetch(url, { method: 'HEAD', headers: { 'if-none-match': tags } })).status).toBe(304)
    }
    for (const tags of [`"${other}"`, '""', '"*"', `"${revision}0"`, `" ${revision}"`.replace(' ', '0')]) {
      expect([tags, (await fetch(url, { headers: { 'if-none-match': tags } })).status]).toEqual([tags, 200])
    }
    await expectProblem(
      await fetch(url, { headers: { 'if-none-match': `${revision}` } }),
      400,
      'invalid_request',
    )
  })

  test('If-Modified-Since: 304 unless changed after it; ignored beside If-None-Match and when it is no date', async () => {
    const url = `${newCollection()}/a`
    const stored = await jsonOf<Stored>(put(url, '1'))
    const modified = secondAfter(stored.updated_at)
    const inIts = new Date(stored.updated_at).toUTCString()
    const earlier = new Date(Date.parse(stored.updated_at) - 2000).toUTCString()
    const statusSince = async (headers: Record<string, string>) => (await fetch(url, { headers })).status
    // What was read within the second of a write may be older than a later write in it.
    expect(await statusSince({ 'if-modified-since': inIts })).toBe(200)
    expect(await statusSince({ 'if-modified-since': new Date(Date.now() + 60_000).toUTCString() })).toBe(200)
    while (Date.now() <= Date.parse(modified)) await Bun.sleep(Date.parse(modified) - Date.now() + 1)
    expect((await fetch(url)).headers.get('last-modified')).toBe(modified)
    expect(await statusSince({ 'if-modified-since': modified })).toBe(304)
    expect(await statusSince({ 'if-modified-since': inIts })).toBe(200)
    expect(await statusSince({ 'if-modified-since': earlier })).toBe(200)
    expect(await statusSince({ 'if-modified-since': 'yesterday' })).toBe(200)
    expect(await statusSince({ 'if-modified-since': modified, 'if-none-match': '"1e9"' })).toBe(200)
    expect(await statusSince({ 'if-modified-since': earlier, 'if-none-match': `"${stored.revision}"` })).toBe(
      304,
    )
  })
})

function secondAfter(time: string): string {
  return new Date((Math.floor(Date.parse(time) / 1000) + 1) * 1000).toUTCString()
}

describe('conditions on writes', () => {
  test('If-None-Match: * creates only', async () => {
    const url = `${newCollection()}/a`
    const createOnly = { 'if-none-match': '*' }
    const first = await put(url, '1', createOnly)
    expect(first.status).toBe(201)
    const { revision } = await jsonOf<Stored>(first)
    expect(await expectProblem(await put(url, '2', createOnly), 412, 'precondition_failed')).toMatchObject({
      revision,
    })
    expect(await (await fetch(url)).text()).toBe('1')
    await fetch(url, { method: 'DELETE' })
    expect((await put(url, '3', createOnly)).status).toBe(201)
  })

  test('If-Match is compare-and-set, and says the current revision when it fails', async () => {
    const url = `${newCollection()}/a`
    expect(
      await expectProblem(await put(url, '1', { 'if-match': '*' }), 412, 'precondition_failed'),
    ).toMatchObject({
      revision: null,
    })
    await expectProblem(await put(url, '1', { 'if-match': '"1"' }), 412, 'precondition_failed')
    const { revision } = await jsonOf<Stored>(put(url, '1'))
    expect((await put(url, '2', { 'if-match': `"${revision}"` })).status).toBe(200)
    const failed = await expectProblem(
      await put(url, '3', { 'if-match': `"${revision}"` }),
      412,
      'precondition_failed',
    )
    const current = Number((await fetch(url)).headers.get('etag')!.slice(1, -1))
    expect(failed.revision).toBe(current)
    expect((await put(url, '4', { 'if-match': `"7", W/"${current}"` })).status).toBe(200)
    expect((await put(url, '5', { 'if-match': '*' })).status).toBe(200)
    await expectProblem(await put(url, '6', { 'if-match': '"other"' }), 412, 'precondition_failed')
    expect(await (await fetch(url)).text()).toBe('5')
  })

  test('If-None-Match with tags refuses these revisions only', async () => {
    const url = `${newCollection()}/a`
    const { revision } = await jsonOf<Stored>(put(url, '1', { 'if-none-match': '"1"' }))
    await expectProblem(await put(url, '2', { 'if-none-match': `"${revision}"` }), 412, 'precondition_failed')
    expect((await put(url, '3', { 'if-none-match': `"${revision + 1000}"` })).status).toBe(200)
  })

  test('DELETE responds 204, then 404; with If-Match it is conditional', async () => {
    const url = `${newCollection()}/a`
    const remove = (headers: Record<string, string> = {}) => fetch(url, { method: 'DELETE', headers })
    await expectProblem(await remove(), 404, 'not_found')
    await expectProblem(await remove({ 'if-match': '"1"' }), 412, 'precondition_failed')
    const { revision } = await jsonOf<Stored>(put(url, '1'))
    const failed = await expectProblem(
      await remove({ 'if-match': `"${revision + 1}"` }),
      412,
      'precondition_failed',
    )
    expect(failed.revision).toBe(revision)
    const done = await remove({ 'if-match': `"${revision}"` })
    expect([done.status, await done.text()]).toEqual([204, ''])
    await expectProblem(await fetch(url), 404, 'not_found')
    const again = await jsonOf<Stored>(put(url, '1'))
    expect(again.revision).toBeGreaterThan(revision + 1)
    expect((await remove()).status).toBe(204)
  })

  test('of many that compare and set at once, one wins each round and no update is lost', async () => {
    const url = `${newCollection()}/counter`
    await put(url, '0')
    async function addOne(): Promise<void> {
      for (;;) {
        const got = await fetch(url)
        const next = Number(await got.text()) + 1
        if ((await put(url, String(next), { 'if-match': got.headers.get('etag')! })).ok) return
      }
    }
    await Promise.all(Array.from({ length: 20 }, addOne))
    expect(await (await fetch(url)).text()).toBe('20')
  })
})

describe('expiry', () => {
  test('expire_in takes seconds and units, expire_at a time', async () => {
    const url = `${newCollection()}/a`
    const second = 1000
    const forms: [string, number][] = [
      ['90', 90 * second],
      ['90s', 90 * second],
      ['1.5', 1.5 * second],
      ['15m', 15 * 60 * second],
      ['12h', 12 * 3600 * second],
      ['7d', 7 * 86_400 * second],
    ]
    for (const [text, durationMs] of forms) {
      const from = Date.now()
      const { expires_at } = await jsonOf<Stored>(put(`${url}?expire_in=${text}`, '1'))
      expect(Date.parse(expires_at!)).toBeWithin(from + durationMs, Date.now() + durationMs + 1)
    }
    for (const [text, expected] of [
      ['2100-01-02T03:04:05Z', '2100-01-02T03:04:05.000Z'],
      ['2100-01-02T03:04:05.678%2B01:00', '2100-01-02T02:04:05.678Z'],
      ['4102444800', '2100-01-01T00:00:00.000Z'],
      ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
    ]) {
      const { expires_at } = await jsonOf<Stored>(put(`${url}?expire_at=${text}`, '1'))
      expect(expires_at).toBe(expected!)
      expect((await fetch(url)).headers.get('kvist-expires-at')).toBe(expected!)
    }
  })
})

describe('keys', () => {
  /** How a key may be written in a path, and what it is. */
  const paths: [string, string][] = [
    ['a/b', 'a/b'],
    ['a%2Fb', 'a/b'],
    ['a%2fb', 'a/b'],
    ['/a', '/a'],
    ['a/', 'a/'],
    ['a//b', 'a//b'],
    ['%2F', '/'],
    ['%61', 'a'],
    ['a+b', 'a+b'],
    ['a%2Bb', 'a+b'],
    ['a%20b', 'a b'],
    ['a%3Fb', 'a?b'],
    ['a%23b', 'a#b'],
    ['a%25b', 'a%b'],
    ['a%252Fb', 'a%2Fb'],
    ['%00', '\0'],
    ['a%00b/%00', 'a\0b/\0'],
    ['%C3%A9', 'é'],
    ['é', 'é'],
    ['x/é', 'x/é'],
    ['%F0%9F%98%80/%E6%97%A5', '😀/日'],
    ['%EF%BF%BD', '\ufffd'],
    ['x/%EF%BF%BD', 'x/\ufffd'],
    ['%EF%BB%BFmark', '\ufeffmark'],
    ['_batch', '_batch'],
    ['__proto__', '__proto__'],
    ['a:b;c=d&e,f@g!h$i(j)k*l', 'a:b;c=d&e,f@g!h$i(j)k*l'],
    ['a"b<c>d', 'a"b<c>d'],
    ['%2e%2Fa', './a'],
    ['a%2F..%2Fb', 'a/../b'],
    ['k'.repeat(512), 'k'.repeat(512)],
    [`${'k'.repeat(255)}/${'k'.repeat(256)}`, `${'k'.repeat(255)}/${'k'.repeat(256)}`],
    ['%F0%9F%98%80'.repeat(128), '😀'.repeat(128)],
  ]

  test('are the rest of the path, decoded once', async () => {
    for (const [path, key] of paths) {
      const url = new URL(newCollection()).pathname
      const request = (method: string, body = '') =>
        sendRaw(
          server.port,
          `${method} ${url}/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        )
      const stored = await request('PUT', '"x"')
      expect([path, stored!.status]).toEqual([path, 201])
      expect(JSON.parse(Buffer.from(stored!.body, 'latin1').toString()).key).toBe(key)
      expect(await request('GET')).toMatchObject({ status: 200, body: '"x"' })
      expect(await membersIn(`${server.url}${url}`, '?include=keys')).toEqual([{ key }])
      expect(await request('DELETE')).toMatchObject({ status: 204, body: '' })
      expect(await request('GET')).toMatchObject({ status: 404 })
    }
  })

  test('steps in a path are no steps, but what the key says', async () => {
    const name = new URL(newCollection()).pathname.slice('/v1/'.length)
    const request = (path: string) =>
      sendRaw(
        server.port,
        `PUT /v1/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1`,
      )
    for (const path of ['x/../y', 'x/%2e%2e/%2E%2E/k', '../../v1/other/k', '..', './.']) {
      expect([path, (await request(`${name}/${path}`))!.status]).toEqual([path, 201])
    }
    expect(await (await fetch(`${server.url}/v1/${name}?include=keys`)).json()).toMatchObject({
      members: ['..', '../../v1/other/k', './.', 'x/../../k', 'x/../y'].map((key) => ({ key })),
    })
    expect(await (await fetch(`${server.url}/v1/other`)).json()).toEqual({ members: [], next: null })
  })

  test('that are steps are sent by a URL parser with an escaped slash before them', async () => {
    const url = newCollection()
    for (const [path, key] of [
      ['%2F..', '..'],
      ['%2f.', '.'],
    ] as const) {
      expect((await put(url + path, '1')).status).toBe(201)
      expect(await (await fetch(url + path)).text()).toBe('1')
      expect((await fetch(url + path, { method: 'HEAD' })).status).toBe(200)
      expect((await patchMember(url + path, '2')).status).toBe(200)
      expect(await membersIn(url, '?include=keys')).toEqual([{ key }])
      expect((await fetch(url + path, { method: 'DELETE' })).status).toBe(204)
      expect((await fetch(url + path)).status).toBe(404)
    }
    // Only between a collection and its key: a slash in a key is one of the key.
    for (const [path, key] of [
      ['/a%2F..', 'a/..'],
      ['/%2F..', '/..'],
    ] as const) {
      expect((await put(url + path, '1')).status).toBe(201)
      expect(await membersIn(url, '?include=keys')).toEqual([{ key }])
      expect((await fetch(url + path, { method: 'DELETE' })).status).toBe(204)
    }
    for (const path of ['%2F...', '%2Fa', '%2F', '%2F..%2F..'])
      expect([400, 405]).toContain((await put(url + path, '1')).status)
    expect(await membersIn(url)).toEqual([])
  })
})

function patchMember(url: string, body: string): Promise<Response> {
  return fetch(url, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body })
}

describe('collection names', () => {
  test('are text of up to 128 bytes', async () => {
    for (const [path, name] of [
      ['c'.repeat(128), 'c'.repeat(128)],
      ['%C3%A9%20x', 'é x'],
      ['...', '...'],
      ['a_b', 'a_b'],
      ['%EF%BF%BD', '\ufffd'],
      ['a%25', 'a%'],
    ] as const) {
      expect((await put(`${server.url}/v1/${path}/k`, '1')).status).toBe(201)
      expect(await countsOf(server.url, name)).toEqual({ members: 1, bytes: 2 })
      const dropped = await fetch(`${server.url}/v1/${path}`, { method: 'DELETE' })
      expect(await dropped.json()).toEqual({ deleted: 1 })
    }
  })
})
