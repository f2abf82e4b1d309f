import { afterAll, expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { type Authority, certificateFolder } from '../../../test/support/certificates.ts'
import { until } from '../../../test/support/engine.ts'
import { needing } from '../../../test/support/needs.ts'
import { openListener } from '../listener.ts'
import { ignoredEvents } from '../socket.ts'
import { startSockets } from '../sockets.ts'
import type { HandshakeFailure } from './handshake.ts'
import { readIdentity } from './identity.ts'

/** Handshakes of a listener whose clock the test moves; its protocol says to each client who it is. */

const { test, beforeAll } = needing('openssl')

const folder = certificateFolder()
let own: Authority
let server: { cert: string; key: string }
let clients: Authority
beforeAll(async () => {
  ;[own, clients] = await Promise.all([folder.authority('own'), folder.authority('clients')])
  server = await own.issue('server')
})
const opened: { stop(): Promise<void> }[] = []
afterAll(async () => {
  for (const listener of opened) await listener.stop()
  folder[Symbol.dispose]()
})

function listening({ maxHandshakes = 100, maxConnections = 100, clientCa = false } = {}) {
  const failures: HandshakeFailure[] = []
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const { registry } = startSockets(onError)
  registry.stop()
  const state = { registry, isFinished: true }
  const files = { certPath: server.cert, keyPath: server.key, clientCaPath: clientCa ? clients.ca : null }
  const listener = openListener({
    hostname: '127.0.0.1',
    port: 0,
    clients: 'clients of a test',
    registry,
    maxConnections,
    tls: {
      source: { identity: readIdentity(files) },
      maxHandshakes,
      handshakeTimeoutSeconds: 10,
      protocols: ['test/1'],
      onFailure: (failure) => failures.push(failure),
      plainTextResponse: () => 'speak TLS\n',
    },
    connect(socket, { subject }) {
      socket.write(`you are ${subject}\n`)
      return {
        ...ignoredEvents,
        receive: (bytes) => void socket.write(bytes),
        halfClosed: () => void socket.end(),
        checkTimeouts() {},
        finish() {},
        close: () => void socket.end(),
        get isFinished() {
          return state.isFinished
        },
        activity: 'busy',
        lastActive: 0,
      }
    },
    rejection: () => 'there is no room\n',
    onError,
  })
  opened.push({ stop: () => listener.stop(0) })
  return { listener, registry, state, failures, errors }
}

/** A client that keeps what it reads. */
function reading(socket: Socket) {
  const client = { socket, text: '', isClosed: false }
  socket.on('data', (part: Buffer) => {
    client.text += part
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    client.isClosed = true
  })
  return client
}

const plain = (port: number) => reading(connect(port, '127.0.0.1'))
const secure = (port: number, options: ConnectionOptions = {}) =>
  reading(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }))

/** The start of a ClientHello. */
const halfHello = Buffer.from('16030102000100', 'hex')

test('a handshake that stalls, or has not begun, is ended after its time', async () => {
  const { listener, registry, failures } = listening()
  const [silent, stalled] = [plain(listener.port), plain(listener.port)]
  stalled.socket.write(halfHello)
  await until(() => registry.open === 2, 'both are connected')
  const done = secure(listener.port)
  await until(() => done.text !== '', 'one has shaken hands')
  for (let second = 0; second < 10; second++) registry.passSecond()
  await Bun.sleep(20)
  expect([silent.isClosed, stalled.isClosed]).toEqual([false, false])
  registry.passSecond()
  await until(() => silent.isClosed && stalled.isClosed, 'they are disconnected')
  // One that sent nothing may be a check of a load balancer.
  expect(failures).toEqual([{ address: '127.0.0.1', why: 'it took longer than 10 s' }])
  expect(done.isClosed).toBe(false)
  done.socket.destroy()
})

test('a handshake beyond the limit ends the oldest, and no connection that is served', async () => {
  const { listener, registry } = listening({ maxHandshakes: 2 })
  const served = secure(listener.port)
  await until(() => served.text !== '', 'one is served')
  const stalled: ReturnType<typeof plain>[] = []
  for (let i = 0; i < 4; i++) {
    stalled.push(plain(listener.port))
    await until(() => registry.open === Math.min(i + 2, 3), 'it is connected')
    stalled[i]!.socket.write(halfHello)
    await Bun.sleep(5)
  }
  await until(() => stalled[0]!.isClosed && stalled[1]!.isClosed, 'the oldest are disconnected')
  const next = secure(listener.port)
  await until(() => next.text !== '', 'the next is served')
  expect([stalled[3]!.isClosed, served.isClosed]).toEqual([false, false])
  expect(listener.connections.open).toBe(2)
})

