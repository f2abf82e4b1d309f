import { afterAll, describe, expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { certificateFolder } from './support/certificates.ts'
import { until } from './support/engine.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'

/** HTTP/2 over TLS: the same routes, with the promises that HTTP/1.1 has. */

const { test, beforeAll } = needing('openssl')

const folder = certificateFolder()
const rootToken = 'root-secret'
let flags: string[]
let ca: Buffer
let server: ServerInProcess
beforeAll(async () => {
  const authority = await folder.authority('authority')
  const own = await authority.issue('server')
  ca = readFileSync(authority.ca)
  flags = ['--tls-cert', own.cert, '--tls-key', own.key, '--http2', '--idle-timeout', '2s']
  server = await serveInProcess({ flags, env: { KVIST_TOKEN: rootToken } })
})
const sessions: ClientHttp2Session[] = []
afterAll(async () => {
  for (const session of sessions) session.destroy()
  await server?.stop()
  folder[Symbol.dispose]()
})

function sessionTo({ port }: ServerInProcess): ClientHttp2Session {
  const session = connect(`https://localhost:${port}`, { ca })
  session.on('error', () => {})
  sessions.push(session)
  return session
}

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

function begin(
  session: ClientHttp2Session,
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
): ClientHttp2Stream {
  const stream = session.request({ ':method': method, ':path': path, ...bearer(rootToken), ...headers })
  stream.on('error', () => {})
  return stream
}

function replyOf(stream: ClientHttp2Stream): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let headers: IncomingHttpHeaders | undefined
    stream.on('response', (given) => {
      headers = given
    })
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('close', () => {
      if (headers === undefined) reject(new Error(`reset with ${stream.rstCode}`))
      else resolve({ status: Number(headers[':status']), headers, body: Buffer.concat(parts) })
    })
  })
}

function send(
  session: ClientHttp2Session,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string | number> = {},
): Promise<Reply> {
  const stream = begin(session, method, path, headers)
  stream.end(body)
  return replyOf(stream)
}

const endStream = 1
const endHeaders = 4
const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4 }

/** A frame of the first stream, or of the connection. */
function frame(type: keyof typeof frameTypes, flags: number, payload: Buffer, streamId = 1): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = frameTypes[type]
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

/** Short header fields in the simplest form that HPACK has. */
function literalFields(fields: readonly string[]): Buffer {
  const parts = fields.flatMap((text, i) => [...(i % 2 === 0 ? [0] : []), text.length, ...Buffer.from(text)])
  return Buffer.from(parts)
}

async function metric(pattern: RegExp): Promise<number> {
  const metrics = await fetch(`${server.url}/metrics`, { headers: bearer(rootToken), tls: { ca } })
  return Number(pattern.exec(await metrics.text())?.[1])
}

/** How many requests are open besides the one that asks. */
const openRequests = async () => (await metric(/^kvist_open_requests (\d+)/m)) - 1
/** Memory of large values on their way to clients. */
const valueBytes = () => metric(/^kvist_request_memory_bytes\{purpose="values"\} (\d+)/m)

test('the routes respond as over HTTP/1.1', async () => {
  const session = sessionTo(server)
  expect((await send(session, 'PUT', '/v1/c/k', '{"a":1}')).status).toBe(201)
  const { status, headers, body } = await send(session, 'GET', '/v1/c/k')
  expect([status, body.toString(), headers.etag, headers['content-length']]).toEqual([
    200,
    '{"a":1}',
    '"1"',
    '7',
  ])
  expect(headers.connection).toBeUndefined()
  const head = await send(session, 'HEAD', '/v1/c/k')
  expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '7', 0])
  expect((await send(session, 'GET', '/v1/c/k', undefined, { 'if-none-match': '"1"' })).status).toBe(304)
  expect((await send(session, 'DELETE', '/v1/c/k')).status).toBe(204)
  expect((await send(session, 'GET', '/v1/c/k', undefined, { authorization: 'Bearer x' })).status).toBe(401)
  const long = begin(session, 'PUT', '/v1/c/long', { 'content-length': 17_000_000 })
  long.write('begun')
  expect((await replyOf(long)).status).toBe(413)
  expect((await send(session, 'GET', `/${'x'.repeat(9000)}`)).status).toBe(414)
})

