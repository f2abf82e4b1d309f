import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { msToStamp } from '../src/core/clock.ts'
import { parseGrants } from '../src/core/grants.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { openWire } from './support/wire.ts'

/** What a client with a token tries in order to see or to change more than it grants. */

const nowMs = Date.parse('2026-03-01T00:00:00Z')
let server: InProcessServer
let tenant1 = ''
let tenant2 = ''
let reader = ''
let all = ''

async function create(...grants: unknown[]): Promise<string> {
  const created = { name: 'app', subject: null, rate: null, expiresAtMs: null, grants: parseGrants(grants) }
  return (await server.tokens.create(created, nowMs)).text!
}

beforeAll(async () => {
  server = await startInProcess(() => nowMs, 'root')
  const tenantOf = (prefix: string) => ({ collections: '*', key_prefix: prefix, can: ['read', 'write'] })
  tenant1 = await create(tenantOf('t1/'))
  tenant2 = await create(tenantOf('t2/'))
  reader = await create({ collections: 'users', can: ['read'] })
  all = await create({ collections: '*', can: ['read', 'write', 'admin', 'replicate'] })
  for (let i = 0; i < 5; i++) for (const of of ['t1', 't2', 't3']) await put(`${of}/${i}`)
})
afterAll(async () => {
  expect(server.errors).toEqual([])
  await server.stop()
})

async function put(key: string, collection = 'users'): Promise<void> {
  const content = {
    value: `"s3cret of ${key}"`,
    contentType: 'application/json',
    flags: 0,
    expiresAtMs: null,
  }
  await server.db.put(collection, key, content)
}

interface Sent {
  readonly method?: string
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

async function send(token: string | null, path: string, { method = 'GET', body, headers }: Sent = {}) {
  const response = await fetch(server.url + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  })
  const text = await response.text()
  return {
    status: response.status,
    text,
    json: text.startsWith('{') ? JSON.parse(text) : null,
    headers: response.headers,
  }
}

async function statusOf(token: string | null, path: string, sent?: Sent): Promise<number> {
  return (await send(token, path, sent)).status
}