test('a client for which the listener has no room reads why', async () => {
  const { listener } = listening({ maxConnections: 1 })
  const first = secure(listener.port)
  await until(() => first.text !== '', 'the first is served')
  const second = secure(listener.port)
  await until(() => second.isClosed, 'the second is disconnected')
  expect([first.isClosed, second.text]).toEqual([false, 'there is no room\n'])
})

/** A client whose bytes pass through a relay, each on its own, and others of the test behind them. */
async function relayed(port: number) {
  const to = connect({ port, host: '127.0.0.1', noDelay: true })
  const relay = createServer((from) => {
    from.on('data', async (part: Buffer) => {
      for (const byte of part) {
        to.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    to.pipe(from)
    from.on('close', () => to.destroy())
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const address = relay.address()
  const client = secure(typeof address === 'object' ? address!.port : 0)
  await until(() => client.text !== '', 'it is served')
  relay.close()
  return { client, inject: (bytes: Buffer) => void to.write(bytes) }
}

test('a hello that comes byte by byte is understood', async () => {
  const { listener } = listening()
  const { client } = await relayed(listener.port)
  expect(client.text).toBe('you are null\n')
  client.socket.destroy()
})

test('a record that cannot be decrypted ends the connection, and is no error of the server', async () => {
  const { listener, errors, failures } = listening()
  const { client, inject } = await relayed(listener.port)
  inject(Buffer.from('170303001800112233445566778899aabbccddeeff0011223344556677', 'hex'))
  await until(() => client.isClosed, 'it is disconnected')
  await until(() => listener.connections.open === 0, 'the server knows')
  expect([errors, failures, client.text]).toEqual([[], [], 'you are null\n'])
})

test('a client without TLS reads what is wrong; other bytes are no error of the server', async () => {
  const { listener, failures, errors } = listening()
  const http = plain(listener.port)
  http.socket.write('GET / HTTP/1.1\r\n')
  await until(() => http.isClosed, 'it is disconnected')
  expect(http.text).toBe('speak TLS\n')
  const garbled = plain(listener.port)
  garbled.socket.write(Buffer.from('16030100051122334455', 'hex'))
  await until(() => garbled.isClosed, 'it is disconnected')
  const gone = plain(listener.port)
  gone.socket.write(halfHello)
  gone.socket.end()
  await until(() => failures.length === 2, 'both have failed')
  expect(failures[1]!.why).toContain('disconnected')
  expect(errors).toEqual([])
})

test('the subject of a verified certificate is known, and no other', async () => {
  const { listener, failures } = listening({ clientCa: true })
  const app = await clients.issue('app', '/DC=com/O=Acme, Inc/CN=Zoë')
  const stranger = await own.issue('stranger', '/CN=Zoë')
  const with_ = ({ cert, key }: { cert: string; key: string }) => ({
    cert: readFileSync(cert),
    key: readFileSync(key),
  })
  const [known, anonymous, foreign] = [
    secure(listener.port, with_(app)),
    secure(listener.port),
    secure(listener.port, with_(stranger)),
  ]
  await until(() => known.text !== '' && anonymous.text !== '' && foreign.isClosed, 'all have their answer')
  expect([known.text, anonymous.text, foreign.text]).toEqual([
    'you are CN=Zoë,O=Acme\\, Inc,DC=com\n',
    'you are null\n',
    '',
  ])
  expect(failures[0]!.why).toStartWith('its certificate is not accepted: ')
  // Where no certificates are asked for, one that is presented says nothing.
  const careless = listening()
  const client = secure(careless.listener.port, with_(app))
  await until(() => client.text !== '', 'it is served')
  expect(client.text).toBe('you are null\n')
})

test('a subject is known on a resumed session too', async () => {
  const { listener } = listening({ clientCa: true })
  const { cert, key } = await clients.issue('resumed')
  const options = { cert: readFileSync(cert), key: readFileSync(key), maxVersion: 'TLSv1.2' as const }
  const first = connectTls({ port: listener.port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  const session = new Promise<Buffer>((resolve) => first.once('session', resolve))
  const resumed = connectTls({
    port: listener.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...options,
    session: await session,
  })
  const client = reading(resumed)
  await until(() => client.text !== '', 'it is served')
  expect([resumed.isSessionReused(), client.text]).toEqual([true, 'you are CN=resumed\n'])
  first.destroy()
})

test('a stop ends handshakes at once, waits for connections, and in the end closes those that stay', async () => {
  const { listener, state } = listening()
  const served = secure(listener.port)
  await until(() => served.text !== '', 'one is served')
  const stalled = plain(listener.port)
  stalled.socket.write(halfHello)
  await until(() => state.registry.open === 2, 'the other is connected')
  state.isFinished = false
  const stopped = listener.stop(60_000)
  await until(() => stalled.isClosed, 'the handshake is ended')
  expect(served.isClosed).toBe(false)
  state.isFinished = true
  await stopped
  await until(() => served.isClosed, 'the connection is closed')
  expect(state.registry.open).toBe(0)
})
