import { afterAll, beforeAll, expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import { parseSamples, sampleOf } from './support/prometheus.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import { membersIn } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { chunkedRequest, openWire, requestBytes, type Wire } from './support/wire.ts'

/**
 * Requests of random kinds, written in random pieces over several connections, against a Map for each: whatever the
 * pieces are, each response is that to its request. A connection ends with something that is none, or nothing whole.
 */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

const connections = 8
const requestsOfEach = 500

type Model = Map<string, Buffer>

interface Step {
  readonly bytes: Buffer
  readonly method: string
  readonly status: number
  /** Of a value that is got. */
  readonly body?: Buffer
}

function randomValue(rng: Random): Buffer {
  const bytes = rng.pick([0, 1, 10, 1000, 20_000])
  const value = Buffer.alloc(rng.oneIn(40) ? 100_000 + rng.int(200_000) : rng.int(bytes + 1))
  // Line ends, and what looks like requests, are what a reader that is off would take for more than bytes.
  const pattern = rng.pick(['\r\n', '0\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', 'x', '\0\xff'])
  return value.fill(pattern, 'latin1')
}

function cutUp(rng: Random, bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  const mostBytes = Math.max(1, Math.floor(bytes.length / (1 + rng.int(5))))
  for (let at = 0; at < bytes.length; ) {
    const part = bytes.subarray(at, at + 1 + rng.int(mostBytes))
    parts.push(part)
    at += part.length
  }
  return parts
}

function headersOf(rng: Random): Record<string, string> {
  return {
    ...(rng.oneIn(3) ? { Accept: '*/*' } : {}),
    ...(rng.oneIn(10) ? { 'X-Padding': 'x'.repeat(rng.int(10_000)) } : {}),
    ...(rng.oneIn(10) ? { Connection: 'keep-alive' } : {}),
  }
}

function putBytes(rng: Random, path: string, value: Buffer): Buffer {
  const expecting = rng.oneIn(10) ? { Expect: '100-continue' } : {}
  const headers = { ...headersOf(rng), ...expecting, 'Content-Type': 'a/b' }
  if (rng.oneIn(2)) return requestBytes('PUT', path, { headers, body: value })
  const extension = rng.oneIn(3) ? `;${'x'.repeat(1 + rng.int(100))}` : ''
  const trailer = rng.oneIn(3) ? `X: ${'x'.repeat(rng.int(100))}\r\n` : ''
  return chunkedRequest('PUT', path, cutUp(rng, value), { headers, extension, trailer })
}

/** A request, with the response to it after all that were made before. */
function nextStep(rng: Random, collection: string, model: Model): Step {
  const key = String(rng.int(8))
  const path = rng.oneIn(20) ? `http://x/v1/${collection}/${key}` : `/v1/${collection}/${key}`
  const before = model.get(key)
  const method = rng.pick(['PUT', 'PUT', 'GET', 'GET', 'GET', 'HEAD', 'DELETE', 'POST', 'BREW'])
  if (method === 'PUT') {
    const value = randomValue(rng)
    model.set(key, value)
    return { bytes: putBytes(rng, path, value), method, status: before === undefined ? 201 : 200 }
  }
  const empty = rng.oneIn(5) ? '\r\n' : ''
  const body = rng.oneIn(3) ? { body: randomValue(rng).subarray(0, 10_000) } : {}
  const bytes = Buffer.concat([
    Buffer.from(empty),
    requestBytes(method, path, { headers: headersOf(rng), ...body }),
  ])
  if (method === 'POST' || method === 'BREW') return { bytes, method, status: 405 }
  if (before === undefined) return { bytes, method, status: 404 }
  if (method === 'DELETE') model.delete(key)
  return method === 'GET'
    ? { bytes, method, status: 200, body: before }
    : { bytes, method, status: method === 'HEAD' ? 200 : 204 }
}

/** What a connection ends with: nothing of it is stored. Null where it gets no response. */
function lastStep(
  rng: Random,
  collection: string,
): { readonly bytes: Buffer; readonly status: number | null } {
  const path = `/v1/${collection}/never`
  const never = requestBytes('PUT', path, { body: '1' })
  const whole = putBytes(rng, path, randomValue(rng))
  return rng.pick([
    { bytes: Buffer.alloc(0), status: null },
    { bytes: whole.subarray(0, rng.int(whole.length)), status: null },
    { bytes: Buffer.concat([Buffer.from(' \r\n'), never]), status: 400 },
    { bytes: Buffer.concat([Buffer.from(`PUT ${path} HTTP/1.1\r\nHost : x\r\n\r\n`), never]), status: 400 },
    { bytes: Buffer.concat([chunkedRequest('PUT', path, ['1'], { extension: '\n' }), never]), status: 400 },
    {
      bytes: Buffer.concat([requestBytes('GET', '/v1', { headers: { Connection: 'close' } }), never]),
      status: 200,
    },
  ])
}

async function writeInPieces(rng: Random, wire: Wire, bytes: Buffer): Promise<void> {
  let mostBytes = 1
  for (let at = 0; at < bytes.length; ) {
    if (rng.oneIn(10)) mostBytes = rng.pick([2, 30, 1000, 10_000, 100_000, 1_000_000])
    const part = bytes.subarray(at, at + 1 + rng.int(mostBytes))
    wire.write(part)
    at += part.length
    if (rng.oneIn(3)) await wire.flushed()
    // Rarely, for it takes a millisecond.
    if (rng.oneIn(mostBytes < 1000 ? 50 : 5)) await Bun.sleep(0)
  }
}

async function readAll(rng: Random, wire: Wire, steps: readonly Step[]): Promise<void> {
  for (const [i, { method, status, body, bytes }] of steps.entries()) {
    if (rng.oneIn(20)) {
      wire.pause()
      await Bun.sleep(rng.int(10))
      wire.resume()
    }
    const reply = await wire.response(method)
    const asked = `${i}: ${bytes.toString('latin1', 0, 60)}`
    expect([asked, reply.status]).toEqual([asked, status])
    if (body !== undefined && !reply.body.equals(body)) throw new Error(`${asked}: another value`)
    if (reply.headers.connection?.toLowerCase() === 'close') throw new Error(`${asked}: closed`)
  }
}

async function talk(rng: Random, collection: string, model: Model): Promise<void> {
  const steps = Array.from({ length: requestsOfEach }, () => nextStep(rng, collection, model))
  const last = lastStep(rng, collection)
  const wire = await openWire(server.port)
  const reading = readAll(random(rng.int(2 ** 32)), wire, steps)
  await Promise.all([
    reading,
    writeInPieces(rng, wire, Buffer.concat([...steps.map(({ bytes }) => bytes), last.bytes])),
  ])
  if (last.status === null) {
    wire.end()
    await wire.closed
    return
  }
  expect((await wire.response()).status).toBe(last.status)
  expect(await wire.closed).toBe('ended')
  expect(wire.rest().length).toBe(0)
}

test('requests in random pieces get the responses of whole ones', async () => {
  const rng = random(seedOfRun())
  const talks = Array.from({ length: connections }, (_, i) => ({
    collection: `random-${i}`,
    model: new Map<string, Buffer>(),
    rng: random(rng.int(2 ** 32)),
  }))
  await Promise.all(talks.map(({ rng: own, collection, model }) => talk(own, collection, model)))
  for (const { collection, model } of talks) {
    const url = `${server.url}/v1/${collection}`
    const keys = (await membersIn(url, '?include=keys')).map(({ key }) => key)
    expect([collection, ...keys]).toEqual([collection, ...[...model.keys()].toSorted()])
    for (const [key, value] of model) {
      expect(value.equals(await (await fetch(`${url}/${key}`)).bytes())).toBe(true)
    }
  }
})

/** What changes the meaning of a head, or of a body, where it is put. */
const splinters = [
  ...[
    '\r\n',
    '\n',
    '\r',
    '\0',
    ' ',
    '\t',
    ':',
    '\r\n\r\n',
    '0\r\n\r\n',
    '/',
    '?',
    '#',
    '%',
    ';',
    ',',
    '-',
    '+',
    '1',
  ],
  ...[
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: x\r\n',
    'HTTP/1.0',
    'Connection: close\r\n',
  ],
  ...[
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'Expect: 100-continue\r\n',
    'ffffffffff\r\n',
    '9999999999',
    '\xff',
    '\xc3\xa9',
  ],
]

function mangled(rng: Random, bytes: Buffer): Buffer {
  const at = rng.int(bytes.length + 1)
  const before = bytes.subarray(0, at)
  const parts = rng.pick([
    () => [before, Buffer.from(rng.pick(splinters), 'latin1'), bytes.subarray(at)],
    () => [before, bytes.subarray(at + 1 + rng.int(5))],
    () => [before, Buffer.of(rng.int(256)), bytes.subarray(at + 1)],
    () => [before, bytes.subarray(rng.int(at + 1))],
  ])()
  return Buffer.concat(parts)
}

async function talkMangled(rng: Random): Promise<void> {
  const path = '/v1/mangled/k'
  let bytes: Buffer = Buffer.concat(
    Array.from({ length: 1 + rng.int(4) }, () =>
      rng.pick([
        () => putBytes(rng, path, Buffer.from('12345')),
        () => requestBytes('GET', path),
        () => requestBytes('DELETE', path, { body: 'x' }),
        () =>
          requestBytes('PATCH', path, {
            headers: { 'Content-Type': 'application/merge-patch+json' },
            body: '{}',
          }),
        () => requestBytes('GET', '/v1/mangled', { headers: { Accept: 'application/x-ndjson' } }),
        () => requestBytes('GET', '/v1/mangled?limit=3&include=keys'),
        () =>
          chunkedRequest('POST', '/v1/mangled', ['{"key":"a",', '"value":1}'], {
            headers: { 'Content-Type': 'application/x-ndjson' },
          }),
      ])(),
    ),
  )
  for (let i = rng.int(3); i >= 0; i--) bytes = mangled(rng, bytes)
  const wire = await openWire(server.port)
  const cut = rng.int(bytes.length + 1)
  wire.write(bytes.subarray(0, cut))
  if (rng.oneIn(3)) await Bun.sleep(0)
  wire.write(bytes.subarray(cut))
  wire.end()
  await Promise.race([
    wire.closed,
    Bun.sleep(10_000).then(() => {
      throw new Error(`not closed: ${JSON.stringify(bytes.toString('latin1'))}`)
    }),
  ])
  const fault = /HTTP\/1\.1 50[02346-9]/.exec(wire.rest().toString('latin1'))
  if (fault !== null) throw new Error(`${fault[0]} to ${JSON.stringify(bytes.toString('latin1'))}`)
}

test('what is mangled gets a response or is refused, then closed', async () => {
  const rng = random(seedOfRun())
  for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 20 }, () => talkMangled(rng)))
})

test('nothing of all that is left', async () => {
  const openRequests = async () =>
    sampleOf(parseSamples(await (await fetch(`${server.url}/metrics`)).text()), 'kvist_open_requests', {})
  await until(async () => (await openRequests()) === 1, 'this one is the only request')
  expect(server.output()).not.toContain('"level":"error"')
})