test('a hundred requests are served at once, and each long one by itself', async () => {
  const session = sessionTo(server)
  const watches = Array.from({ length: 20 }, () =>
    begin(session, 'GET', '/v1/many', { accept: 'text/event-stream' }),
  )
  const seen = watches.map(() => '')
  watches.forEach((watch, i) => {
    watch.on('data', (part: Buffer) => {
      seen[i] = `${seen[i]}${part}`
    })
    watch.end()
  })
  await until(() => seen.every((text) => text !== ''), 'all watch')
  const puts = Array.from({ length: 60 }, (_, i) => send(session, 'PUT', `/v1/many/${i}`, String(i)))
  expect((await Promise.all(puts)).every(({ status }) => status === 201)).toBe(true)
  await until(() => seen.every((text) => text.split('event: put').length === 61), 'all have seen all')
  for (const watch of watches) watch.close()
})

test('large values go in and out whole', async () => {
  const session = sessionTo(server)
  const value = Buffer.alloc(8 * 1024 * 1024, 'abcdefg\n')
  const put = begin(session, 'PUT', '/v1/large/k', { 'content-type': 'a/b' })
  put.write(value.subarray(0, 5_000_001)) // without a length
  put.end(value.subarray(5_000_001))
  expect((await replyOf(put)).status).toBe(201)
  const { body } = await send(session, 'GET', '/v1/large/k')
  expect(body.equals(value)).toBe(true)
})

/** A client that writes its frames by hand, and has sent the head of a request. */
function rawRequest(
  method: string,
  path: string,
  fields: readonly string[] = [],
  flags = 0,
  port = server.port,
) {
  const socket = connectTls({ port, host: 'localhost', ca, ALPNProtocols: ['h2'] })
  const target = [':method', method, ':scheme', 'https', ':path', path, ':authority', 'localhost']
  const more = ['authorization', `Bearer ${rootToken}`, 'content-type', 'a/b', ...fields]
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(frame('settings', 0, Buffer.alloc(0), 0))
  socket.write(frame('headers', endHeaders | flags, literalFields([...target, ...more])))
  return socket
}

test('a response that is not read holds its share of the memory for values', async () => {
  const session = sessionTo(server)
  await send(session, 'PUT', '/v1/large/unread', Buffer.alloc(1024 * 1024), { 'content-type': 'a/b' })
  // Its windows are those of the beginning, 64 KiB.
  const socket = rawRequest('GET', '/v1/large/unread', [], endStream)
  let received = 0
  socket.on('data', (part: Buffer) => {
    received += part.length
  })
  await until(() => received > 65_535, 'the windows are used up')
  await Bun.sleep(50)
  expect(received).toBeLessThan(100_000)
  expect(await valueBytes()).toBeGreaterThanOrEqual(1024 * 1024)
  socket.destroy()
  await until(async () => (await valueBytes()) === 0, 'its memory is released')
})

describe('a body', () => {
  test.each([
    ['longer', `123${'PUT /v1/raw/k HTTP/1.1\r\nHost: x\r\n'}Authorization: Bearer ${rootToken}\r\n\r\n`],
    ['shorter', '1'],
  ])('%s than its declared length is not stored, nor is what is beyond it a request', async (_how, body) => {
    const socket = rawRequest('PUT', '/v1/raw/k', ['content-length', '3'])
    socket.write(frame('data', 0, Buffer.from(body)))
    await Bun.sleep(20)
    socket.write(frame('data', endStream, Buffer.alloc(0)))
    await until(async () => (await openRequests()) === 0, 'the request has ended')
    expect((await send(sessionTo(server), 'GET', '/v1/raw/k')).status).toBe(404)
    socket.destroy()
  })

  test.each([
    ['resets it', frame('reset', 0, Buffer.from([0, 0, 0, 8]))],
    ['leaves', null],
  ])('whose client %s in the middle is not stored', async (_how, last) => {
    const socket = rawRequest('PUT', '/v1/raw/k')
    socket.write(frame('data', 0, Buffer.from('half')))
    await until(async () => (await openRequests()) === 1, 'the request has begun')
    if (last === null) socket.destroy()
    else socket.write(last)
    await until(async () => (await openRequests()) === 0, 'the request has ended')
    expect((await send(sessionTo(server), 'GET', '/v1/raw/k')).status).toBe(404)
    socket.destroy()
  })
})

