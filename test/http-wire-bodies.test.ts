import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { until } from './support/engine.ts'
import { allBytes, membersIn } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import {
  chunkedRequest,
  expectEnded,
  expectRefusal,
  isOpenAt,
  openWire,
  putBytes,
  requestBytes,
  type Wire,
} from './support/wire.ts'
import { expectAlive, get, startWithValue } from './support/wire-server.ts'

/** Bodies of requests and responses: how long they are, and where they end (RFC 9112, 6 to 7). */

let server: TestServer
beforeAll(async () => {
  server = await startWithValue()
})
afterAll(() => server.remove())

const intruder = putBytes('/v1/bad/intruder', '1')

describe('lengths and codings', () => {
  const head = 'PUT /v1/bad/k HTTP/1.1\r\nHost: x\r\n'
  const length = (value: string): [string, string] => [value, `${head}Content-Length: ${value}\r\n\r\n12345`]
  const coding = (value: string): [string, string] => [
    value,
    `${head}Transfer-Encoding: ${value}\r\n\r\n1\r\n1\r\n0\r\n\r\n`,
  ]
  const chunks = (what: string, body: string): [string, string] => [
    what,
    `${head}Transfer-Encoding: chunked\r\n\r\n${body}`,
  ]
  const long = 'x'.repeat(5000)

  const malformed: readonly (readonly [string, string])[] = [
    ...['', '+5', '-1', '-0', '0x5', '5, 5', '5,5', '5 5', '5;', '5.0', '1e1', '٥', 'five', '"5"'].map(
      length,
    ),
    ...['99999999999999999999', '18446744073709551617', `1${'0'.repeat(400)}`].map(length),
    ['both', `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['both the other way', `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
    ['two codings', `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['HTTP/1.0', `PUT /v1/bad/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n`],
    ...['', 'g', '-1', '+1', '0x1', '1 1', '1.', '"1"', ',1', ';', ';x=1', '\0', ' ', '１'].map((size) =>
      chunks(`chunk size ${size}`, `${size}\r\n1\r\n0\r\n\r\n`),
    ),
    chunks('a size of 16 digits', `fffffffffffffff1\r\n1\r\n0\r\n\r\n`),
    chunks('a size of 17 digits', `10000000000000001\r\n1\r\n0\r\n\r\n`),
    chunks('no end of a chunk', '1\r\n10\r\n\r\n'),
    chunks('an end with LF', '1\r\n1\n0\r\n\r\n'),
    chunks('an end with CR', '1\r\n1\r0\r\n\r\n'),
    chunks('a size with LF', '1\n1\r\n0\r\n\r\n'),
    chunks('a last chunk with LF', '1\r\n1\r\n0\n\r\n'),
    chunks('a last line with LF', '1\r\n1\r\n0\r\n\n'),
    chunks('a trailer with LF', '1\r\n1\r\n0\r\nX: 1\n\r\n'),
    chunks('a chunk that is longer', '1\r\n12\r\n0\r\n\r\n'),
    chunks('an extension that is too long', `1;${long}\r\n1\r\n0\r\n\r\n`),
    chunks('an extension without an end', `1;${long}`),
    chunks('an extension of the last chunk', `1\r\n1\r\n0;${long}\r\n\r\n`),
    chunks('an extension with LF', '1;a\nb\r\n1\r\n0\r\n\r\n'),
    chunks('an extension with CR', '1;a\rb\r\n1\r\n0\r\n\r\n'),
    ...['3;', '3;a="b', '3;a b', '3;\0', '3;a=', '3 '].map((size) =>
      chunks(`a size ${size}`, `${size}\r\n123\r\n0\r\n\r\n`),
    ),
    ...['X\0: 1', 'X: \0', 'X: a\rb', ' X: 1', 'X: 1\r\n fold', 'X', 'GET / HTTP/1.1', 'X : 1'].map(
      (trailer) => chunks(`a trailer ${trailer}`, `1\r\n1\r\n0\r\n${trailer}\r\n\r\n`),
    ),
    chunks('a trailer that is too long', `1\r\n1\r\n0\r\nX: ${long}\r\n\r\n`),
    chunks('a trailer without an end', `1\r\n1\r\n0\r\nX: ${long}`),
    chunks('trailers that are too many', `1\r\n1\r\n0\r\n${'X: 1234\r\n'.repeat(700)}\r\n`),
  ]
  const unknown = [
    'gzip',
    'identity',
    'chunked, gzip',
    'gzip, chunked',
    'chunked, chunked',
    'chunked;q=1',
    '"chunked"',
  ]

  test('that are none are refused, and nothing is stored', async () => {
    const all = [
      ...malformed.map(([what, request]) => [what, request, 400] as const),
      ...unknown.map(coding).map(([what, request]) => [what, request, 501] as const),
    ]
    for (const [what, request, status] of all) {
      try {
        const wire = await openWire(server.port)
        wire.write(Buffer.concat([Buffer.from(request), intruder]))
        await expectRefusal(wire, status)
      } catch (error) {
        throw new Error(what, { cause: error })
      }
    }
    expect(await membersIn(`${server.url}/v1/bad`)).toEqual([])
  })

  test('of a body that nobody reads are refused all the same', async () => {
    for (const body of ['x\r\n', '1\r\n123\r\n', `1;${long}\r\n`]) {
      const wire = await openWire(server.port)
      const request = `POST /v1/kept/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n`
      wire.write(Buffer.concat([Buffer.from(request), intruder]))
      expect([400, 405]).toContain((await wire.response()).status)
      await expectEnded(wire)
    }
    expect(await membersIn(`${server.url}/v1/bad`)).toEqual([])
  })

  test('with extensions and trailers are as those without', async () => {
    const wire = await openWire(server.port)
    const value = ['"', 'a'.repeat(1000), 'b', 'é"']
    const trailers = [
      '',
      'X: 1\r\n',
      'Content-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: y\r\n',
      `X: ${'x'.repeat(3000)}\r\n`,
    ]
    for (const extension of ['', ';a', ' ; a = "b"', `;${'x'.repeat(3000)}`]) {
      for (const trailer of trailers) {
        wire.write(chunkedRequest('PUT', '/v1/good/k', value, { extension, trailer }))
        wire.write(requestBytes('GET', '/v1/good/k'))
        expect([200, 201]).toContain((await wire.response('PUT')).status)
        expect((await wire.response()).body.toString()).toBe(value.join(''))
      }
    }
    for (const size of ['1', '01', '0001', '000000000001']) {
      for (const name of ['chunked', 'Chunked', 'CHUNKED']) {
        wire.write(
          `PUT /v1/good/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ${name}\r\n\r\n${size}\r\n7\r\n000\r\n\r\n`,
        )
        expect((await wire.response('PUT')).status).toBe(200)
      }
    }
    wire.write(chunkedRequest('PUT', '/v1/good/k', ['0', 'A'.repeat(0xabc)].reverse()))
    expect((await wire.response('PUT')).status).toBe(400)
    await expectAlive(wire)
    wire.destroy()
  })
})

describe('requests that come in pieces', () => {
  const type = { 'Content-Type': 'a/b' }
  const conversation = (key: string) => [
    chunkedRequest('PUT', `/v1/cut/${key}`, ['ab', '\r\n\r', '\n'], {
      headers: type,
      extension: ';x',
      trailer: 'T: 1\r\n',
    }),
    requestBytes('GET', `/v1/cut/${key}`),
    requestBytes('PUT', `/v1/cut/${key}`, { headers: type, body: '\r\né' }),
    requestBytes('DELETE', `/v1/cut/${key}`, { body: '\r\n' }),
  ]

  async function expectResponses(wire: Wire): Promise<void> {
    expect((await wire.response('PUT')).status).toBe(201)
    expect((await wire.response()).body.toString()).toBe('ab\r\n\r\n')
    expect((await wire.response('PUT')).status).toBe(200)
    expect((await wire.response('DELETE')).status).toBe(204)
  }

  test('byte by byte', async () => {
    const wire = await openWire(server.port)
    const responses = expectResponses(wire)
    for (const byte of Buffer.concat(conversation('k'))) {
      wire.write(Uint8Array.of(byte))
      await wire.flushed()
      await Bun.sleep(0)
    }
    await responses
    // Not before all is sent: the response to a request whose body is not read comes before its last bytes go.
    await expectAlive(wire)
    wire.destroy()
  })

  test('in two, cut anywhere', async () => {
    const { length } = Buffer.concat(conversation('1000'))
    const cuts = Array.from({ length: length - 1 }, (_, i) => i + 1)
    const atOnce = 100
    for (let first = 0; first < cuts.length; first += atOnce) {
      const talks = cuts.slice(first, first + atOnce).map(async (cut) => {
        const bytes = Buffer.concat(conversation(String(1000 + cut)))
        const wire = await openWire(server.port)
        wire.write(bytes.subarray(0, cut))
        await wire.flushed()
        // Nothing shows that the server has read so far; it is likely by now.
        await Bun.sleep(20)
        wire.write(bytes.subarray(cut))
        await expectResponses(wire)
        await expectAlive(wire)
        wire.destroy()
      })
      await Promise.all(talks)
    }
  })

  test('of which the rest never comes leave nothing, and cost no other response', async () => {
    const halves = [
      requestBytes('PUT', '/v1/half/k', { body: '123456' }),
      chunkedRequest('PUT', '/v1/half/k', ['12', '34']),
      requestBytes('POST', '/v1/kept/k', { body: '123456' }),
      requestBytes('GET', '/v1/kept/k', { body: '123456' }),
    ]
    // Answered at once, and later.
    const ahead = [Buffer.alloc(0), get, putBytes('/v1/ahead/k', '1')]
    for (const half of halves) {
      const bodyAt = half.indexOf('\r\n\r\n') + 4
      const talks = [1, 10, bodyAt - 2, bodyAt, half.length - 1].flatMap((cut) =>
        ahead.flatMap((first) =>
          ['end', 'destroy'].map(async (way) => {
            const wire = await openWire(server.port)
            wire.write(Buffer.concat([first, half.subarray(0, cut)]))
            await wire.flushed()
            if (way === 'end') wire.end()
            else wire.destroy()
            const what = JSON.stringify(`${first} ${half.subarray(0, cut)} ${way}`)
            if (way === 'end' && first.length > 0) {
              const { status } = await wire.response()
              if (status >= 300) throw new Error(`${status} to ${what}`)
            }
            await until(() => !isOpenAt(server.port, wire), `the server has released ${what}`)
          }),
        ),
      )
      await Promise.all(talks)
    }
    expect(await membersIn(`${server.url}/v1/half`)).toEqual([])
  })
})

describe('values', () => {
  const mib = 1024 * 1024
  const values: [string, string, string | Uint8Array][] = [
    ['none', 'text/plain', ''],
    ['all bytes', 'a/b', allBytes],
    ['a latin1 text', 'application/json', '"Ærø \u00ff"'],
    ['a text beyond latin1', 'application/json', '"日本 😀 é"'],
    ['much ASCII', 'application/json', `"${'x'.repeat(mib)}"`],
    ['much latin1', 'application/json', `"${'é'.repeat(mib)}"`],
    ['much beyond latin1', 'application/json', `"${'日a'.repeat(mib)}"`],
    ['as much as there may be', 'a/b', Buffer.alloc(16 * mib, allBytes)],
    ['as much text as there may be', 'application/json', `"${'é'.repeat(8 * mib - 1)}"`],
  ]
  test('come back byte for byte', async () => {
    const wire = await openWire(server.port)
    for (const [what, type, value] of values) {
      const bytes = Buffer.from(value)
      const headers = { 'Content-Type': type }
      const cuts = [bytes.subarray(0, 1), bytes.subarray(1, 70_001), bytes.subarray(70_001)].filter(
        (one) => one.length > 0,
      )
      for (const request of [
        requestBytes('PUT', '/v1/values/k', { headers, body: bytes }),
        chunkedRequest('PUT', '/v1/values/k', cuts, { headers }),
      ]) {
        wire.write(request)
        wire.write(requestBytes('GET', '/v1/values/k'))
        expect([what, (await wire.response('PUT')).status]).toEqual([
          what,
          what === 'none' ? expect.any(Number) : 200,
        ])
        const got = await wire.response()
        expect([what, got.headers['content-type'], got.framing]).toEqual([what, type, 'length'])
        expect([what, got.body.length, got.body.equals(bytes)]).toEqual([what, bytes.length, true])
      }
    }
    wire.write(requestBytes('PUT', '/v1/values/k', { body: Buffer.alloc(16 * mib + 1, '1') }))
    expect((await wire.response('PUT')).status).toBe(413)
    await expectEnded(wire)
  })
})
