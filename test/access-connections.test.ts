import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { parseGrants } from '../src/core/grants.ts'
import { MemoryBudget } from '../src/net/budget.ts'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { manualTimers } from './support/manual-timers.ts'
import { openWire, requestBytes, type Wire } from './support/wire.ts'

/** What the end of a token ends on its connections, and what it leaves alone. */

const mib = 1024 * 1024
/** More than the system holds for a client that does not read. */
const largeBytes = 12 * mib
const timers = manualTimers()
let aheadMs = 0
const now = () => Date.now() + aheadMs
let server: InProcessServer
const clients: Wire[] = []

beforeAll(async () => {
  // Room for one large value.
  const memory = {
    values: new MemoryBudget(16 * mib),
    pages: new MemoryBudget(16 * mib),
    bodies: new MemoryBudget(16 * mib),
  }
  server = await startInProcess(now, 'root', timers, undefined, { memory })
  for (const key of ['small', 'other']) await server.db.put('users', key, contentOf('1'))
  await server.db.put('users', 'large', contentOf(JSON.stringify('x'.repeat(largeBytes))))
})
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})
afterAll(async () => {
  expect(server.errors).toEqual([])
  await server.stop()
})

function contentOf(value: string) {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs: null }
}

interface Created {
  readonly id: string
  readonly text: string
}

async function create(expiresAtMs: number | null = null): Promise<Created> {
  const grants = parseGrants([{ collections: 'users', can: ['read', 'write', 'admin'] }])
  const created = await server.tokens.create(
    { name: 'app', subject: null, rate: null, grants, expiresAtMs },
    now(),
  )
  return { id: created.token.id, text: created.text! }
}

async function connect(): Promise<Wire> {
  const wire = await openWire(Number(new URL(server.url).port))
  clients.push(wire)
  return wire
}

function request(token: string, method: string, path: string, headers = {}, body?: string): Buffer {
  const host = new URL(server.url).host
  const all = { Host: host, Authorization: `Bearer ${token}`, ...headers }
  return Buffer.from(requestBytes(method, path, { headers: all, ...(body === undefined ? {} : { body }) }))
}

/** A long poll of a member, which waits until it changes. */
async function poll(token: string): Promise<Buffer> {
  const { revision } = (await server.db.get('users', 'other'))!
  return request(token, 'GET', '/v1/users/other?wait=60s', { 'If-None-Match': `"${revision}"` })
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries === 5000) throw new Error('waited in vain')
    await Bun.sleep(1)
  }
}

