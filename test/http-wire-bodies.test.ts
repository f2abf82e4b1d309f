import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { allBytes, checkProblem, membersIn, put } from './support/answers.ts'
import { until } from './support/engine.ts'
import { startServer, type TestServer } from './support/server.ts'
import { chunkedRequest, expectEnded, isOpenAt, openWire, requestBytes, type Wire } from './support/wire.ts'

/** Bodies of requests and answers: how long they are, where they end, and who waits for whom (RFC 9112, 6 to 7). */

let server: TestServer
let closed: TestServer
beforeAll(async () => {
  ;[server, closed] = await Promise.all([startServer(), startServer({ env: { KVIST_TOKEN: 's3cret' } })])
  await put(`${server.url}/v1/kept/k`, '"value"')
})
afterAll(() => Promise.all([server.remove(), closed.remove()]))

const get = requestBytes('GET', '/v1/kept/k')
const intruder = requestBytes('PUT', '/v1/bad/intruder', { body: '1' })

async function expectAlive(wire: Wire): Promise<void> {
  wire.write(get)
  expect((await wire.answer()).body.toString()).toBe('"value"')
}

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
        const answer = await wire.answer()
        const { headers, body } = answer
        checkProblem(
          { ...answer, type: headers['content-type'], text: body.toString() },
          status,
          'invalid_request',
        )
        expect(headers.connection).toBe('close')
        await expectEnded(wire)
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
      expect([400, 405]).toContain((await wire.answer()).status)
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
        expect([200, 201]).toContain((await wire.answer('PUT')).status)
        expect((await wire.answer()).body.toString()).toBe(value.join(''))
      }
    }
    for (const size of ['1', '01', '0001', '000000000001']) {
      for (const name of ['chunked', 'Chunked', 'CHUNKED']) {
        wire.write(
          `PUT /v1/good/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ${name}\r\n\r\n${size}\r\n7\r\n000\r\n\r\n`,
        )
        expect((await wire.answer('PUT')).status).toBe(200)
      }
    }
    wire.write(chunkedRequest('PUT', '/v1/good/k', ['0', 'A'.repeat(0xabc)].reverse()))
    expect((await wire.answer('PUT')).status).toBe(400)
    await expectAlive(wire)
    wire.destroy()
  })

  test('a trailer lets nobody in', async () => {
    const wire = await openWire(closed.port)
    wire.write(chunkedRequest('PUT', '/v1/c/k', ['1'], { trailer: 'Authorization: Bearer s3cret\r\n' }))
    expect((await wire.answer()).status).toBe(401)
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

  async function expectAnswers(wire: Wire): Promise<void> {
    expect((await wire.answer('PUT')).status).toBe(201)
    expect((await wire.answer()).body.toString()).toBe('ab\r\n\r\n')
    expect((await wire.answer('PUT')).status).toBe(200)
    expect((await wire.answer('DELETE')).status).toBe(204)
    await expectAlive(wire)
    wire.destroy()
  }

  test('byte by byte', async () => {
    const wire = await openWire(server.port)
    const answers = expectAnswers(wire)
    for (const byte of Buffer.concat(conversation('k'))) {
      wire.write(Uint8Array.of(byte))
      await wire.flushed()
      await Bun.sleep(0)
    }
    await answers
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
        // Nothing tells that the server has read so far; it is likely by now.
        await Bun.sleep(20)
        wire.write(bytes.subarray(cut))
        await expectAnswers(wire)
      })
      await Promise.all(talks)
    }
  })

  test('of which the rest never comes leave nothing', async () => {
    const wires = await Promise.all(
      ['end', 'destroy'].flatMap((way) =>
        [
          requestBytes('PUT', '/v1/half/k', { body: '123456' }),
          chunkedRequest('PUT', '/v1/half/k', ['12', '34']),
        ].flatMap((bytes) =>
          [1, 10, bytes.indexOf('\r\n\r\n') + 2, bytes.indexOf('\r\n\r\n') + 4, bytes.length - 1].map(
            async (cut) => {
              const wire = await openWire(server.port)
              wire.write(bytes.subarray(0, cut))
              await wire.flushed()
              way === 'end' ? wire.end() : wire.destroy()
              return wire
            },
          ),
        ),
      ),
    )
    for (const wire of wires) await until(() => !isOpenAt(server.port, wire), 'the server has let go of it')
    expect(await membersIn(`${server.url}/v1/half`)).toEqual([])
  })
})

