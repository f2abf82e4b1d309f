import { afterAll, beforeAll, expect, test } from 'bun:test'
import { expectInputError, unsentKvist, untyped } from '../test/support/client-input.ts'
import { startServer, type TestServer } from '../test/support/server.ts'
import { Kvist, KvistHttpError, type NewToken } from './client.ts'

/** Tokens, and what a client with one of them gets; tickets. */

let server: TestServer
let root: Kvist
beforeAll(async () => {
  server = await startServer({ env: { KVIST_TOKEN: 'sesame' } })
  root = new Kvist(server.url, { token: 'sesame' })
  await root.collection('users').put('t1/ada', { name: 'Ada' })
  await root.collection('users').put('t2/bob', { name: 'Bob' })
  await root.collection('logs').put('one', 1)
})
afterAll(() => server.remove())

const newToken: NewToken = {
  name: 'app',
  grants: [{ collections: 'users', key_prefix: 't1/', can: ['read', 'write'] }],
}

function clientWith(token: string): Kvist {
  return new Kvist(server.url, { token, retries: 0 })
}

async function errorOf(call: Promise<unknown>): Promise<KvistHttpError> {
  const error = await call.catch((error: unknown) => error)
  expect(error).toBeInstanceOf(KvistHttpError)
  return error as KvistHttpError
}

test('a token is created, listed without its text, and revoked', async () => {
  const { token, ...shown } = await root.tokens.create({ ...newToken, expires_in: '90d' })
  expect(token).toStartWith(`kvist_${shown.id}_`)
  expect(shown).toMatchObject({ ...newToken, last_used_at: null })
  const livesMs = Date.parse(shown.expires_at ?? '') - Date.parse(shown.created_at)
  expect(Math.abs(livesMs - 90 * 24 * 3_600_000)).toBeLessThan(1000)
  expect(await root.tokens.list()).toContainEqual(shown)
  expect(await clientWith(token).whoami()).toEqual({
    name: 'app',
    grants: newToken.grants,
    expires_at: shown.expires_at,
  })
  expect(await root.tokens.revoke(shown.id)).toBe(true)
  expect(await root.tokens.revoke(shown.id)).toBe(false)
  const refused = await errorOf(clientWith(token).whoami())
  expect(refused).toMatchObject({ status: 401, code: 'unauthorized' })
  for (const expires_in of ['never', null]) {
    expect((await root.tokens.create({ ...newToken, expires_in })).expires_at).toBeNull()
  }
  expect(await root.whoami()).toMatchObject({ name: 'root', expires_at: null })
})

test('a token for client certificates has a subject and no text', async () => {
  const created = await root.tokens.create({ ...newToken, subject: 'CN=app,O=Acme' })
  expect(created).toMatchObject({ name: 'app', subject: 'CN=app,O=Acme' })
  expect(created).not.toHaveProperty('token')
  expect(await root.tokens.list()).toContainEqual(created)
  const again = await errorOf(root.tokens.create({ ...newToken, subject: 'CN=app,O=Acme' }))
  expect(again).toMatchObject({ status: 409, code: 'conflict' })
})

test('a client sees what its token grants, and learns what is missing', async () => {
  const kvist = clientWith((await root.tokens.create(newToken)).token)
  const users = kvist.collection('users')
  expect((await users.page()).members.map(({ key }) => key)).toEqual(['t1/ada'])
  expect((await kvist.collectionsPage()).collections).toEqual([{ name: 'users', members: null, bytes: null }])
  const missing = { can: 'read', collection: 'users', key: 't2/bob' }
  const refused: [call: () => Promise<unknown>, missing: object][] = [
    [() => users.get('t2/bob'), missing],
    [() => users.getMany(['t1/ada', 't2/bob']), missing],
    [() => users.put('t2/bob', 1), { ...missing, can: 'write' }],
    [() => users.drop({ prefix: 't1/' }), { can: 'admin' }],
    [() => kvist.collection('logs').page(), { can: 'read', collection: 'logs' }],
    [() => kvist.tokens.list(), { can: 'admin' }],
  ]
  for (const [call, missing] of refused) {
    const { status, code, problem } = await errorOf(call())
    expect({ status, code, missing: problem?.missing }).toEqual({ status: 403, code: 'forbidden', missing })
  }
})

