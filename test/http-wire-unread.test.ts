import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { membersIn } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { chunkedRequest, expectEnded, openWire, putBytes, requestBytes } from './support/wire.ts'
import { expectAlive, get, startWithValue } from './support/wire-server.ts'

/** Bodies that are not sent until they are asked for, and those that nobody asks for (RFC 9110, 10.1.1; RFC 9112, 9.6). */

let server: TestServer
let closed: TestServer
beforeAll(async () => {
  ;[server, closed] = await Promise.all([startWithValue(), startServer({ env: { KVIST_TOKEN: 's3cret' } })])
})
afterAll(() => Promise.all([server.remove(), closed.remove()]))

const intruder = putBytes('/v1/bad/intruder', '1')

describe('a client that waits for 100 Continue', () => {
  const expecting = { headers: { Expect: '100-continue' } }
  const headOf = (bytes: Buffer) => bytes.subarray(0, bytes.indexOf('\r\n\r\n') + 4)

  test('gets 100 Continue', async () => {
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
      const { status, interim } = await wire.response('PUT')
      expect(status).toBeWithin(200, 202)
      expect(interim).toEqual([])
    }
    await expectAlive(wire)
    wire.destroy()
    expect((await membersIn(`${server.url}/v1/continued`)).length).toBe(2)
  })

  test('gets it once, after the responses before, or not at all when it does not wait', async () => {
    const wire = await openWire(server.port)
    const whole = requestBytes('PUT', '/v1/continued/k', { ...expecting, body: '12' })
    const head = headOf(whole)
    wire.write(Buffer.concat([requestBytes('PUT', '/v1/continued/first', { body: '1' }), get, head]))
    expect([(await wire.response('PUT')).interim, (await wire.response()).interim]).toEqual([[], []])
    expect(await wire.interim()).toBe(100)
    wire.write('1')
    await wire.flushed()
    await Bun.sleep(5)
    wire.write('2')
    expect((await wire.response('PUT')).interim).toEqual([])
    wire.write(
      Buffer.concat([whole, requestBytes('PUT', '/v1/continued/k', { ...expecting, body: '' }), get]),
    )
    expect((await wire.response('PUT')).status).toBe(200)
    expect(await wire.response('PUT')).toMatchObject({ status: 400, interim: [] })
    expect((await wire.response()).interim).toEqual([])
    wire.destroy()
  })

  test('does not get it when its body is not needed, and may send none', async () => {
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
      const { headers, ...reply } = await wire.response()
      expect([head.toString(), reply.status, reply.interim]).toEqual([head.toString(), status, []])
      // What comes next may be the body, or another request: nobody can know.
      expect([head.toString(), headers.connection]).toEqual([head.toString(), 'close'])
      await expectEnded(wire)
    }
    const outside = await openWire(closed.port)
    outside.write(headOf(requestBytes('PUT', '/v1/c/k', { ...expecting, body: '1' })))
    expect(await outside.response()).toMatchObject({ status: 401, interim: [] })
    await expectEnded(outside)
  })

  test('and speaks HTTP/1.0 does not get it', async () => {
    const wire = await openWire(server.port)
    wire.write('PUT /v1/continued/old HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1')
    expect(await wire.response('PUT')).toMatchObject({ status: 201, interim: [] })
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
      const { status, headers } = await wire.response()
      expect([status, headers.connection ?? 'keep-alive']).toEqual([405, 'keep-alive'])
      wire.write(whole.subarray(bodyAt))
      await expectAlive(wire)
    }
    wire.destroy()
    expect(await membersIn(`${server.url}/v1/bad`)).toEqual([])
  })

  test('has a trailer that lets nobody in', async () => {
    const wire = await openWire(closed.port)
    wire.write(chunkedRequest('PUT', '/v1/c/k', ['1'], { trailer: 'Authorization: Bearer s3cret\r\n' }))
    expect((await wire.response()).status).toBe(401)
    wire.destroy()
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
  test('and is large ends the connection, but not before the response is read', async () => {
    for (const [what, head, status] of large) {
      const wire = await openWire(status === 401 ? closed.port : server.port)
      // As a client that looks for the response only when it has sent everything.
      wire.pause()
      wire.write(Buffer.concat([head, many]))
      await wire.flushed()
      wire.resume()
      const reply = await wire.response()
      expect([what, reply.status, reply.headers.connection]).toEqual([what, status, 'close'])
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
    expect((await wire.response()).status).toBe(405)
    await expectEnded(wire)
  })
})
