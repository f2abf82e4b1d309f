import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Stored } from '../sdk/types.ts'
import { until } from './support/engine.ts'
import { jsonOf, membersIn, put } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import {
  chunkedRequest,
  expectEnded,
  isOpenAt,
  openWire,
  putBytes,
  requestBytes,
  type Wire,
} from './support/wire.ts'
import { get, startWithValue } from './support/wire-server.ts'

/** Connections: requests one behind the other, and how they end (RFC 9112, 9). */

let server: TestServer
beforeAll(async () => {
  server = await startWithValue()
})
afterAll(() => server.remove())

async function bodyOf(wire: Wire): Promise<string> {
  return (await wire.response()).body.toString()
}

/** The tag of what is stored, which one who waits for the next state gives. */
async function tagOf(path: string): Promise<string> {
  return `"${(await jsonOf<Stored>(put(`${server.url}${path}`, '0'))).revision}"`
}

describe('requests one behind the other', () => {
  test('get their responses in their order, and each sees what those before it did', async () => {
    const wire = await openWire(server.port)
    const rounds = Array.from({ length: 250 }, (_, i) => i)
    const path = (i: number) => `/v1/line/${i % 7}`
    const requests = rounds.map((i) => [
      requestBytes('GET', path(i)),
      i % 2 === 0 ? putBytes(path(i), `"${i}"`) : chunkedRequest('PUT', path(i), ['"', `${i}"`]),
      requestBytes(i % 3 === 0 ? 'HEAD' : 'GET', path(i)),
      i % 5 === 0
        ? requestBytes('DELETE', path(i), { body: 'x' })
        : requestBytes('POST', path(i), { body: '{}' }),
    ])
    wire.write(Buffer.concat(requests.flat()))
    const model = new Map<string, string>()
    for (const i of rounds) {
      const before = await wire.response()
      expect([i, before.status === 404 ? undefined : before.body.toString()]).toEqual([i, model.get(path(i))])
      expect([i, (await wire.response('PUT')).status]).toEqual([i, model.has(path(i)) ? 200 : 201])
      model.set(path(i), `"${i}"`)
      const after = await wire.response(i % 3 === 0 ? 'HEAD' : 'GET')
      expect([i, after.status, after.headers['content-length']]).toEqual([i, 200, String(`"${i}"`.length)])
      if (i % 3 !== 0) expect(after.body.toString()).toBe(`"${i}"`)
      expect([i, (await wire.response()).status]).toEqual([i, i % 5 === 0 ? 204 : 405])
      if (i % 5 === 0) model.delete(path(i))
    }
    wire.destroy()
  })

  test('wait for those ahead whose responses come late', async () => {
    const wire = await openWire(server.port)
    const tag = await tagOf('/v1/late/k')
    const poll = requestBytes('GET', '/v1/late/k?wait=60', { headers: { 'If-None-Match': tag } })
    wire.write(
      Buffer.concat([poll, putBytes('/v1/late/behind', '1'), requestBytes('GET', '/v1/late/k'), get]),
    )
    await wire.flushed()
    // One who waited ends, so the server has looked at what came before.
    await fetch(`${server.url}/v1/late/k?wait=0.1`, { headers: { 'if-none-match': tag } })
    expect(wire.received()).toBe(0)
    expect((await fetch(`${server.url}/v1/late/behind`)).status).toBe(404)
    await put(`${server.url}/v1/late/k`, '"news"')
    expect(await bodyOf(wire)).toBe('"news"')
    expect((await wire.response('PUT')).status).toBe(201)
    expect(await bodyOf(wire)).toBe('"news"')
    expect(await bodyOf(wire)).toBe('"value"')

    const short = requestBytes('GET', '/v1/late/k?wait=0.05', { headers: { 'If-None-Match': '*' } })
    wire.write(Buffer.concat([short, short, get]))
    expect([(await wire.response()).status, (await wire.response()).status]).toEqual([304, 304])
    expect(await bodyOf(wire)).toBe('"value"')
    wire.destroy()
  })

  test('wait for the end of a stream', async () => {
    const wire = await openWire(server.port)
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `{"key":"${i}","value":"${'é'.repeat(100)}","expires_at":null}\n`,
    )
    const type = { 'Content-Type': 'application/x-ndjson' }
    const list = requestBytes('GET', '/v1/stream?include=values', {
      headers: { Accept: 'application/x-ndjson' },
    })
    const head = requestBytes('HEAD', '/v1/stream', { headers: { Accept: 'application/x-ndjson' } })
    const imported = chunkedRequest('POST', '/v1/stream', lines, { headers: type })
    wire.write(Buffer.concat([imported, list, get, head, list, get]))
    expect(await bodyOf(wire)).toBe('{"stored":3000,"failed":[]}\n')
    for (const withHead of [false, true]) {
      if (withHead) expect((await wire.response('HEAD')).status).toBe(200)
      const { body, framing } = await wire.response()
      expect(framing).toBe('chunked')
      expect(body.toString().split('\n').toSorted()).toEqual(
        ['', ...lines.map((line) => line.trim())].toSorted(),
      )
      expect(await bodyOf(wire)).toBe('"value"')
    }
    wire.destroy()
  })

  test('are not done behind one that closes, nor behind one that is refused', async () => {
    const ends: [Buffer, string, number][] = [
      [requestBytes('GET', '/v1/kept/k', { headers: { Connection: 'close' } }), 'GET', 200],
      [requestBytes('PUT', '/v1/ends/k', { headers: { Connection: 'close' }, body: '1' }), 'PUT', 201],
      [Buffer.from('GET /v1/kept/k HTTP/1.0\r\n\r\n'), 'GET', 200],
      [Buffer.from('nothing\r\n\r\n'), 'GET', 400],
      [chunkedRequest('PUT', '/v1/ends/l', ['1'], { extension: '\n' }), 'PUT', 400],
    ]
    for (const [last, method, status] of ends) {
      const wire = await openWire(server.port)
      wire.write(
        Buffer.concat([putBytes('/v1/ends/first', '1'), get, last, putBytes('/v1/ends/never', '1'), get]),
      )
      expect((await wire.response('PUT')).status).toBeWithin(200, 202)
      expect(await bodyOf(wire)).toBe('"value"')
      const reply = await wire.response(method)
      expect([reply.status, reply.headers.connection]).toEqual([status, 'close'])
      await expectEnded(wire)
    }
    const keys = (await membersIn(`${server.url}/v1/ends`, '?include=keys')).map(({ key }) => key)
    expect(keys).toEqual(['first', 'k'])
  })

  test('may be ten thousand', async () => {
    const wire = await openWire(server.port)
    const hundred = Buffer.concat(Array.from({ length: 100 }, () => get))
    for (let i = 0; i < 100; i++) {
      wire.write(hundred)
      for (let j = 0; j < 100; j++) expect(await bodyOf(wire)).toBe('"value"')
    }
    wire.destroy()
  })
})