test('a watch whose token is revoked ends with the refusal', async () => {
  const { id, token } = await root.tokens.create(newToken)
  const watch = clientWith(token).collection('users').watch({ since: 0 })
  expect((await watch.next()).value).toMatchObject({ type: 'put', key: 't1/ada' })
  await root.tokens.revoke(id)
  expect(await errorOf(watch.next())).toMatchObject({ code: 'unauthorized' })
})

test('a ticket makes one GET without headers possible', async () => {
  const kvist = clientWith((await root.tokens.create(newToken)).token)
  await kvist.collection('users').put('t1/a b?', 7)
  for (const [path, shown] of [
    ['/v1/users/t1/a%20b%3F', '7'],
    ['/v1/users/t1/a b%3F', '7'],
    ['/v1/users?prefix=t1/ada&include=keys', '{"members":[{"key":"t1/ada"}],"next":null}'],
  ] as const) {
    const { url, ticket, expires_at } = await kvist.ticket(path)
    expect(url).toContain(ticket)
    expect(Date.parse(expires_at)).toBeGreaterThan(Date.now())
    const first = await fetch(url)
    expect([first.status, (await first.text()).trim()]).toEqual([200, shown])
    expect((await fetch(url)).status).toBe(401)
  }
})

test('a ticket below the path of a proxy is for the path that the server sees', async () => {
  const asked: unknown[] = []
  const behind = new Kvist('https://example.com/store/v1/', {
    async fetch(url, { body }) {
      asked.push([url, JSON.parse(String(body))])
      return Response.json({ ticket: 't', expires_at: '2026-01-01T00:01:00Z' })
    },
  })
  expect((await behind.ticket('/v1/users?limit=1')).url).toBe(
    'https://example.com/store/v1/users?limit=1&ticket=t',
  )
  expect(asked).toEqual([['https://example.com/store/v1/_tickets', { path: '/v1/users' }]])
})

test('what would grant more than was meant is an error before anything is sent', async () => {
  const { tokens, ticket } = { tokens: untyped(unsentKvist.tokens), ticket: untyped(unsentKvist) }
  const grant = newToken.grants[0]
  for (const [token, message] of [
    [undefined, /expected an object/],
    [{ ...newToken, name: '' }, /^name must be/],
    [{ ...newToken, grants: 'users' }, /^grants must be an array/],
    [
      { ...newToken, expires: '90d' },
      /there is no field "expires"; known are name, subject, grants, expires_in/,
    ],
    [{ ...newToken, expires_in: undefined }, /^expires_in is undefined: leave it out/],
    [{ ...newToken, rate_limit: '50' }, /^rate_limit must be a rate like/],
    [{ ...newToken, subject: undefined }, /^subject is undefined: leave it out/],
    [{ ...newToken, subject: '' }, /^subject must be a text that is not empty/],
    [{ ...newToken, rate_limit: undefined }, /^rate_limit is undefined: leave it out/],
    [{ ...newToken, expires_in: 'soon' }, /^expires_in must be/],
    [{ ...newToken, grants: [{ ...grant, key_prefix: undefined }] }, /^grants\[0\]: key_prefix is undefined/],
    [{ ...newToken, grants: [{ ...grant, key_prefix: '' }] }, /^grants\[0\]: key_prefix must be/],
    [
      { ...newToken, grants: [{ ...grant, keyPrefix: 't1/' }] },
      /^grants\[0\]: there is no field "keyPrefix"/,
    ],
    [{ ...newToken, grants: [{ ...grant, can: 'read' }] }, /^grants\[0\]: can must be an array/],
    [{ ...newToken, grants: [null] }, /^grants\[0\]: expected an object/],
  ] as const)
    await expectInputError(`${message}`, () => tokens.create(token), message)
  for (const id of ['', undefined, 5, '../users', 'kvist_abcdefghijkl_secret'])
    await expectInputError(`${id}`, () => tokens.revoke(id), /^the id must be the id of a token/)
  for (const path of ['', 'v1/users', '/users', '/v1/users#x', '/v1/../metrics', '/v1x', undefined, 5])
    await expectInputError(`${path}`, () => ticket.ticket(path), /^the path must be a path of the API/)
  await expectInputError('options', () => tokens.list({ limit: 1 }), /there is no option "limit"/)
})
