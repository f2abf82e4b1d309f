import { afterAll, expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { certificateFolder } from './support/certificates.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { textClient } from './support/memcached/text-client.ts'
import { needing } from './support/needs.ts'

/** Client certificates as tokens: the subject of one that verifies may be given grants. */

const { test, beforeAll } = needing('openssl')

const folder = certificateFolder()
const rootToken = 'root-secret'
const subject = 'CN=app,O=Acme\\, Inc'
let server: ServerInProcess
let nowMs = Date.parse('2026-03-01T00:00:00Z')
let anonymous: { ca: Buffer }
let app: { ca: Buffer; cert: Buffer; key: Buffer }

beforeAll(async () => {
  const authority = await folder.authority('authority')
  const own = await authority.issue('server')
  const { cert, key } = await authority.issue('app', '/O=Acme, Inc/CN=app')
  anonymous = { ca: readFileSync(authority.ca) }
  app = { ...anonymous, cert: readFileSync(cert), key: readFileSync(key) }
  const tls = ['--tls-cert', own.cert, '--tls-key', own.key, '--tls-client-ca', authority.ca]
  server = await serveInProcess({
    flags: [...tls, '--memcached-port', '0', '--allowed-host', 'x'],
    env: { KVIST_TOKEN: rootToken },
    now: () => nowMs,
  })
})
afterAll(async () => {
  await server?.stop()
  folder[Symbol.dispose]()
})

interface Sent {
  readonly headers?: Record<string, string>
  readonly body?: unknown
  /** By default with the certificate. */
  readonly as?: { ca: Buffer }
}

function send(method: string, path: string, { headers, body, as = app }: Sent = {}): Promise<Response> {
  const type: Record<string, string> = body === undefined ? {} : { 'Content-Type': 'application/json' }
  return fetch(`https://localhost:${server.port}${path}`, {
    method,
    headers: { ...type, ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    tls: as,
  })
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })
const asRoot = (method: string, path: string, body?: unknown) =>
  send(method, path, { headers: bearer(rootToken), as: anonymous, body })
const jsonOf = async (response: Response | Promise<Response>) => JSON.parse(await (await response).text())

const grants = [{ collections: 'cache', can: ['read', 'write'] }]

async function grant(more: object = {}): Promise<string> {
  const response = await asRoot('POST', '/v1/_tokens', { name: 'the app', grants, subject, ...more })
  expect(response.status).toBe(201)
  const created = await jsonOf(response)
  expect(created).toMatchObject({ name: 'the app', subject, grants })
  expect(created).not.toHaveProperty('token')
  return created.id
}

const revoke = async (id: string) => expect((await asRoot('DELETE', `/v1/_tokens/${id}`)).status).toBe(204)

test('a certificate without grants is as good as none', async () => {
  const refused = await send('GET', '/v1/cache/k')
  expect(refused.status).toBe(401)
  expect((await jsonOf(refused)).detail).toBe(
    `nothing is granted to the certificate of ${subject}, and no token was sent`,
  )
  expect((await send('GET', '/v1/cache/k', { as: anonymous })).status).toBe(401)
})

test('a certificate may do what its subject is granted, until that is revoked', async () => {
  const id = await grant()
  expect(await jsonOf(send('GET', '/v1/_whoami'))).toEqual({ name: 'the app', grants, expires_at: null })
  expect((await send('PUT', '/v1/cache/k', { body: 1 })).status).toBe(201)
  expect((await send('GET', '/v1/users/k')).status).toBe(403)
  expect((await send('GET', '/v1/cache/k', { as: anonymous })).status).toBe(401)
  const [listed] = (await jsonOf(asRoot('GET', '/v1/_tokens'))).tokens
  expect(listed).toMatchObject({ id, subject, last_used_at: expect.any(String) })

  const watch = await send('GET', '/v1/cache', { headers: { Accept: 'text/event-stream' } })
  const ended = watch.text().catch(() => 'cut')
  await revoke(id)
  await ended
  expect((await send('GET', '/v1/cache/k')).status).toBe(401)
})

test('a token that is sent counts in place of the certificate', async () => {
  const id = await grant()
  expect((await send('GET', '/v1/users/k', { headers: bearer(rootToken) })).status).toBe(404)
  expect((await send('GET', '/v1/cache/k', { headers: bearer('wrong') })).status).toBe(401)
  expect((await send('GET', '/v1/cache?ticket=wrong')).status).toBe(401)
  await revoke(id)
})

test('grants expire', async () => {
  await grant({ expires_in: '1h' })
  expect((await send('GET', '/v1/cache/none')).status).toBe(404)
  nowMs += 3_600_000
  expect((await send('GET', '/v1/cache/none')).status).toBe(401)
})

test('a subject has grants once, and is written as RFC 2253 does', async () => {
  const id = await grant()
  const statusOf = async (given: unknown) =>
    (await asRoot('POST', '/v1/_tokens', { name: 'again', grants, subject: given })).status
  expect(await statusOf(subject)).toBe(409)
  for (const bad of ['', 'app', '=app', null, 7, ['CN=app'], 'CN=a\nb', `CN=${'x'.repeat(1022)}`])
    expect([bad, await statusOf(bad)]).toEqual([bad, 400])
  await revoke(id)
  await revoke(await grant())
})

test('the page of another origin does not get to use the certificate of a browser', async () => {
  const id = await grant()
  const pages: [headers: Record<string, string>, status: number][] = [
    [{ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }, 403],
    [{ Origin: 'https://evil.example' }, 403],
    [{ Origin: `https://localhost:${server.port}`, Host: `localhost:${server.port}` }, 200],
    [{ 'Sec-Fetch-Site': 'same-origin' }, 200],
  ]
  for (const [headers, status] of pages)
    expect([headers, (await send('GET', '/v1/cache', { headers })).status]).toEqual([headers, status])
  await revoke(id)
})

test('a memcached client with the certificate needs no login', async () => {
  const port = Number(/"memcached":"[^"]*:(\d+)"/.exec(server.output())?.[1])
  const stranger = await textClient(port, undefined, app)
  expect(await stranger.ask('get k\r\n', '\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
  stranger.destroy()
  const id = await grant()
  const client = await textClient(port, undefined, app)
  expect(await client.ask('set m 0 0 1\r\n1\r\n', '\r\n')).toBe('STORED\r\n')
  expect(await client.ask('get m\r\n', 'END\r\n')).toBe('VALUE m 0 1\r\n1\r\nEND\r\n')
  await revoke(id)
  await client.rest()
  expect(client.isClosed()).toBe(true)
})