test('a client that stops sending, or does nothing, is disconnected in its time', async () => {
  const session = sessionTo(server)
  const stalled = begin(session, 'PUT', '/v1/c/stalled', { 'content-type': 'a/b' })
  stalled.write('half')
  const ended = new Promise((resolve) => stalled.on('close', resolve))
  const goodbye = new Promise((resolve) => session.on('goaway', resolve))
  await ended
  expect(await goodbye).toBe(0)
  expect((await send(sessionTo(server), 'GET', '/v1/c/stalled')).status).toBe(404)
})

test('a client that closes its side gets its response, and is then disconnected without waiting', async () => {
  // Its idle timeout is longer than a test may take.
  const patient = await serveInProcess({ flags: [...flags, '--idle-timeout', '255s'] })
  for (const hasRequest of [true, false]) {
    const socket = hasRequest
      ? rawRequest('GET', '/v1/c/none', [], endStream, patient.port)
      : connectTls({ port: patient.port, host: 'localhost', ca, ALPNProtocols: ['h2'] })
    const closed = new Promise((resolve) => socket.on('close', resolve))
    let received = 0
    socket.on('data', (part: Buffer) => {
      received += part.length
    })
    await until(() => received > 0, 'the server has spoken')
    socket.end()
    await closed
    if (hasRequest) expect(received).toBeGreaterThan(100)
  }
  await patient.stop()
})

test('a watch ends when its token is revoked, and other streams of the connection go on', async () => {
  const session = sessionTo(server)
  const grants = [{ collections: '*', can: ['read'] }]
  const created = await send(session, 'POST', '/v1/_tokens', JSON.stringify({ name: 'app', grants }), {
    'content-type': 'application/json',
  })
  const { id, token } = JSON.parse(created.body.toString())
  const watch = begin(session, 'GET', '/v1/c', { accept: 'text/event-stream', ...bearer(token) })
  let seen = ''
  watch.on('data', (part: Buffer) => {
    seen += part
  })
  watch.end()
  await until(() => seen !== '', 'it watches')
  const ended = new Promise((resolve) => watch.on('close', resolve))
  expect((await send(session, 'DELETE', `/v1/_tokens/${id}`)).status).toBe(204)
  await ended
  expect((await send(session, 'GET', '/v1/c')).status).toBe(200)
})

test('a stop ends watches and closes connections', async () => {
  const stopping = await serveInProcess({ flags: [...flags, '--stop-timeout', '5s'] })
  const session = sessionTo(stopping)
  const watch = begin(session, 'GET', '/v1/c', { accept: 'text/event-stream' })
  const ended = replyOf(watch)
  watch.end()
  await new Promise((resolve) => watch.on('response', resolve))
  const closed = new Promise((resolve) => session.on('close', resolve))
  await stopping.stop()
  expect([(await ended).status, watch.rstCode]).toEqual([200, 0])
  await closed
})

test('without --http2 there is none', async () => {
  const plain = await serveInProcess({ flags: flags.filter((flag) => flag !== '--http2') })
  const session = sessionTo(plain)
  await new Promise((resolve) => session.on('close', resolve))
  expect((await fetch(`${plain.url}/healthz`, { tls: { ca } })).status).toBe(200)
  await plain.stop()
})
