import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { parseGrants } from '../src/core/grants.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'

/** Tokens over HTTP: what a client may do, and when it may not any more. */

const rootToken = 'root-secret'
let server: InProcessServer
let nowMs = Date.parse('2026-03-01T00:00:00Z')

beforeAll(async () => {
  server = await startInProcess(() => nowMs, rootToken)
  for (const key of ['t1/a', 't1/b', 't2/a']) await putAs(rootToken, `/v1/users/${key}`, '1')
  await putAs(rootToken, '/v1/logs/one', '1')
})
afterAll(() => server.stop())

function send(token: string | null, method: string, path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` }
  if (body === undefined) return fetch(server.url + path, { method, headers })
  return fetch(server.url + path, {
    method,
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

async function putAs(token: string, path: string, value: string): Promise<number> {
  return (await send(token, 'PUT', path, value)).status
}

/** The fields of the responses. */
interface Shown extends Created {
  readonly name: string
  readonly grants: unknown
  readonly expires_at: string
  readonly tokens: readonly { readonly id: string; readonly last_used_at: string | null }[]
  readonly members: readonly { readonly key: string }[]
  readonly changes: readonly { readonly collection: string; readonly key: string }[]
  readonly collections: unknown
}

/** The body, whose shape the tests assert. */
async function jsonOf<Body = Shown>(response: Response | Promise<Response>): Promise<Body> {
  return JSON.parse(await (await response).text())
}

async function problemOf(response: Response): Promise<{ status: number; code: string; detail: string }> {
  return jsonOf(response)
}

interface Created {
  readonly id: string
  readonly token: string
}

async function create(grants: unknown, more: object = {}, as = rootToken): Promise<Created> {
  const response = await send(as, 'POST', '/v1/_tokens', { name: 'app', grants, ...more })
  expect(response.status).toBe(201)
  return jsonOf(response)
}

const users = [{ collections: 'users', key_prefix: 't1/', can: ['read', 'write'] }]

describe('a token', () => {
  test('is shown once, and may do what it grants', async () => {
    const response = await send(rootToken, 'POST', '/v1/_tokens', {
      name: 'app',
      grants: users,
      expires_in: '90d',
    })
    const created = await jsonOf<Created & Record<string, unknown>>(response)
    expect(response.headers.get('Location')).toBe(`/v1/_tokens/${created.id}`)
    expect(response.headers.get('Cache-Control')).toBe('no-store')
    expect<unknown>(created).toEqual({
      id: expect.stringMatching(/^[0-9a-z]{12}$/),
      token: expect.stringMatching(RegExp(`^kvist_${created.id}_[A-Za-z0-9_-]{43}$`)),
      name: 'app',
      grants: users,
      created_at: '2026-03-01T00:00:00.000Z',
      expires_at: '2026-05-30T00:00:00.000Z',
      last_used_at: null,
    })
    const { tokens } = await jsonOf(send(rootToken, 'GET', '/v1/_tokens'))
    const { token, ...listed } = created
    expect(tokens.find((one) => one.id === created.id)).toEqual(listed as never)
    expect(JSON.stringify(tokens)).not.toContain(token.slice(-43))
    expect((await send(token, 'GET', '/v1/users/t1/a')).status).toBe(200)
    const refused = await send(token, 'GET', '/v1/users/t2/a')
    expect(refused.status).toBe(403)
    expect(await refused.json()).toEqual({
      type: 'urn:kvist:forbidden',
      title: 'Forbidden',
      status: 403,
      code: 'forbidden',
      detail: 'the token of "app" does not grant read on users/t2/a',
      missing: { can: 'read', collection: 'users', key: 't2/a' },
    })
    const { name, grants, expires_at } = await jsonOf(send(token, 'GET', '/v1/_whoami'))
    expect<unknown>({ name, grants, expires_at }).toEqual({
      name: 'app',
      grants: users,
      expires_at: created.expires_at,
    })
  })

  test('is not stored: its hash is', async () => {
    const { id, token } = await create(users)
    const secret = token.slice(-43)
    const stored = await server.db.page('_tokens', {
      ...{ prefix: id, filter: null, match: null, from: null, to: null },
      ...{ order: 'asc', limit: 1, cursor: null, keysOnly: false },
    })
    expect(String(stored.members[0]!.value)).toContain('"hash"')
    expect(String(stored.members[0]!.value)).not.toContain(secret)
  })

  test('that was used says so, to the hour', async () => {
    const { id, token } = await create(users)
    const usedAt = async () => {
      const { tokens } = await jsonOf(send(rootToken, 'GET', '/v1/_tokens'))
      return tokens.find((one) => one.id === id)!.last_used_at
    }
    expect(await usedAt()).toBeNull()
    await send(token, 'GET', '/v1/_whoami')
    const first = await usedAt()
    expect(Date.parse(first!)).toBe(nowMs)
    nowMs += 1_800_000
    await send(token, 'GET', '/v1/_whoami')
    expect(await usedAt()).toBe(first)
    nowMs += 1_800_000
    await send(token, 'GET', '/v1/_whoami')
    expect(Date.parse((await usedAt())!)).toBe(nowMs)
  })

  test.each([
    ['no name', { grants: users }, 'invalid_request'],
    ['an empty name', { name: ' ', grants: users }, 'invalid_request'],
    ['a name with a line break', { name: 'a\nb', grants: users }, 'invalid_request'],
    ['a long name', { name: 'x'.repeat(129), grants: users }, 'invalid_request'],
    ['no grants', { name: 'a' }, 'invalid_request'],
    [
      'a capability that is none',
      { name: 'a', grants: [{ collections: '*', can: ['all'] }] },
      'invalid_request',
    ],
    [
      "kvist's own collection",
      { name: 'a', grants: [{ collections: '_tokens', can: ['read'] }] },
      'invalid_request',
    ],
    ['a field that is not known', { name: 'a', grants: users, secret: 'x' }, 'invalid_request'],
    ['an expiry that is none', { name: 'a', grants: users, expires_in: 'soon' }, 'invalid_parameter'],
    ['an expiry of no time', { name: 'a', grants: users, expires_in: 0 }, 'invalid_parameter'],
    ['an expiry beyond all time', { name: 'a', grants: users, expires_in: '9000000d' }, 'invalid_parameter'],
    ['a list', [], 'invalid_request'],
  ])('with %s is refused', async (_what, body, code) => {
    const { tokens: before } = await jsonOf(send(rootToken, 'GET', '/v1/_tokens'))
    const response = await send(rootToken, 'POST', '/v1/_tokens', body)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).code).toBe(code)
    const { tokens: after } = await jsonOf(send(rootToken, 'GET', '/v1/_tokens'))
    expect(after.length).toBe(before.length)
  })

  test('can be created, listed and revoked only by who may do everything', async () => {
    const admin = await create([{ collections: '*', can: ['admin'] }])
    const some = await create([{ collections: 'users', can: ['read', 'write', 'admin'] }])
    const inner = await create(users, {}, admin.token)
    for (const [method, path] of [
      ['GET', '/v1/_tokens'],
      ['POST', '/v1/_tokens'],
      ['DELETE', `/v1/_tokens/${inner.id}`],
    ] as const) {
      const body = method === 'POST' ? { name: 'x', grants: users } : undefined
      expect((await problemOf(await send(some.token, method, path, body))).code).toBe('forbidden')
      expect((await problemOf(await send(null, method, path, body))).code).toBe('unauthorized')
    }
    expect((await send(admin.token, 'DELETE', `/v1/_tokens/${inner.id}`)).status).toBe(204)
    expect((await send(admin.token, 'DELETE', `/v1/_tokens/${inner.id}`)).status).toBe(404)
    expect((await send(admin.token, 'DELETE', `/v1/_tokens/${admin.id}`)).status).toBe(204)
    expect((await send(admin.token, 'GET', '/v1/_tokens')).status).toBe(401)
  })
})

describe('a token that is not valid', () => {
  test('is refused in every form', async () => {
    const { id, token } = await create(users)
    const secret = token.slice(-43)
    const flipped = secret[0] === 'A' ? `B${secret.slice(1)}` : `A${secret.slice(1)}`
    const others = await create(users)
    for (const forged of [
      `kvist_${id}_${flipped}`,
      token.slice(0, -1),
      `${token}A`,
      `kvist_${id}_${others.token.slice(-43)}`,
      `kvist_${others.id}_${secret}`,
      `kvist_000000000000_${secret}`,
      `Kvist_${id}_${secret}`,
      secret,
      id,
      'kvist__',
    ]) {
      const response = await send(forged, 'GET', '/v1/users/t1/a')
      expect(response.status).toBe(401)
      expect(response.headers.get('WWW-Authenticate')).toBe('Bearer')
    }
    const twice = new Headers([
      ['Authorization', `Bearer ${token}`],
      ['authorization', `Bearer ${token}`],
    ])
    expect((await fetch(`${server.url}/v1/users/t1/a`, { headers: twice })).status).toBe(401)
    expect((await send(token, 'GET', '/v1/users/t1/a')).status).toBe(200)
  })

  test('because it was revoked is refused at once', async () => {
    const { id, token } = await create(users)
    expect(await putAs(token, '/v1/users/t1/r', '1')).toBe(201)
    expect((await send(rootToken, 'DELETE', `/v1/_tokens/${id}`)).status).toBe(204)
    expect(await putAs(token, '/v1/users/t1/r', '2')).toBe(401)
  })

  test('because it has expired is refused at once, swept or not', async () => {
    const { token } = await create(users, { expires_in: 60 })
    expect((await send(token, 'GET', '/v1/users/t1/a')).status).toBe(200)
    nowMs += 59_999
    expect((await send(token, 'GET', '/v1/users/t1/a')).status).toBe(200)
    nowMs += 1
    expect((await send(token, 'GET', '/v1/users/t1/a')).status).toBe(401)
  })
})

describe('revoking ends', () => {
  const paths: Record<string, [path: string, headers: Record<string, string>]> = {
    'a watch of a member': ['/v1/users/t1/a', { Accept: 'text/event-stream' }],
    'a watch of a collection': ['/v1/users', { Accept: 'text/event-stream' }],
    'a watch of the store': ['/v1/_changes', { Accept: 'text/event-stream' }],
  }

  test.each(Object.keys(paths))('%s', async (what) => {
    const { id, token } = await create(users)
    const [path, headers] = paths[what]!
    const response = await fetch(server.url + path, {
      headers: { ...headers, Authorization: `Bearer ${token}` },
    })
    expect(response.status).toBe(200)
    const reader = response.body!.getReader()
    await reader.read()
    await send(rootToken, 'DELETE', `/v1/_tokens/${id}`)
    await putAs(rootToken, '/v1/users/t1/a', '"after"')
    let seen = ''
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read())
        seen += Buffer.from(part.value).toString()
    } catch {
      // The connection was reset.
    }
    expect(seen).not.toContain('after')
  })

  test('a long poll', async () => {
    const { id, token } = await create(users)
    const etag = (await send(token, 'GET', '/v1/users/t1/b')).headers.get('ETag')!
    const waiting = fetch(`${server.url}/v1/users/t1/b?wait=60s`, {
      headers: { Authorization: `Bearer ${token}`, 'If-None-Match': etag },
    }).then(
      ({ status }) => status,
      () => 'ended',
    )
    while (server.db.stats().watch.watchers === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    await send(rootToken, 'DELETE', `/v1/_tokens/${id}`)
    // The client may have tried again.
    expect(['ended', 401]).toContain(await waiting)
  })

  test('an import', async () => {
    const { id, token } = await create(users)
    let go: (() => void) | undefined
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(Buffer.from('{"key":"t1/i1","value":1}\n'.repeat(2000)))
        await new Promise<void>((resolve) => (go = resolve))
        controller.enqueue(Buffer.from('{"key":"t1/i2","value":1}\n'.repeat(2000)))
        controller.close()
      },
    })
    const importing = fetch(`${server.url}/v1/users`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/x-ndjson' },
      body,
    }).then(
      ({ status }) => status,
      () => 'ended',
    )
    while ((await server.db.get('users', 't1/i1')) === null)
      await new Promise((resolve) => setTimeout(resolve, 1))
    await send(rootToken, 'DELETE', `/v1/_tokens/${id}`)
    go!()
    expect(await importing).not.toBe(200)
    expect(await server.db.get('users', 't1/i2')).toBeNull()
  })

  test('nothing of other tokens', async () => {
    const [one, other] = [await create(users), await create(users)]
    const response = await fetch(`${server.url}/v1/users`, {
      headers: { Accept: 'text/event-stream', Authorization: `Bearer ${other.token}` },
    })
    const reader = response.body!.getReader()
    await reader.read()
    await send(rootToken, 'DELETE', `/v1/_tokens/${one.id}`)
    await putAs(rootToken, '/v1/users/t1/a', '"still"')
    expect(Buffer.from((await reader.read()).value!).toString()).toContain('still')
    await reader.cancel()
  })
})

describe('with a scoped token', () => {
  test('lists, feeds and the collections show what it may read', async () => {
    const { token } = await create(users)
    const { members } = await jsonOf(send(token, 'GET', '/v1/users?include=keys'))
    expect(members.every(({ key }) => key.startsWith('t1/'))).toBe(true)
    expect(members.length).toBeGreaterThan(1)
    const { collections } = await jsonOf(send(token, 'GET', '/v1'))
    expect(collections).toEqual([{ name: 'users', members: null, bytes: null }])
    const { changes } = await jsonOf(send(token, 'GET', '/v1/_changes?since=0&limit=1000'))
    for (const { collection, key } of changes) expect(`${collection}/${key}`).toStartWith('users/t1/')
    expect((await send(token, 'GET', '/v1/logs')).status).toBe(403)
    expect((await send(token, 'GET', '/metrics')).status).toBe(403)
  })

  test('a batch or a multi-read that is partly allowed does nothing', async () => {
    const { token } = await create(users)
    const put = (key: string) => ({ op: 'put', collection: 'users', key, value: 7 })
    const batch = await send(token, 'POST', '/v1/_batch', { operations: [put('t1/x'), put('t2/x')] })
    expect(batch.status).toBe(403)
    expect(await server.db.get('users', 't1/x')).toBeNull()
    const read = (key: string) => ({ collection: 'users', key })
    const mixed = await send(token, 'POST', '/v1/_read', { members: [read('t1/a'), read('t2/a')] })
    expect(mixed.status).toBe(403)
    expect(await mixed.text()).not.toContain('"members"')
    expect((await send(token, 'POST', '/v1/_read', { members: [read('t1/a')] })).status).toBe(200)
  })

  test('no spelling of a path leaves the prefix', async () => {
    const { token } = await create(users)
    for (const key of ['t1%2F..%2Ft2%2Fa', 't1%2f..%2ft2/a', 't1/%2e%2e/t2/a', 't1/..%2Ft2/a']) {
      // Taken as they are, these keys begin with t1/.
      const raw = await rawGet(`/v1/users/${key}`, token)
      expect(raw).toStartWith('HTTP/1.1 404')
    }
    for (const key of [
      't2/a',
      '../users/t2/a',
      't1%252F..',
      '%74%32/a',
      'T1/a',
      't1%5Ca',
      't1',
      '%EF%BD%941/a',
      't1%00/a',
    ]) {
      const raw = await rawGet(`/v1/users/${key}`, token)
      expect(raw).toMatch(/^HTTP\/1\.1 (403|400)/)
    }
  })

  test('own collections stay out of reach whatever is granted', async () => {
    const { token } = await create([{ collections: '*', can: ['read', 'write', 'admin', 'replicate'] }])
    for (const name of ['_tokens', '_settings', '%5Ftokens', '_idempotency'])
      expect((await send(token, 'GET', `/v1/${name}x/y`)).status).toBeGreaterThanOrEqual(400)
    const { changes } = await jsonOf(send(token, 'GET', '/v1/_changes?since=0&limit=10000'))
    for (const { collection } of changes) expect(collection).not.toStartWith('_')
  })

  test('every dialect does only what it may', async () => {
    const { token } = await create([{ collections: 'nothing', can: ['read', 'write', 'admin'] }])
    const refused: string[] = []
    for (const { path, method, access } of server.routes) {
      if (!path.startsWith('/dialects/') || access === 'open') continue
      const filled = path.replace(/:[a-z_]+/gi, 'users').replace('*', 'users')
      const response = await send(
        token,
        method,
        filled,
        ['GET', 'HEAD', 'DELETE'].includes(method) ? undefined : '{"a":1}',
      )
      if (response.status === 403) refused.push(`${method} ${path}`)
      else expect([400, 404, 405, 415, 422]).toContain(response.status)
    }
    expect(refused.length).toBeGreaterThan(12)
  })
})

describe('a ticket', () => {
  async function ticketFor(path: string, token = rootToken): Promise<string> {
    const response = await send(token, 'POST', '/v1/_tickets', { path })
    expect(response.status).toBe(201)
    return (await jsonOf<{ ticket: string }>(response)).ticket
  }

  test('stands for the token in one request to its path', async () => {
    const ticket = await ticketFor('/v1/users/t1/a')
    const url = `/v1/users/t1/a?ticket=${ticket}`
    expect((await send(null, 'GET', `/v1/users/t1/b?ticket=${ticket}`)).status).toBe(401)
    expect((await send(null, 'PUT', url, '1')).status).toBe(401)
    expect((await send(null, 'GET', url)).status).toBe(200)
    expect((await send(null, 'GET', url)).status).toBe(401)
  })

  test('goes with other parameters, and opens a watch', async () => {
    const ticket = await ticketFor('/v1/users')
    const response = await fetch(`${server.url}/v1/users?prefix=t1/&ticket=${ticket}`, {
      headers: { Accept: 'text/event-stream' },
    })
    expect(response.status).toBe(200)
    await response.body!.cancel()
  })

  test('has the grants of its token, and ends with it', async () => {
    const { id, token } = await create(users)
    const ticket = await ticketFor('/v1/users/t2/a', token)
    expect((await send(null, 'GET', `/v1/users/t2/a?ticket=${ticket}`)).status).toBe(403)
    const late = await ticketFor('/v1/users/t1/a', token)
    await send(rootToken, 'DELETE', `/v1/_tokens/${id}`)
    expect((await send(null, 'GET', `/v1/users/t1/a?ticket=${late}`)).status).toBe(401)
  })

  test('is over after a minute', async () => {
    const [soon, late] = [await ticketFor('/v1/users/t1/a'), await ticketFor('/v1/users/t1/a')]
    nowMs += 59_999
    expect((await send(null, 'GET', `/v1/users/t1/a?ticket=${soon}`)).status).toBe(200)
    nowMs += 1
    expect((await send(null, 'GET', `/v1/users/t1/a?ticket=${late}`)).status).toBe(401)
  })

  test.each([
    ['no path', {}],
    ['a path with a query', { path: '/v1/users?limit=1' }],
    ['a path that is none', { path: 'users' }],
    ['a fragment', { path: '/v1/users#x' }],
    ['another field', { path: '/v1/users', method: 'PUT' }],
  ])('for %s is refused', async (_what, body) => {
    expect((await send(rootToken, 'POST', '/v1/_tickets', body)).status).toBe(400)
  })

  test('given twice, empty or made up is refused', async () => {
    const ticket = await ticketFor('/v1/users/t1/a')
    for (const query of [`ticket=${ticket}&ticket=${ticket}`, 'ticket=', `ticket=${ticket}x`])
      expect((await send(null, 'GET', `/v1/users/t1/a?${query}`)).status).toBe(401)
  })
})

test('an open server knows the tokens that were created, and refuses those that were not', async () => {
  const open = await startInProcess()
  try {
    const { text } = await open.tokens.create(
      {
        name: 'app',
        grants: parseGrants(users),
        subject: null,
        rate: null,
        expiresAtMs: null,
      },
      Date.now(),
    )
    const statusOf = async (token: string | null, path: string) => {
      const headers = token === null ? {} : { Authorization: `Bearer ${token}` }
      return (await fetch(open.url + path, { headers })).status
    }
    expect(await statusOf(null, '/v1/logs')).toBe(200)
    expect(await statusOf(text, '/v1/logs')).toBe(403)
    expect(await statusOf(text, '/v1/users')).toBe(200)
    expect(await statusOf(null, '/v1/users?ticket=wrong')).toBe(401)
    expect(await statusOf(`${text!.slice(0, -1)}${text!.endsWith('A') ? 'B' : 'A'}`, '/v1/logs')).toBe(401)
  } finally {
    await open.stop()
  }
})

/** Sends a path as it is, which `fetch` would resolve. */
async function rawGet(path: string, token: string): Promise<string> {
  const { hostname, port } = new URL(server.url)
  let received = ''
  await new Promise<void>((resolve, reject) => {
    Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) =>
          void socket.write(
            `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
          ),
        data(_socket, bytes) {
          received += bytes.toString()
        },
        close: () => resolve(),
        error: (_socket, error) => reject(error),
      },
    }).catch(reject)
  })
  return received
}
