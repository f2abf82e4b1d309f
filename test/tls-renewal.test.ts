import { afterAll, describe, expect } from 'bun:test'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { UsageError } from '../src/options.ts'
import { type Authority, type CertificateFiles, certificateFolder } from './support/certificates.ts'
import { until } from './support/engine.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { textClient } from './support/memcached/text-client.ts'
import { needing } from './support/needs.ts'
import { openWire, requestBytes } from './support/wire.ts'

/** TLS of `kvist serve`: renewed certificates, the memcached port, and clients at the wrong kind of port. */

const { test, beforeAll } = needing('openssl')

const folder = certificateFolder()
const used = { cert: join(folder.path, 'used.pem'), key: join(folder.path, 'used.key') }
const flags = ['--tls-cert', used.cert, '--tls-key', used.key]
let authority: Authority
let first: CertificateFiles
let second: CertificateFiles
const servers: ServerInProcess[] = []

beforeAll(async () => {
  authority = await folder.authority('authority')
  first = await authority.issue('first')
  second = await authority.issue('second')
  use(first)
})
afterAll(async () => {
  for (const server of servers) await server.stop()
  folder[Symbol.dispose]()
})

function use({ cert, key }: CertificateFiles): void {
  copyFileSync(cert, used.cert)
  copyFileSync(key, used.key)
}

async function serving(more: readonly string[] = flags): Promise<ServerInProcess> {
  const server = await serveInProcess({ flags: ['--allowed-host', 'x', ...more] })
  servers.push(server)
  return server
}

const trusting = () => ({ ca: readFileSync(authority.ca) })

/** Who the server says it is, to a new connection. */
function nameAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', ...trusting() }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

test('a renewed certificate is used by new connections, and those that are open go on', async () => {
  const server = await serving()
  const watch = await openWire(server.port, trusting())
  watch.write(requestBytes('GET', '/v1/c', { headers: { Accept: 'text/event-stream' } }))
  const kept = await openWire(server.port, trusting())
  const put = async () => {
    kept.write(requestBytes('PUT', '/v1/c/k', { body: '1' }))
    return (await kept.response('PUT')).status
  }
  expect([await put(), await nameAt(server.port)]).toEqual([201, 'first'])
  await until(() => watch.rest().includes('event: put'), 'the watch has the first put')

  copyFileSync(second.cert, used.cert)
  await until(() => server.output().includes('the key is not that of the certificate'), 'it is reported')
  expect(server.output()).toContain('the TLS certificate before stays in use')
  expect([await put(), await nameAt(server.port)]).toEqual([200, 'first'])

  use(second)
  await until(() => server.output().includes('the TLS certificate was read again'), 'it is renewed')
  expect(await nameAt(server.port)).toBe('second')
  const seen = watch.received()
  expect(await put()).toBe(200)
  await until(() => watch.received() > seen, 'the watch goes on')
  kept.destroy()
  watch.destroy()
  use(first)
})

test.each([
  ['tls-cert', 'the TLS certificate'],
  ['tls-key', 'the TLS key'],
])('a server whose --%s cannot be read does not start, and says which file', async (flag, what) => {
  const missing = join(folder.path, 'missing')
  await expect(serving([...flags, `--${flag}`, missing])).rejects.toThrow(
    new Error(`${what} ${missing} cannot be read: ENOENT`),
  )
})

test('a server without its key is a mistake of usage', async () => {
  await expect(serving(['--tls-cert', used.cert])).rejects.toBeInstanceOf(UsageError)
})

test('an expired certificate is served with a warning', async () => {
  const late = await serveInProcess({ flags, now: () => Date.now() + 7 * 24 * 3_600_000 })
  servers.push(late)
  expect(late.output()).toContain('the TLS certificate has expired')
})

describe('the memcached port', () => {
  const portOf = (server: ServerInProcess) => Number(/"memcached":"[^"]*:(\d+)"/.exec(server.output())?.[1])

  test('speaks TLS, too', async () => {
    const server = await serving([...flags, '--memcached-port', '0'])
    const client = await textClient(portOf(server), undefined, trusting())
    expect(await client.ask('set a 0 0 3\r\nabc\r\n', '\r\n')).toBe('STORED\r\n')
    const large = 'x'.repeat(900_000)
    expect(await client.ask(`set b 0 0 ${large.length}\r\n${large}\r\n`, '\r\n')).toBe('STORED\r\n')
    expect((await client.ask('get b\r\n', 'END\r\n')).length).toBeGreaterThan(large.length)
    client.endInput()
    await client.rest()
    const plain = await textClient(portOf(server))
    plain.send('get a\r\n')
    expect(await plain.rest()).toBe('ERROR this port speaks TLS\r\n')
  })

  test('speaks plain text where that is set, and rejects a client of TLS', async () => {
    const server = await serving([...flags, '--memcached-port', '0', '--memcached-no-tls'])
    const client = await textClient(portOf(server))
    expect(await client.ask('get a\r\n', 'END\r\n')).toBe('END\r\n')
    client.destroy()
    await expect(textClient(portOf(server), undefined, trusting())).rejects.toThrow()
    const raw = await textClient(portOf(server))
    raw.send(Buffer.from('16030100050100000101', 'hex'))
    expect(await raw.rest()).toBe('ERROR this port speaks plain text, not TLS\r\n')
    expect(server.output()).toContain('it speaks TLS, and this port plain text')
  })
})

test('TLS on the plain HTTP port gets a response that can be read, and a line in the log', async () => {
  const server = await serving([])
  const wire = await openWire(server.port)
  wire.write(Buffer.from('16030100050100000101', 'hex'))
  const { status, body } = await wire.response()
  expect([status, body.toString()]).toEqual([
    400,
    expect.stringContaining('this port speaks plain HTTP: the URL begins with http://'),
  ])
  await expect(openWire(server.port, trusting())).rejects.toThrow()
  expect(server.output().match(/a client spoke TLS to the HTTP port/g)).toHaveLength(1)
})

test('pages of the server itself have its https origin', async () => {
  const server = await serving()
  const statusFor = async (origin: string) => {
    const wire = await openWire(server.port, trusting())
    wire.write(requestBytes('GET', '/v1/none/k', { headers: { Host: 'localhost:443', Origin: origin } }))
    const { status } = await wire.response()
    wire.destroy()
    return status
  }
  expect(await statusFor('https://localhost')).toBe(404)
  expect(await statusFor('http://localhost')).toBe(403)
  expect(await statusFor('https://localhost:80')).toBe(403)
})
