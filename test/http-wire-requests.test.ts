import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { membersIn, nothingStoredCheck } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import { chunkedRequest, latin1, openWire, requestBytes, type WireResponse } from './support/wire.ts'
import { get, respondOf, startWithValue } from './support/wire-server.ts'

/** What requests ask for, over the wire: targets and methods (RFC 9112, 3; RFC 9110, 9). */

let server: TestServer
let expectNothingStored: () => Promise<void>
beforeAll(async () => {
  server = await startWithValue()
})
afterAll(() => server.remove())
beforeEach(async () => {
  expectNothingStored = await nothingStoredCheck(`${server.url}/v1/kept/count`)
})

/** One response, after which the connection still works. */
function expectReply(request: string | Uint8Array, method?: string): Promise<WireResponse> {
  return respondOf(server.port, request, method)
}

describe('targets', () => {
  test('with a scheme and an authority before them are those without', async () => {
    for (const target of [
      'http://LOCALHOST/v1/kept/k',
      'http://LOCALHOST:8080/v1/kept/k',
      'HTTP://[::1]:1/v1/kept/k',
      'http://127.0.0.1/v1/kept/k?',
    ]) {
      const { status, body } = await expectReply(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect([target, status, body.toString()]).toEqual([target, 200, '"value"'])
    }
    expect((await expectReply('GET http://LOCALHOST HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(200)
    expect((await expectReply('GET http://LOCALHOST?x=1 HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(200)
    const paged = await expectReply(
      'GET http://LOCALHOST/v1/kept?limit=1&include=keys HTTP/1.1\r\nHost: x\r\n\r\n',
    )
    expect(JSON.parse(paged.body.toString()).members).toEqual([{ key: 'count' }])
  })

  test('that are * stand for the server, which OPTIONS alone can ask for', async () => {
    for (const line of ['OPTIONS *', 'OPTIONS http://127.0.0.1:80', 'OPTIONS http://localhost']) {
      const { status, headers, body } = await expectReply(
        `${line} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
        'OPTIONS',
      )
      expect([line, status, body.length]).toEqual([line, 204, 0])
      expect(headers.allow?.split(', ').sort()).toEqual([
        'DELETE',
        'GET',
        'HEAD',
        'OPTIONS',
        'PATCH',
        'POST',
        'PUT',
      ])
    }
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'TRACE']) {
      const wire = await openWire(server.port)
      wire.write(`${method} * HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      expect([method, (await wire.response()).status]).toEqual([method, 400])
      wire.destroy()
    }
  })

  test('may hold raw UTF-8, as curl sends it', async () => {
    const key = 'å/日本/😀'
    const stored = await expectReply(requestBytes('PUT', `/v1/ütf/${key}`, { body: '1' }), 'PUT')
    expect([stored.status, JSON.parse(stored.body.toString()).key]).toEqual([201, key])
    const encoded = encodeURIComponent(key)
    expect((await expectReply(requestBytes('GET', `/v1/%C3%BCtf/${encoded}`))).status).toBe(200)
    expect((await expectReply(requestBytes('GET', `http://x/v1/ütf/${encoded}`))).status).toBe(200)
    const page = await expectReply(requestBytes('GET', '/v1/ütf?include=keys&prefix=å/'))
    expect(JSON.parse(page.body.toString()).members).toEqual([{ key }])
  })

  test('that are not UTF-8, raw or escaped, are refused', async () => {
    const wrong = [
      '\xff',
      'a\xc3',
      '\xc3/a',
      '\xed\xa0\x80',
      '\xc0\xaf',
      '\xf8\x88\x80\x80\x80',
      '\xe5b',
      '\x80',
    ]
    for (const bytes of [...wrong, ...wrong.map(escaped)]) {
      for (const path of [
        `/v1/c/${bytes}`,
        `/v1/c/a/${bytes}`,
        `/v1/${bytes}/k`,
        `/v1/c/k?expire_in=${bytes}`,
      ]) {
        const wire = await openWire(server.port)
        wire.write(latin1(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1`))
        const { status, headers } = await wire.response('PUT')
        expect([path, status, headers['content-type']]).toEqual([path, 400, 'application/problem+json'])
        wire.destroy()
      }
    }
    await expectNothingStored()
  })

  test('keep their dots', async () => {
    for (const key of ['a/../b', '.', '..', './x', 'a/.', '../../kept/k', 'a//../..']) {
      const stored = await expectReply(
        requestBytes('PUT', `/v1/dots/${key}`, { body: JSON.stringify(key) }),
        'PUT',
      )
      expect([stored.status, JSON.parse(stored.body.toString()).key]).toEqual([201, key])
      const again = await expectReply(requestBytes('GET', `/v1/dots/${key.replaceAll('.', '%2e')}`))
      expect(again.body.toString()).toBe(JSON.stringify(key))
    }
    expect((await membersIn(`${server.url}/v1/dots`)).length).toBe(7)
    expect(await (await fetch(`${server.url}/v1/kept/k`)).text()).toBe('"value"')
    expect((await expectReply(requestBytes('GET', '/v1/../v1/kept/k'))).status).toBe(400)
    expect((await expectReply(requestBytes('GET', '/healthz/../v1/kept/k'))).status).toBe(404)
  })
})

/** `%FF` for U+00FF. */
function escaped(bytes: string): string {
  return bytes.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
}

describe('methods', () => {
  const methods = ['BREW', 'TRACE', 'get', 'Put', 'PROPFIND', 'M-SEARCH', 'GETS', 'OPTIONS']
  test('that a path does not have are 405 with those it has', async () => {
    for (const method of methods) {
      const { status, headers, body } = await expectReply(`${method} /v1/kept/k HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect([method, status, headers.allow?.split(', ').sort().join(' ')]).toEqual([
        method,
        405,
        'DELETE GET HEAD PATCH PUT',
      ])
      expect(JSON.parse(body.toString())).toMatchObject({ status: 405, code: 'method_not_allowed' })
    }
  })

  test('HEAD responds as GET, without the body', async () => {
    const path = '/v1/head/é'
    await expectReply(requestBytes('PUT', path, { body: '"ééé"' }), 'PUT')
    for (const target of [
      path,
      '/v1/head/none',
      '/v1/head',
      '/v1',
      '/healthz',
      '/nowhere',
      '/openapi.json',
    ]) {
      const got = await expectReply(requestBytes('GET', target))
      const head = await expectReply(requestBytes('HEAD', target), 'HEAD')
      const { date: _date, ...same } = got.headers
      expect([target, head.status]).toEqual([target, got.status])
      expect(head.headers).toMatchObject(same)
      expect(head.headers['content-length']).toBe(String(got.body.length))
    }
  })

  test('of which some have no body in their responses', async () => {
    const { headers } = await expectReply(get)
    for (const method of ['GET', 'HEAD']) {
      const request = requestBytes(method, '/v1/kept/k', { headers: { 'If-None-Match': headers.etag! } })
      const reply = await expectReply(request, method)
      expect([reply.status, reply.headers.etag]).toEqual([304, headers.etag])
    }
    await expectReply(requestBytes('PUT', '/v1/deleted/k', { body: '1' }), 'PUT')
    expect((await expectReply(requestBytes('DELETE', '/v1/deleted/k'), 'DELETE')).status).toBe(204)
  })

  test('GET and DELETE may have bodies, behind which the next request is', async () => {
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'BREW']) {
      for (const body of ['x', 'GET /v1/kept/k HTTP/1.1\r\n\r\n', 'x'.repeat(60_000)]) {
        const whole = requestBytes(method, '/v1/kept/none', { body })
        const status = method === 'OPTIONS' || method === 'BREW' ? 405 : 404
        expect((await expectReply(whole, method)).status).toBe(status)
        // How much more of a long one may come nobody knows: then the connection ends.
        const chunks = chunkedRequest(method, '/v1/kept/none', [body.slice(0, 1000), 'x'])
        expect((await expectReply(chunks, method)).status).toBe(status)
      }
    }
  })
})
