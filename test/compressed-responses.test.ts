import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { jsonOf } from './support/responses.ts'
import { openWire, requestBytes, type WireResponse } from './support/wire.ts'

/** Responses in the coding that a client accepts, as they are on the wire. */

const members = 3000
const decoders: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
  br: zlib.brotliDecompressSync,
  zstd: zlib.zstdDecompressSync,
}

let server: InProcessServer
let port: number
beforeAll(async () => {
  server = await startInProcess()
  port = Number(new URL(server.url).port)
  for (const collection of ['many', 'keys', 'cache']) {
    const lines = Array.from({ length: members }, (_, i) => {
      const value = { id: `${i}`, name: `Person ${i}`, text: 'x'.repeat(i % 50) }
      return `{"key":"k${String(i).padStart(5, '0')}","value":${JSON.stringify(value)}}`
    })
    const headers = { 'content-type': 'application/x-ndjson' }
    await jsonOf(fetch(`${server.url}/v1/${collection}`, { method: 'POST', body: lines.join('\n'), headers }))
  }
  await fetch(`${server.url}/v1/small/k`, { method: 'PUT', body: '1' })
})
afterAll(() => server.stop())

/** `fetch` would decode it. */
async function get(
  path: string,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): Promise<WireResponse> {
  const wire = await openWire(port)
  wire.write(requestBytes(method, path, { headers: { Host: 'localhost', ...headers } }))
  const reply = await wire.response(method)
  wire.destroy()
  return reply
}

const lines = { Accept: 'application/x-ndjson' }
const compressible: [what: string, path: string, headers: Readonly<Record<string, string>>][] = [
  ['a page', '/v1/many?limit=50', {}],
  ['a large page', '/v1/many?limit=2000', {}],
  ['an export', '/v1/many?include=values', lines],
  ['a page of the feed', '/v1/_changes?limit=100', {}],
  ['the document', '/openapi.json', {}],
  ['the script of the page', '/docs/swagger-ui-bundle.js', {}],
  ['the style of the page', '/docs/swagger-ui.css', {}],
  ['a list of a dialect', '/dialects/ozza/many', {}],
  ['another', '/dialects/keys/keys', {}],
  ['and another', '/dialects/tenantbase/get-values', {}],
]

describe.each(Object.entries(decoders))('%s', (coding, decode) => {
  test.each(compressible)('is the coding of %s for who asks for it', async (_what, path, headers) => {
    const plain = await get(path, headers)
    const response = await get(path, { ...headers, 'Accept-Encoding': coding })
    expect(plain.headers['content-encoding']).toBeUndefined()
    expect(response.headers['content-encoding']).toBe(coding)
    expect(decode(response.body).equals(plain.body)).toBe(true)
    expect(response.body.length).toBeLessThan(plain.body.length * 0.6)
    for (const one of [plain, response]) {
      expect(one.status).toBe(200)
      expect(one.headers.vary).toContain('Accept-Encoding')
      expect(one.headers.etag).toBe(plain.headers.etag!)
    }
  })
})

test.each([
  ['a read of a few members', 100],
  // Beyond 256 KiB of values.
  ['a read that is streamed', 10_000],
])('%s is compressed as the client asks', async (_what, count) => {
  const refs = Array.from({ length: count }, (_, i) => ({
    collection: 'many',
    key: `k${String(i % members).padStart(5, '0')}`,
  }))
  const read = async (headers: Readonly<Record<string, string>>) => {
    const wire = await openWire(port)
    const body = JSON.stringify({ members: refs })
    wire.write(requestBytes('POST', '/v1/_read', { headers: { Host: 'localhost', ...headers }, body }))
    const response = await wire.response('POST')
    wire.destroy()
    return response
  }
  const plain = await read({})
  expect([plain.status, JSON.parse(plain.body.toString()).members.length]).toEqual([200, refs.length])
  for (const [coding, decode] of Object.entries(decoders)) {
    const response = await read({ 'Accept-Encoding': coding })
    expect([response.headers['content-encoding'], response.headers.vary]).toEqual([coding, 'Accept-Encoding'])
    expect(decode(response.body).equals(plain.body)).toBe(true)
  }
})

test.each([
  ['gzip, deflate, br, zstd', 'zstd'],
  ['gzip, deflate, br', 'br'],
  ['gzip, deflate', 'gzip'],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['*', 'zstd'],
  ['gzip;q=1.0, *;q=0.5', 'gzip'],
  ['zstd;q=0, *', 'br'],
  ['gzip;q=0.5, br;q=0.9, zstd;q=0.1', 'br'],
  ['identity;q=0.5, gzip;q=0.5', 'gzip'],
  ['identity, gzip;q=0.5', undefined],
  ['identity', undefined],
  ['gzip;q=0', undefined],
  ['*;q=0', undefined],
  ['compress, nonsense', undefined],
  ['', undefined],
  ['gzip;q=x', undefined],
])('of "%s" the coding is %s', async (accepted, coding) => {
  const { headers } = await get('/v1/many', { 'Accept-Encoding': accepted })
  expect(headers['content-encoding']).toBe(coding!)
})

test('what is small, a value, an event stream and an error are sent as they are', async () => {
  const accepted = { 'Accept-Encoding': 'gzip' }
  await fetch(`${server.url}/v1/large/k`, { method: 'PUT', body: JSON.stringify('x'.repeat(100_000)) })
  for (const path of ['/v1/small', '/v1', '/v1/large/k', '/v1/many?limit=x', '/healthz', '/']) {
    const { headers } = await get(path, accepted)
    expect([path, headers['content-encoding']]).toEqual([path, undefined])
  }
  const wire = await openWire(port)
  wire.write(
    requestBytes('GET', '/v1/many?since=0', {
      headers: { Host: 'localhost', Accept: 'text/event-stream', ...accepted },
    }),
  )
  while (wire.received() < 1000) await Bun.sleep(1)
  expect(wire.rest().toString('latin1')).not.toMatch(/content-encoding/i)
  wire.destroy()
})

test('HEAD says what GET would', async () => {
  for (const [, path, headers] of compressible) {
    const accepted = { ...headers, 'Accept-Encoding': 'gzip' }
    const [head, whole] = [await get(path, accepted, 'HEAD'), await get(path, accepted)]
    expect(head.headers['content-encoding']).toBe('gzip')
    expect(head.headers['content-length']).toBe(whole.headers['content-length']!)
  }
})

test('what is compressed is not modified where what it was is not', async () => {
  const { headers } = await get('/v1/many', { 'Accept-Encoding': 'gzip' })
  const again = await get('/v1/many', { 'Accept-Encoding': 'br', 'If-None-Match': headers.etag! })
  expect(again.status).toBe(304)
  expect(again.headers['content-encoding']).toBeUndefined()
})

test('an export goes on while it is read, and ends when its client goes', async () => {
  for (const coding of Object.keys(decoders)) {
    const wire = await openWire(port)
    wire.write(
      requestBytes('GET', '/v1/many', {
        headers: { Host: 'localhost', ...lines, 'Accept-Encoding': coding },
      }),
    )
    while (wire.received() < 200) await Bun.sleep(1)
    wire.destroy()
  }
  expect((await get('/v1/many', { ...lines, 'Accept-Encoding': 'gzip' })).status).toBe(200)
  expect(server.errors).toEqual([])
})