describe('a client that waits for 100 Continue', () => {
  const expecting = { headers: { Expect: '100-continue' } }
  const headOf = (bytes: Buffer) => bytes.subarray(0, bytes.indexOf('\r\n\r\n') + 4)

  test('is told to go on', async () => {
    const wire = await openWire(server.port)
    for (const whole of [
      requestBytes('PUT', '/v1/continued/k', { ...expecting, body: '"é"' }),
      requestBytes('PUT', '/v1/continued/k', { headers: { expect: '100-Continue' }, body: '{"a":1}' }),
      chunkedRequest('PUT', '/v1/continued/k', ['1', '23'], expecting),
      requestBytes('POST', '/v1/_batch', { ...expecting, body: '{"operations":[]}' }),
      requestBytes('POST', '/v1/continued', {
        headers: { ...expecting.headers, 'Content-Type': 'application/x-ndjson' },
        body: '{"key":"l","value":1}\n',
      }),
    ]) {
      const head = headOf(whole)
      wire.write(head)
      expect(await wire.interim()).toBe(100)
      wire.write(whole.subarray(head.length))
      const { status, interim } = await wire.answer('PUT')
      expect(status).toBeWithin(200, 202)
      expect(interim).toEqual([])
    }
    await expectAlive(wire)
    wire.destroy()
    expect((await membersIn(`${server.url}/v1/continued`)).length).toBe(2)
  })

  test('is told so once, behind the answers before, or not at all when it does not wait', async () => {
    const wire = await openWire(server.port)
    const whole = requestBytes('PUT', '/v1/continued/k', { ...expecting, body: '12' })
    const head = headOf(whole)
    wire.write(Buffer.concat([requestBytes('PUT', '/v1/continued/first', { body: '1' }), get, head]))
    expect([(await wire.answer('PUT')).interim, (await wire.answer()).interim]).toEqual([[], []])
    expect(await wire.interim()).toBe(100)
    wire.write('1')
    await wire.flushed()
    await Bun.sleep(5)
    wire.write('2')
    expect((await wire.answer('PUT')).interim).toEqual([])
    wire.write(
      Buffer.concat([whole, requestBytes('PUT', '/v1/continued/k', { ...expecting, body: '' }), get]),
    )
    expect((await wire.answer('PUT')).status).toBe(200)
    expect(await wire.answer('PUT')).toMatchObject({ status: 400, interim: [] })
    expect((await wire.answer()).interim).toEqual([])
    wire.destroy()
  })

  test('is not told so when its body is not wanted, and may send none', async () => {
    const refused: [Buffer, number][] = [
      [
        requestBytes('PUT', '/v1/refused/k', {
          headers: { Expect: '100-continue', 'Content-Length': '16777217' },
        }),
        413,
      ],
      [headOf(requestBytes('POST', '/v1/refused/k', { ...expecting, body: '1' })), 405],
      [headOf(chunkedRequest('POST', '/v1/refused/k', ['1'], expecting)), 405],
      [headOf(requestBytes('PUT', '/nowhere', { ...expecting, body: '1' })), 404],
      [headOf(requestBytes('PUT', '/v1/_refused/k', { ...expecting, body: '1' })), 400],
      [headOf(requestBytes('PUT', '/v1/refused/k?unknown=1', { ...expecting, body: '1' })), 400],
      [
        headOf(
          requestBytes('PUT', '/v1/refused/k', {
            headers: { ...expecting.headers, 'If-Match': 'x' },
            body: '1',
          }),
        ),
        400,
      ],
      [
        headOf(
          requestBytes('PUT', '/v1/refused/k', {
            headers: { ...expecting.headers, 'Content-Type': 'x' },
            body: '1',
          }),
        ),
        415,
      ],
      [headOf(requestBytes('GET', '/v1/refused/k', { ...expecting, body: '1' })), 404],
    ]
    for (const [head, status] of refused) {
      const wire = await openWire(server.port)
      wire.write(head)
      const { headers, ...answer } = await wire.answer()
      expect([head.toString(), answer.status, answer.interim]).toEqual([head.toString(), status, []])
      // What comes next may be the body, or another request: nobody can know.
      expect([head.toString(), headers.connection]).toEqual([head.toString(), 'close'])
      await expectEnded(wire)
    }
    const outside = await openWire(closed.port)
    outside.write(headOf(requestBytes('PUT', '/v1/c/k', { ...expecting, body: '1' })))
    expect(await outside.answer()).toMatchObject({ status: 401, interim: [] })
    await expectEnded(outside)
  })

  test('and speaks HTTP/1.0 is told nothing', async () => {
    const wire = await openWire(server.port)
    wire.write('PUT /v1/continued/old HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1')
    expect(await wire.answer('PUT')).toMatchObject({ status: 201, interim: [] })
    await expectEnded(wire)
  })
})

