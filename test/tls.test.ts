import { afterAll, describe, expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type Authority, type CertificateFiles, certificateFolder } from './support/certificates.ts'
import { until } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { sendRaw } from './support/raw.ts'
import { startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'
import { expectEnded, openWire, putBytes, requestBytes, type Wire } from './support/wire.ts'

/** TLS on the HTTP port: what the wire promises without it holds with it, and what TLS itself promises. */

const { test, beforeAll: prepare } = needing('openssl')

const folder = certificateFolder()
let authority: Authority
let clients: Authority
let app: CertificateFiles
let server: TestServer
let closed: TestServer

prepare(async () => {
  ;[authority, clients] = await Promise.all([folder.authority('own'), folder.authority('clients')])
  const own = await authority.issue('server')
  app = await clients.issue('app', '/O=Acme, Inc/CN=app')
  const flags = ['--tls-cert', own.cert, '--tls-key', own.key]
  ;[server, closed] = await Promise.all([
    startServer({ flags }),
    startServer({ flags: [...flags, '--tls-client-ca', clients.ca], env: { KVIST_TOKEN: 's3cret' } }),
  ])
})
afterAll(async () => {
  await Promise.all([server?.remove(), closed?.remove()])
  folder[Symbol.dispose]()
})

const trusting = () => ({ ca: readFileSync(authority.ca) })
const presenting = ({ cert, key }: CertificateFiles) => ({
  ...trusting(),
  cert: readFileSync(cert),
  key: readFileSync(key),
})

/** What a command of `openssl s_client` prints when it sends this. */
async function openssl(port: number, flags: readonly string[], input = ''): Promise<string> {
  const command = ['openssl', 's_client', '-connect', `127.0.0.1:${port}`, '-CAfile', authority.ca, ...flags]
  const { stdout, stderr } = await runToEnd(command, { stdin: new Blob([input]) })
  return stdout + stderr
}

async function expectValue(wire: Wire, value: string): Promise<void> {
  wire.write(requestBytes('GET', '/v1/tls/k'))
  expect((await wire.response()).body.toString()).toBe(value)
}

describe('a server with a certificate', () => {
  test('announces and serves https', async () => {
    expect(server.url).toBe(`https://127.0.0.1:${server.port}`)
    expect(server.output()).toContain('"certificate":"DNS:localhost, IP Address:127.0.0.1"')
    const tls = trusting()
    expect((await fetch(`${server.url}/v1/tls/f`, { method: 'PUT', body: '1', tls })).status).toBe(201)
    expect(await (await fetch(`${server.url}/v1/tls/f`, { tls })).text()).toBe('1')
    await expect(fetch(`${server.url}/v1/tls/f`)).rejects.toThrow(/certificate/)
  })

  test('speaks TLS 1.2 and 1.3, and nothing older or weaker', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const wire = await openWire(server.port, { ...trusting(), minVersion: version, maxVersion: version })
      wire.write(requestBytes('GET', '/healthz'))
      expect((await wire.response()).status).toBe(200)
      wire.destroy()
    }
    const weak = ['-cipher', 'ALL:@SECLEVEL=0']
    for (const version of ['-tls1', '-tls1_1']) {
      expect([version, await openssl(server.port, [version, ...weak])]).toEqual([
        version,
        expect.stringContaining('alert protocol version'),
      ])
    }
    for (const cipher of ['AES128-SHA', 'ECDHE-ECDSA-AES128-SHA', 'AES128-GCM-SHA256'])
      expect([cipher, await openssl(server.port, ['-tls1_2', '-cipher', cipher])]).toEqual([
        cipher,
        expect.stringContaining('alert handshake failure'),
      ])
  })

  test('negotiates HTTP/1.1, and refuses who would speak nothing else', async () => {
    expect(await openssl(server.port, ['-alpn', 'h2,http/1.1'])).toContain('ALPN protocol: http/1.1')
    expect(await openssl(server.port, ['-alpn', 'h2'])).toContain('alert no application protocol')
  })

  test('refuses a renegotiation', async () => {
    // A line with R asks for one.
    expect(await openssl(server.port, ['-tls1_2'], 'R\n')).toContain('no renegotiation')
  })

  test('rejects a client without TLS with a reason in plain text', async () => {
    const reply = await sendRaw(server.port, 'GET /v1/tls HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(reply).toMatchObject({ status: 400, headers: { connection: 'close' } })
    expect(reply?.body).toContain('this port speaks TLS: the URL begins with https://')
  })

  test('keeps a pipeline in order, and responds to a client that has closed its side', async () => {
    const wire = await openWire(server.port, trusting())
    for (let i = 0; i < 300; i++) wire.write(putBytes('/v1/tls/k', `${i}`))
    for (let i = 0; i < 300; i++) expect((await wire.response('PUT')).status).toBeWithin(200, 202)
    await expectValue(wire, '299')
    wire.write(requestBytes('GET', '/v1/tls/k'))
    wire.end()
    expect((await wire.response()).body.toString()).toBe('299')
    await expectEnded(wire)
  })

  test('takes and sends large values whole, at the pace of the reader', async () => {
    const value = Buffer.alloc(6 * 1024 * 1024, 'abcdefghijklmnop\n')
    const wire = await openWire(server.port, trusting())
    wire.write(requestBytes('PUT', '/v1/tls/large', { headers: { 'Content-Type': 'a/b' }, body: value }))
    expect((await wire.response('PUT')).status).toBe(201)
    const before = wire.received()
    wire.pauseSoon()
    wire.write(requestBytes('GET', '/v1/tls/large', { headers: { Connection: 'close' } }))
    await until(() => wire.received() > before, 'the response has begun')
    expect(wire.received()).toBeLessThan(value.length)
    wire.resume()
    expect((await wire.response()).body.equals(value)).toBe(true)
    await expectEnded(wire)
  })
})

describe('client certificates', () => {
  const statusOf = async (wire: Wire, headers: Record<string, string> = {}) => {
    wire.write(requestBytes('GET', '/v1/tls/none', { headers }))
    return (await wire.response()).status
  }

  test('are asked for, and who has none needs a token', async () => {
    const wire = await openWire(closed.port, trusting())
    expect(await statusOf(wire)).toBe(401)
    expect(await statusOf(wire, { Authorization: 'Bearer s3cret' })).toBe(404)
    wire.destroy()
  })

  test('of the authority are accepted', async () => {
    const wire = await openWire(closed.port, presenting(app))
    expect(await statusOf(wire, { Authorization: 'Bearer s3cret' })).toBe(404)
    wire.destroy()
  })

  test('of another authority are refused before a request is read, also with a session of before', async () => {
    const stranger = presenting(await authority.issue('stranger'))
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = connectTls({ port: closed.port, host: '127.0.0.1', maxVersion, ...stranger })
      const session = sessionOf(socket)
      socket.on('secureConnect', () => socket.write(requestBytes('GET', '/healthz')))
      expect(await readToEnd(socket)).toBe('')
      const resumed = { ...stranger, maxVersion, session: await session }
      const again = connectTls({ port: closed.port, host: '127.0.0.1', ...resumed })
      again.on('secureConnect', () => again.write(requestBytes('GET', '/healthz')))
      expect(await readToEnd(again)).toBe('')
    }
    await until(
      () => closed.output().includes('its certificate is not accepted'),
      'the refusal has been logged',
    )
  })
})

/** A session that the client could resume, if it got one before the connection ended. */
function sessionOf(socket: TLSSocket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    socket.on('session', resolve)
    socket.on('close', () => resolve(socket.getSession()))
  })
}

function readToEnd(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (part: Buffer) => {
      text += part
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}