describe('what a list knows of others', () => {
  test('its entity tag is another one for each that does not see all, and theirs are of no use to others', async () => {
    const tags = new Map<string, string>()
    for (const token of [tenant1, tenant2, reader, 'root'])
      tags.set(token, (await send(token, '/v1/users')).headers.get('ETag')!)
    expect(tags.get(reader)).toBe(tags.get('root')!)
    expect(new Set(tags.values()).size).toBe(3)
    for (const token of [tenant1, tenant2, 'root']) {
      for (const [owner, tag] of tags) {
        const isOwn = owner === token || tag === tags.get(token)
        expect(await statusOf(token, '/v1/users', { headers: { 'If-None-Match': tag } })).toBe(
          isOwn ? 304 : 200,
        )
      }
    }
    // Nor does a tag that is known make a list known that is out of reach.
    const headers = { 'If-None-Match': `${[...tags.values()].join(', ')}, *` }
    expect(await statusOf(tenant1, '/v1/users?prefix=t2/', { headers })).toBe(403)
    expect(await statusOf(await create({ collections: 'x', can: ['read'] }), '/v1/users', { headers })).toBe(
      403,
    )
  })

  test('a cursor of another viewer shows nothing but what this one may see', async () => {
    const keysOf = (page: { json: { members: { key: string }[] } }) => page.json.members.map(({ key }) => key)
    for (const order of ['asc', 'desc']) {
      for (const from of ['root', tenant2, tenant1]) {
        let cursor: string | null = null
        do {
          const path: string = `/v1/users?limit=2&order=${order}${cursor === null ? '' : `&cursor=${cursor}`}`
          const mine = await send(tenant1, path)
          expect(mine.status).toBe(200)
          for (const key of keysOf(mine)) expect(key).toStartWith('t1/')
          cursor = (await send(from, path)).json.next
        } while (cursor !== null)
      }
    }
  })

  test('the cursor of a page of theirs is a key within reach', async () => {
    const { json } = await send(tenant1, '/v1/users?limit=4')
    const key = Buffer.from(json.next, 'base64url').toString('utf8', 8)
    expect(key).toStartWith('t1/')
    expect((await send(tenant1, '/v1/users?limit=5')).json.next).toBeNull()
  })

  test('`since` of another viewer, and what passes between, shows nothing of others', async () => {
    const start = (await send('root', '/v1/_changes?since=0&limit=10000')).json.next
    for (const key of ['t2/x', 't1/x', 't2/y']) await put(key)
    const { changes, next } = (await send(tenant1, `/v1/_changes?since=${start}`)).json
    expect(changes.map(({ key }: { key: string }) => key)).toEqual(['t1/x'])
    expect(next).toBe((await send('root', `/v1/_changes?since=${start}`)).json.next)
    const other = (await send(tenant2, `/v1/_changes?since=${changes[0].revision}`)).json
    expect(other.changes.map(({ key }: { key: string }) => key)).toEqual(['t2/y'])
    for (const query of ['collection=users&prefix=t2/', 'collection=users&prefix=t2/&filter=*'])
      expect(await statusOf(tenant1, `/v1/_changes?since=0&${query}`)).toBe(403)
    const filtered = (await send(tenant1, '/v1/_changes?since=0&filter=t*&limit=10000')).json.changes
    for (const { key } of filtered) expect(key).toStartWith('t1/')
  })

  test.each(['/v1/_changes', '/v1/users', '/v1/users?filter=*'])(
    'a watch of %s has nothing of others, wherever it begins',
    async (path) => {
      const start = (await send('root', '/v1/_changes?since=0&limit=10000')).json.next
      for (const key of ['t2/w', 't1/w', 't3/w']) await put(key)
      for (const from of [start, start + 1]) {
        const headers = {
          Accept: 'text/event-stream',
          Authorization: `Bearer ${tenant1}`,
          'Last-Event-ID': String(from),
        }
        const response = await fetch(server.url + path, { headers })
        const events = response.body!.getReader()
        let seen = ''
        for (const isLive of [false, true]) {
          if (isLive) for (const key of ['t2/live', 't1/live']) await put(key)
          const last = isLive ? 't1/live' : 't1/w'
          while (!seen.includes(`s3cret of ${last}`))
            seen += Buffer.from((await events.read()).value!).toString()
        }
        await events.cancel()
        expect(seen.match(/"key":"[^"]*"/g)!.filter((one) => !one.startsWith('"key":"t1/'))).toEqual([])
        await server.db.delete('users', 't1/live')
      }
    },
  )

  test('the list of collections has no name of one in which nothing is within reach, nor a cursor to it', async () => {
    for (const [name, key] of [
      ['aa', 't2/a'],
      ['ab', 't1/a'],
      ['ac', 't2/a'],
      ['ad', 't1/a'],
    ])
      await put(key!, name!)
    let seen = ''
    let cursor: string | null = null
    do {
      const path: string = `/v1?limit=1&prefix=a${cursor === null ? '' : `&cursor=${cursor}`}`
      const { text, json } = await send(tenant1, path)
      seen += `${text}${Buffer.from(json.next ?? '', 'base64url').toString('latin1', 8)}`
      cursor = json.next
    } while (cursor !== null)
    expect(seen).toContain('ab')
    expect(seen).toContain('ad')
    expect(seen).not.toMatch(/aa|ac/)
  })
})

describe('an Idempotency-Key', () => {
  const body = '{"operations":[{"op":"put","collection":"idem","key":"t1/a","value":1}]}'
  const sent = { method: 'POST', body, headers: { 'Idempotency-Key': 'one' } }

  test('of another principal is not this one: nothing is replayed to it', async () => {
    expect((await send('root', '/v1/_batch', sent)).json.revisions.length).toBe(1)
    const first = await send(tenant1, '/v1/_batch', sent)
    const again = await send(tenant1, '/v1/_batch', sent)
    expect(again.json).toEqual(first.json)
    expect(first.json).not.toEqual((await send('root', '/v1/_batch', sent)).json)
    expect(await statusOf(tenant2, '/v1/_batch', sent)).toBe(403)
    expect(await statusOf(reader, '/v1/_batch', sent)).toBe(403)
    // With another request it is refused to the one that sent it alone.
    const other = { ...sent, body: body.replace('1}', '2}') }
    expect(await statusOf(tenant1, '/v1/_batch', other)).toBe(422)
    expect(await statusOf(tenant2, '/v1/_batch', other)).toBe(403)
  })

  test.each(['root/one', '/one', '../root/one', 'a/b'])(
    'that reads %s is within those of its sender',
    async (key) => {
      const headers = { 'Idempotency-Key': key }
      const first = await send(tenant1, '/v1/_batch', { ...sent, headers })
      expect(first.status).toBe(200)
      expect((await send('root', '/v1/_batch', sent)).json).not.toEqual(first.json)
    },
  )
})

describe('an import', () => {
  const lines = ['t1/i1', 't2/i1', 't3/i1', 't1/i2']
    .map((key) => JSON.stringify({ key, value: 1 }))
    .join('\n')
  const ndjson = { 'Content-Type': 'application/x-ndjson' }

  test.each([
    ['plain', lines, ndjson],
    ['compressed', Uint8Array.from(gzipSync(lines)), { ...ndjson, 'Content-Encoding': 'gzip' }],
  ])('%s stores what is within reach, and names the other lines', async (_what, body, headers) => {
    const { status, json } = await send(tenant1, '/v1/users', { method: 'POST', body, headers })
    expect(status).toBe(200)
    expect(json).toEqual({
      stored: 2,
      failed: [
        { line: 2, code: 'forbidden', detail: 'the token of "app" does not grant write on users/t2/i1' },
        { line: 3, code: 'forbidden', detail: 'the token of "app" does not grant write on users/t3/i1' },
      ],
    })
    expect(await server.db.get('users', 't2/i1')).toBeNull()
    expect(await server.db.get('users', 't1/i1')).not.toBeNull()
  })

  test('into a collection out of reach is refused whole', async () => {
    const other = await create({ collections: 'others', can: ['write'] })
    const headers = { ...ndjson, 'Content-Encoding': 'gzip' }
    const body = Uint8Array.from(gzipSync(lines))
    expect(await statusOf(other, '/v1/users', { method: 'POST', body, headers })).toBe(403)
    expect(await statusOf(reader, '/v1/users', { method: 'POST', body: lines, headers: ndjson })).toBe(403)
    expect(await statusOf(other, '/v1/users', { method: 'POST', body: '', headers: ndjson })).toBe(403)
    expect(await statusOf(other, '/v1/others', { method: 'POST', body: '', headers: ndjson })).toBe(200)
    // Nor is the body waited for.
    const wire = await openWire(Number(new URL(server.url).port))
    const length = 'Content-Type: application/x-ndjson\r\nContent-Length: 1000000'
    wire.write(`POST /v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${other}\r\n${length}\r\n\r\n`)
    await wire.closed
    expect(wire.rest().toString()).toStartWith('HTTP/1.1 403')
    wire.destroy()
  })
})

describe('changes of another node', () => {
  const change = (collection: string, key: string, value: unknown = 1) =>
    JSON.stringify({
      ...{ op: 'put', collection, key, value, expires_at: null, created_at: '2026-03-01T00:00:00Z' },
      origin: { node: 'n1', clock: msToStamp(nowMs) },
    })

  test('are applied within the grant alone, line by line; tokens and settings only with those of all', async () => {
    const node = await create({ collections: 'users', key_prefix: 't1/', can: ['replicate'] })
    const everywhere = await create({ collections: '*', can: ['replicate'] })
    const token = { name: 'x', grants: [{ collections: '*', can: ['admin'] }], hash: 'A'.repeat(43) }
    const body = [
      change('users', 't1/n'),
      change('users', 't2/n'),
      change('_tokens', 'aaaaaaaaaaaa', token),
      change('_settings', 'users', {}),
      change('_idempotency', 'x'),
      change('_token_uses', 'x'),
    ].join('\n')
    const codesAs = async (as: string) => {
      const { json } = await send(as, '/v1/_replicate', { method: 'POST', body })
      return [
        json.applied,
        json.failed.map(({ line, code }: { line: number; code: string }) => `${line} ${code}`),
      ]
    }
    const never = ['5 invalid_collection', '6 invalid_collection']
    expect(await codesAs(node)).toEqual([1, ['2 forbidden', '3 forbidden', '4 forbidden', ...never]])
    expect(await statusOf(tenant1, '/v1/_replicate', { method: 'POST', body })).toBe(403)
    expect(server.tokens.get('aaaaaaaaaaaa')).toBeNull()
    expect((await codesAs(everywhere))[1]).toEqual(['3 forbidden', ...never])
    expect(server.tokens.get('aaaaaaaaaaaa')).toBeNull()
  })
})

describe('a name', () => {
  test.each(['_tokens', '_token_uses', '_settings', '_idempotency', '_', '_x'])(
    "of kvist's own, %s, is refused wherever a collection is named, whatever is granted",
    async (name) => {
      for (const token of ['root', all, tenant1]) {
        const put1 = `{"op":"put","collection":"${name}","key":"t1/a","value":1}`
        const posts: [path: string, body: string][] = [
          ['/v1/_batch', `{"operations":[${put1}]}`],
          ['/v1/_batch', `{"checks":[{"collection":"${name}","key":"t1/a","revision":null}]}`],
          ['/v1/_read', `{"members":[{"collection":"${name}","key":"t1/a"}]}`],
        ]
        for (const [path, body] of posts) {
          const { status, json } = await send(token, path, { method: 'POST', body })
          expect([status, json.code]).toEqual([400, 'invalid_collection'])
        }
        for (const path of [
          `/v1/_changes?since=0&collection=${name}`,
          `/v1/_collections/${name}`,
          `/v1/_collections/%5F${name.slice(1)}`,
          `/dialects/ozza/${name}`,
          `/dialects/ozza/${name}/t1%2Fa`,
          `/v1/${name}/t1%2Fa`,
          `/v1/%5F${name.slice(1)}/t1%2Fa`,
          `/v1/%5f${name.slice(1)}?include=all`,
        ]) {
          const { status, text } = await send(token, path)
          expect([path, [400, 404, 405].includes(status)]).toEqual([path, true])
          expect(text).not.toContain('"hash"')
        }
        for (const method of ['PUT', 'PATCH', 'POST', 'DELETE']) {
          const body = method === 'DELETE' ? undefined : '{}'
          const sent = { method, ...(body === undefined ? {} : { body }) }
          if (name !== '_tokens' || method !== 'POST')
            expect([400, 403, 404, 405]).toContain(await statusOf(token, `/v1/${name}`, sent))
          expect([400, 403, 404, 405]).toContain(await statusOf(token, `/v1/${name}/t1%2Fa%2Fb`, sent))
        }
      }
    },
  )

  test('of a token is in no list, feed, export or dialect', async () => {
    for (const token of ['root', all]) {
      for (const path of [
        '/v1',
        '/v1?prefix=_',
        '/v1/_changes?since=0&limit=10000',
        '/v1/_changes?since=0&limit=10000&include=all',
        '/v1/users?include=all&limit=10000',
        '/dialects/ozza/users',
        '/dialects/keys/keys',
        '/dialects/tenantbase/get-values',
        '/metrics',
      ]) {
        const { status, text } = await send(token, path)
        expect([path, status]).toEqual([path, 200])
        expect(text).not.toMatch(/_tokens"|_token_uses|_idempotency"|"hash"/)
      }
    }
  })

  test('of a grant, as the path of a ticket, reaches nothing of kvist', async () => {
    for (const collections of ['_tokens', '_*', '_?okens'])
      expect(() => parseGrants([{ collections, can: ['read'] }])).toThrow("kvist's own")
    for (const collections of ['?tokens', '*tokens', '*', '??okens', '*_tokens*']) {
      const token = await create({ collections, can: ['read', 'write', 'admin'] })
      expect([400, 403, 405]).toContain(await statusOf(token, '/v1/_tokens/x%2Fy'))
      expect([400, 403]).toContain(await statusOf(token, '/v1/_collections/_tokens'))
    }
    const ticket = await send(tenant1, '/v1/_tickets', { method: 'POST', body: '{"path":"/v1/_tokens"}' })
    expect(await statusOf(null, `/v1/_tokens?ticket=${ticket.json.ticket}`)).toBe(403)
  })

  // Names and prefixes are compared as they are: two forms of a text are two texts.
  test.each([
    ['composed', 't\u00e9/'],
    ['decomposed', 'te\u0301/'],
    ['fullwidth', '\uff54e/'],
    ['of plane 1', '\u{1d42d}/'],
    ['with a combining mark at its end', 'e\u0301'],
  ])('%s is no other spelling of it', async (_what, prefix) => {
    const token = await create({ collections: 'forms', key_prefix: prefix, can: ['read', 'write'] })
    for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD'] as const) {
      const key = `${prefix}x`.normalize(form)
      const expected = key.startsWith(prefix) ? 201 : 403
      const path = `/v1/forms/${encodeURIComponent(key)}`
      expect(await statusOf(token, path, { method: 'PUT', body: '1' })).toBe(expected)
      if (expected === 201) await send('root', path, { method: 'DELETE' })
      expect(await statusOf(token, `/v1/forms?prefix=${encodeURIComponent(key)}`)).toBe(
        expected === 201 ? 200 : 403,
      )
    }
    for (const name of ['form\u017f', 'FORMS', 'forms\u0301', 'forms%20', 'forms%00', '\uff46orms'])
      expect([400, 403]).toContain(await statusOf(token, `/v1/${name}/${encodeURIComponent(prefix)}x`))
  })

  test.each([
    't1%2F..%2Ft2%2F0',
    't1/%2e%2e/t2/0',
    't1%5C..%5Ct2%5C0',
    't1%252Ft2',
    '%2E%2E/t1/0',
    't1//t2/0',
  ])('%s of a key is that key and no other', async (escaped) => {
    for (const token of [tenant1, tenant2]) {
      const received = await raw(`/v1/users/${escaped}`, [token])
      expect(received).toMatch(/^HTTP\/1\.1 40[034] /)
      expect(received).not.toContain('s3cret')
    }
  })
})