describe('a body that nobody reads', () => {
  test('is passed over when it is small, whenever it comes', async () => {
    const wire = await openWire(server.port)
    for (const body of ['1', 'x'.repeat(1000), 'x'.repeat(60_000), intruder.toString()]) {
      const whole = requestBytes('POST', '/v1/kept/k', { body })
      const bodyAt = whole.indexOf('\r\n\r\n') + 4
      wire.write(whole.subarray(0, bodyAt))
      const { status, headers } = await wire.answer()
      expect([status, headers.connection ?? 'keep-alive']).toEqual([405, 'keep-alive'])
      wire.write(whole.subarray(bodyAt))
      await expectAlive(wire)
    }
    wire.destroy()
    expect(await membersIn(`${server.url}/v1/bad`)).toEqual([])
  })

  const mib = Buffer.alloc(1024 * 1024, 'x')
  const many = Buffer.concat(Array.from({ length: 5 }, () => mib))
  const large: [string, Buffer, number][] = [
    ['over the limit', requestBytes('PUT', '/v1/bad/k', { headers: { 'Content-Length': '16777217' } }), 413],
    [
      'of a wrong method',
      requestBytes('POST', '/v1/kept/k', { headers: { 'Content-Length': '5242880' } }),
      405,
    ],
    [
      'of a wrong method, and more to come',
      requestBytes('POST', '/v1/kept/k', { headers: { 'Content-Length': '9242880' } }),
      405,
    ],
    ['of a wrong path', requestBytes('PUT', '/nowhere', { headers: { 'Content-Length': '5242880' } }), 404],
    ['of no one known', requestBytes('PUT', '/v1/c/k', { headers: { 'Content-Length': '5242880' } }), 401],
    [
      'behind a head that is none',
      Buffer.from('PUT /v1/bad/k HTTP/1.1\r\nContent-Length: 5242880\r\n\r\n'),
      400,
    ],
    [
      'behind a length that is none',
      Buffer.from('PUT /v1/bad/k HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n'),
      400,
    ],
  ]
  test('and is large ends the connection, but not before the answer is read', async () => {
    for (const [what, head, status] of large) {
      const wire = await openWire(status === 401 ? closed.port : server.port)
      // As a client that looks for the answer only when it has sent everything.
      wire.pause()
      wire.write(Buffer.concat([head, many]))
      await wire.flushed()
      wire.resume()
      const answer = await wire.answer()
      expect([what, answer.status, answer.headers.connection]).toEqual([what, status, 'close'])
      await expectEnded(wire)
    }
  })

  test('and comes in chunks that do not end ends the connection', async () => {
    const wire = await openWire(server.port)
    wire.pause()
    const head = requestBytes('POST', '/v1/kept/k', { headers: { 'Transfer-Encoding': 'chunked' } })
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), mib, Buffer.from('\r\n')])
    wire.write(Buffer.concat([head, chunk, chunk, chunk, chunk, chunk]))
    await wire.flushed()
    wire.resume()
    expect((await wire.answer()).status).toBe(405)
    await expectEnded(wire)
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
        expect([what, (await wire.answer('PUT')).status]).toEqual([
          what,
          what === 'none' ? expect.any(Number) : 200,
        ])
        const got = await wire.answer()
        expect([what, got.headers['content-type'], got.framing]).toEqual([what, type, 'length'])
        expect([what, got.body.length, got.body.equals(bytes)]).toEqual([what, bytes.length, true])
      }
    }
    wire.write(requestBytes('PUT', '/v1/values/k', { body: Buffer.alloc(16 * mib + 1, '1') }))
    expect((await wire.answer('PUT')).status).toBe(413)
    await expectEnded(wire)
  })
})