/** Lets the server do what it has received, and what follows from it. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

const watchers = () => server.db.stats().watch.watchers

test('a connection is that of the request being served: of another token before it nothing is ended', async () => {
  const [first, second] = [await create(), await create()]
  const wire = await connect()
  wire.write(Buffer.concat([request(first.text, 'GET', '/v1/users/small'), await poll(second.text)]))
  expect((await wire.response()).status).toBe(200)
  await until(() => watchers() === 1)
  await server.tokens.revoke(first.id)
  await settle()
  expect(watchers()).toBe(1)
  await server.db.put('users', 'other', contentOf('2'))
  expect((await wire.response()).body.toString()).toBe('2')
  wire.write(await poll(second.text))
  await until(() => watchers() === 1)
  await server.tokens.revoke(second.id)
  expect(await wire.closed).toBe('reset')
  await until(() => watchers() === 0)
})

test('of a token whose request waits behind another nothing is ended either: the request is refused', async () => {
  const [first, second] = [await create(), await create()]
  const wire = await connect()
  wire.write(Buffer.concat([await poll(first.text), request(second.text, 'PUT', '/v1/users/late', {}, '1')]))
  await until(() => watchers() === 1)
  await server.tokens.revoke(second.id)
  await settle()
  expect(watchers()).toBe(1)
  await server.db.put('users', 'other', contentOf('3'))
  expect((await wire.response()).body.toString()).toBe('3')
  expect((await wire.response()).status).toBe(401)
  expect(await server.db.get('users', 'late')).toBeNull()
})

test('a connection between two requests stays open, and the next one is refused', async () => {
  const { id, text } = await create()
  const wire = await connect()
  wire.write(request(text, 'GET', '/v1/users/small'))
  await wire.response()
  await server.tokens.revoke(id)
  await settle()
  wire.write(request(text, 'GET', '/v1/users/small'))
  expect((await wire.response()).status).toBe(401)
  wire.write(request('root', 'GET', '/v1/users/small'))
  expect((await wire.response()).status).toBe(200)
})

test('a token that revokes itself has the response of that', async () => {
  const grants = parseGrants([{ collections: '*', can: ['admin'] }])
  const created = await server.tokens.create(
    { name: 'app', subject: null, rate: null, grants, expiresAtMs: null },
    now(),
  )
  const wire = await connect()
  const { text } = created
  wire.write(
    Buffer.concat([
      request(text!, 'DELETE', `/v1/_tokens/${created.token.id}`),
      request(text!, 'GET', '/v1/_tokens'),
    ]),
  )
  expect((await wire.response()).status).toBe(204)
  expect((await wire.response()).status).toBe(401)
})

test.each([
  ['a large value', '/v1/users/large', {}],
  ['an export', '/v1/users', { Accept: 'application/x-ndjson' }],
  ['a large page', '/v1/users?include=all', {}],
  ['a list of a dialect', '/dialects/ozza/users', {}],
])('%s that is being sent breaks off', async (_what, path, headers) => {
  const { id, text } = await create()
  const wire = await connect()
  wire.write(request(text, 'GET', path, headers))
  wire.pauseSoon()
  await until(() => wire.received() > 0)
  await settle()
  await server.tokens.revoke(id)
  await settle()
  wire.resume()
  expect(await wire.response().catch(() => 'broken off')).toBe('broken off')
  expect(wire.received()).toBeLessThan(largeBytes)
})

test.each([
  ['a value', 'PUT', '/v1/users/half', 'application/json', '"half'],
  ['an import', 'POST', '/v1/users', 'application/x-ndjson', '{"key":"half","value":1}\n'],
  ['a batch', 'POST', '/v1/_batch', 'application/json', '{"operations":['],
  ['a value of a dialect', 'PUT', '/dialects/ozza/users', 'application/json', '{"id":"half"'],
])('%s that is being sent by the client is not stored', async (_what, method, path, type, body) => {
  const { id, text } = await create()
  const wire = await connect()
  wire.write(request(text, method, path, { 'Content-Type': type, 'Content-Length': '1000' }))
  wire.write(body)
  await wire.flushed()
  await settle()
  await server.tokens.revoke(id)
  expect(await wire.closed).toBe('reset')
  await settle()
  expect(await server.db.get('users', 'half')).toBeNull()
})

test('a request that waits for memory ends, and gives its turn to the next', async () => {
  const [first, second, third] = [await create(), await create(), await create()]
  const wires = [await connect(), await connect(), await connect()] as const
  for (const [i, { text }] of [first, second, third].entries()) {
    const wire = wires[i]!
    wire.pause()
    // Different values share no memory.
    await server.db.put('users', `large${i}`, contentOf(JSON.stringify(String(i).repeat(largeBytes))))
    wire.write(request(text, 'GET', `/v1/users/large${i}`))
    await wire.flushed()
    await settle()
  }
  await server.tokens.revoke(second.id)
  await settle()
  wires[1].resume()
  expect(await wires[1].closed).toBe('reset')
  expect(wires[1].received()).toBe(0)
  for (const wire of [wires[0], wires[2]]) {
    wire.resume()
    expect((await wire.response()).body.length).toBe(largeBytes + 2)
  }
})

test('a watch that a ticket opened ends with the token', async () => {
  const { id, text } = await create()
  const watching = await connect()
  const asked = await fetch(`${server.url}/v1/_tickets`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${text}`, 'Content-Type': 'application/json' },
    body: '{"path":"/v1/users"}',
  })
  const { ticket } = JSON.parse(await asked.text())
  const host = new URL(server.url).host
  watching.write(
    requestBytes('GET', `/v1/users?ticket=${ticket}`, {
      headers: { Host: host, Accept: 'text/event-stream' },
    }),
  )
  await until(() => watchers() === 1)
  await server.tokens.revoke(id)
  expect(await watching.closed).toBe('reset')
})

test.each([
  ['a watch', '/v1/users', { Accept: 'text/event-stream' }],
  ['a long poll', '/v1/users/other?wait=60s', { 'If-None-Match': '*' }],
])('%s ends when the token expires', async (_what, path, headers) => {
  const { text } = await create(now() + 60_000)
  const wire = await connect()
  wire.write(request(text, 'GET', path, headers))
  await until(() => watchers() === 1)
  aheadMs += 40_000
  timers.pass(2000)
  await settle()
  expect(watchers()).toBe(1)
  aheadMs += 20_000
  timers.pass(2000)
  expect(await wire.closed).toBe('reset')
  await until(() => watchers() === 0)
})