describe('the order of refusals', () => {
  test('without a token there is nothing: not even what is missing or not allowed', async () => {
    for (const path of [
      '/v1/users/t1/0',
      '/v1/users/none',
      '/v1/nothing',
      '/nothing',
      '/v1/_x/y',
      '/v1/_tokens',
    ])
      for (const method of ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'])
        for (const token of [null, 'wrong'])
          expect([path, method, await statusOf(token, path, { method })]).toEqual([path, method, 401])
  })

  test('with a token what is nowhere is 404 and 405, and what is out of reach 403, there or not', async () => {
    expect(await statusOf(tenant1, '/nothing')).toBe(404)
    expect(await statusOf(tenant1, '/v1/users', { method: 'PATCH', body: '1' })).toBe(405)
    expect(await statusOf(tenant1, '/v1/users/t2/0')).toBe(403)
    expect(await statusOf(tenant1, '/v1/users/t2/none')).toBe(403)
    expect(await statusOf(tenant1, '/v1/users/t1/none')).toBe(404)
    expect(await statusOf(reader, '/v1/none')).toBe(403)
    expect((await send(tenant1, '/v1/none')).json).toEqual({ members: [], next: null })
  })

  test('what is granted nowhere is refused before the body is looked at', async () => {
    const writer = await create({ collections: 'users', can: ['write'] })
    const bad = { body: 'x' }
    for (const [token, method, path] of [
      [writer, 'PUT', '/v1/_collections/users'],
      [reader, 'POST', '/v1/_batch'],
      [writer, 'POST', '/v1/_read'],
      [writer, 'POST', '/v1/_tokens'],
    ] as const)
      expect([path, await statusOf(token, path, { method, ...bad })]).toEqual([path, 403])
  })

  test('conditions on what is out of reach are not evaluated', async () => {
    const revision = (await server.db.get('users', 't2/0'))!.revision
    for (const etag of [`"${revision}"`, '"1"', '*']) {
      for (const name of ['If-Match', 'If-None-Match']) {
        const headers = { [name]: etag }
        expect(await statusOf(tenant1, '/v1/users/t2/0', { headers })).toBe(403)
        expect(await statusOf(tenant1, '/v1/users/t2/0', { method: 'PUT', body: '1', headers })).toBe(403)
        expect(await statusOf(tenant1, '/v1/users/t2/0', { method: 'DELETE', headers })).toBe(403)
      }
      const check = JSON.stringify({
        collection: 'users',
        key: 't2/0',
        revision: etag === '"1"' ? 1 : revision,
      })
      const op = '{"op":"put","collection":"users","key":"t1/0","value":1}'
      const body = `{"checks":[${check}],"operations":[${op}]}`
      expect(await statusOf(tenant1, '/v1/_batch', { method: 'POST', body })).toBe(403)
    }
  })

  test('a failed check of what may be written alone shows its revision, as a write of it would', async () => {
    const writer = await create({ collections: 'users', can: ['write'] })
    const body = '{"checks":[{"collection":"users","key":"t2/0","revision":null}]}'
    const { status, json } = await send(writer, '/v1/_batch', { method: 'POST', body })
    expect(status).toBe(412)
    expect(json.revision).toBeGreaterThan(0)
    expect(JSON.stringify(json)).not.toContain('s3cret')
  })
})

test('a ticket is for paths of kvist alone: dialects may have such a parameter', async () => {
  const path = '/dialects/ozza/users'
  const { json } = await send(tenant1, '/v1/_tickets', { method: 'POST', body: JSON.stringify({ path }) })
  expect(await statusOf(null, `${path}?ticket=${json.ticket}`)).toBe(401)
})

test('a token in two headers is refused', async () => {
  for (const second of ['root', tenant1, 'wrong']) {
    const received = await raw('/v1/users', ['root', second])
    expect(received).toMatch(/^HTTP\/1\.1 40[01] /)
    expect(received).not.toContain('s3cret')
  }
})

/** Sends a path as it is, which `fetch` would resolve, with these tokens. */
async function raw(path: string, tokens: readonly string[]): Promise<string> {
  const wire = await openWire(Number(new URL(server.url).port))
  const lines = tokens.map((token) => `Authorization: Bearer ${token}\r\n`).join('')
  wire.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${lines}Connection: close\r\n\r\n`)
  await wire.closed
  const received = wire.rest().toString('latin1')
  wire.destroy()
  return received
}