describe('a connection', () => {
  test('ends after the response when the client asks for that, and the response says so', async () => {
    for (const fields of [
      'Connection: close',
      'connection: Close',
      'CONNECTION:CLOSE',
      'Connection: keep-alive, close',
      'Connection: x,  cLOSE ,y',
      'Connection: x\r\nConnection: close',
      'Connection: close\r\nConnection: x',
    ]) {
      for (const [request, method, status] of [
        ['GET /v1/kept/k', 'GET', 200],
        ['HEAD /v1/kept/k', 'HEAD', 200],
        ['GET /v1/kept/none', 'GET', 404],
        ['DELETE /v1/kept/none', 'DELETE', 404],
        ['POST /v1/kept/k', 'POST', 405],
      ] as const) {
        const wire = await openWire(server.port)
        wire.write(`${request} HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`)
        const reply = await wire.response(method)
        expect([fields, reply.status, reply.headers.connection]).toEqual([fields, status, 'close'])
        await expectEnded(wire)
      }
    }
    const kept = await openWire(server.port)
    for (const fields of [
      'Connection: keep-alive',
      'Connection: closed',
      'X-Connection: close',
      'Connection: "close"',
    ]) {
      kept.write(`GET /v1/kept/k HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`)
      expect((await kept.response()).headers.connection ?? 'keep-alive').toBe('keep-alive')
    }
    kept.destroy()
  })

  test('of HTTP/1.0 ends after one response, unless it is to be kept', async () => {
    const ndjson = 'Accept: application/x-ndjson\r\n'
    for (const [request, method, framing] of [
      ['GET /v1/kept/k HTTP/1.0\r\n', 'GET', 'length'],
      ['GET /v1/kept/k HTTP/1.0\r\nHost: x\r\nConnection: x\r\n', 'GET', 'length'],
      ['HEAD /v1/kept/k HTTP/1.0\r\n', 'HEAD', 'none'],
      ['GET /v1/kept/k HTTP/1.0\r\nConnection: keep-alive, close\r\n', 'GET', 'length'],
      // No chunks: the end of the connection is that of the body.
      [`GET /v1/kept HTTP/1.0\r\n${ndjson}`, 'GET', 'close'],
      [`GET /v1/kept HTTP/1.0\r\nConnection: keep-alive\r\n${ndjson}`, 'GET', 'close'],
    ] as const) {
      const wire = await openWire(server.port)
      wire.write(`${request}\r\n`)
      const reply = await wire.response(method)
      expect([request, reply.status, reply.framing]).toEqual([request, 200, framing])
      expect([request, reply.headers.connection]).toEqual([request, 'close'])
      if (framing === 'close') expect(reply.body.toString()).toContain('"value"')
      await expectEnded(wire)
    }
    const kept = await openWire(server.port)
    const body = 'PUT /v1/old/k HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n1'
    kept.write(`${body}GET /v1/old/k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`)
    for (const status of [201, 200]) {
      const { headers, ...reply } = await kept.response()
      expect([reply.status, headers.connection?.toLowerCase()]).toEqual([status, 'keep-alive'])
    }
    kept.write('GET /v1/old/k HTTP/1.0\r\n\r\n')
    expect(await bodyOf(kept)).toBe('1')
    await expectEnded(kept)
  })

  test('on which the client has half-closed gets its responses, and is then closed', async () => {
    const talks: [Buffer[], number[]][] = [
      [[get], [200]],
      [[putBytes('/v1/last/k', '1')], [201]],
      [[chunkedRequest('PUT', '/v1/last/l', ['1', '2'])], [201]],
      [
        [putBytes('/v1/last/m', '1'), get, putBytes('/v1/last/n', '1'), requestBytes('DELETE', '/v1/last/m')],
        [201, 200, 201, 204],
      ],
      [[requestBytes('GET', '/v1/kept', { headers: { Accept: 'application/x-ndjson' } })], [200]],
      [[requestBytes('GET', '/v1/nowhere/k')], [404]],
      [[requestBytes('GET', '/v1/kept/k', { headers: { Connection: 'close' } })], [200]],
      [[], []],
    ]
    for (const [requests, statuses] of talks) {
      for (const atOnce of [true, false]) {
        const wire = await openWire(server.port)
        for (const request of requests) wire.write(request)
        // As a client that ends only when it has its responses, and as one that ends with its request.
        if (atOnce) wire.end()
        const got: number[] = []
        for (const _ of statuses) got.push((await wire.response()).status)
        expect(got.map((status) => (status === 201 ? 200 : status))).toEqual(
          statuses.map((status) => (status === 201 ? 200 : status)),
        )
        if (!atOnce) wire.end()
        await expectEnded(wire)
      }
    }
  })

  test('on which much is sent is closed only behind the last byte', async () => {
    const value = 'x'.repeat(8 * 1024 * 1024)
    await put(`${server.url}/v1/much/k`, value, { 'content-type': 'text/plain' })
    for (const how of ['close', 'end']) {
      const wire = await openWire(server.port)
      const headers: Record<string, string> = how === 'close' ? { Connection: 'close' } : {}
      wire.pauseSoon()
      wire.write(requestBytes('GET', '/v1/much/k', { headers }))
      if (how === 'end') wire.end()
      await until(() => wire.received() > 0, 'the response has begun')
      // It fills what the system holds, and the server wants to close.
      await Bun.sleep(50)
      expect(wire.received()).toBeLessThan(value.length)
      wire.resume()
      expect(await bodyOf(wire)).toBe(value)
      await expectEnded(wire)
    }
  })

  test('of a watcher that has half-closed is released', async () => {
    for (const path of ['/v1/kept/k', '/v1/kept', '/v1/_changes']) {
      const wire = await openWire(server.port)
      wire.write(requestBytes('GET', path, { headers: { Accept: 'text/event-stream' } }))
      await until(() => wire.received() > 0, 'the watch has begun')
      wire.end()
      await until(() => !isOpenAt(server.port, wire), 'the server has released it')
      await wire.closed
    }
  })
})
