import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { nothingStoredCheck } from './support/responses.ts'
import type { TestServer } from './support/server.ts'
import { expectRefusal, latin1, openWire, putBytes, type WireResponse } from './support/wire.ts'
import { get, respondOf, startWithValue } from './support/wire-server.ts'

/** Heads of requests as they may and may not come over the wire (RFC 9112, 2 to 3; RFC 9110, 5). */

let server: TestServer
let expectNothingStored: () => Promise<void>
beforeAll(async () => {
  server = await startWithValue()
})
afterAll(() => server.remove())
beforeEach(async () => {
  expectNothingStored = await nothingStoredCheck(`${server.url}/v1/kept/count`)
})

/** Behind a request that cannot be read nothing can be: neither is this. */
const intruder = putBytes('/v1/intruders/k', '1')

/** One response, after which the connection still works. */
function expectReply(request: string | Uint8Array, method?: string): Promise<WireResponse> {
  return respondOf(server.port, request, method)
}

async function expectRefused(
  request: string,
  status: number,
  followedBy: Uint8Array = intruder,
): Promise<void> {
  const wire = await openWire(server.port)
  wire.write(Buffer.concat([latin1(request), followedBy]))
  await expectRefusal(wire, status)
}

/** Refuses each, saying which when it does not. */
async function expectAllRefused(
  requests: readonly (readonly [what: string, request: string])[],
  status: number,
) {
  for (const [what, request] of requests) {
    try {
      await expectRefused(request, status)
      await expectNothingStored()
    } catch (error) {
      throw new Error(what, { cause: error })
    }
  }
}

describe('heads', () => {
  test('may begin with empty lines, have names in any case, and values with blanks around or none at all', async () => {
    const heads = [
      '\r\nGET /v1/kept/k HTTP/1.1\r\nHost: x\r\n\r\n',
      '\r\n\r\n\r\nGET /v1/kept/k HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /v1/kept/k HTTP/1.1\r\nHOST:x\r\n\r\n',
      'GET /v1/kept/k HTTP/1.1\r\nhOsT: \t x\t \r\nX-None:\r\nX-Blank: \t\r\nX-Tab: a\tb\r\n\r\n',
      'GET /v1/kept/k HTTP/1.1\r\nHost:\r\n\r\n',
      "GET /v1/kept/k HTTP/1.1\r\nHost: x\r\n__proto__: 1\r\nconstructor: 2\r\n!#$%&'*+-.^_`|~9: 3\r\n\r\n",
      'GET /v1/kept/k HTTP/1.1\r\nHost: x\r\nX: \xc3\xa9 \xff\r\n\r\n',
      'GET /v1/kept/k HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n',
      'GET /v1/kept/k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    ]
    for (const head of heads) {
      const { status, body } = await expectReply(head)
      expect([head, status, body.toString()]).toEqual([head, 200, '"value"'])
    }
    const odd = 'PUT /v1/odd/k HTTP/1.1\r\nhost: x\r\ncOnTeNt-LeNgTh:  003 \r\nCONTENT-type:a/b\r\n\r\nabc'
    expect((await expectReply(odd, 'PUT')).status).toBe(201)
    const stored = await fetch(`${server.url}/v1/odd/k`)
    expect([stored.headers.get('content-type'), await stored.text()]).toEqual(['a/b', 'abc'])
  })

  test('have as many fields as fit, of any names', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `X-${i}: 1\r\n`).join('')
    for (const body of ['1', '2', '3']) {
      const head = `PUT /v1/many/k HTTP/1.1\r\n${names.replaceAll('X', body === '2' ? 'y' : 'X')}Host: x\r\n`
      const { status } = await expectReply(`${head}Content-Length: 1\r\n\r\n${body}`, 'PUT')
      expect(status).toBe(body === '1' ? 201 : 200)
    }
  })

  test('with a list in several fields have one list', async () => {
    const { headers } = await expectReply(get)
    const lists: [string, number][] = [
      [`If-None-Match: "7777777"\r\nIf-None-Match: ${headers.etag}`, 304],
      [`If-None-Match: ${headers.etag}\r\nX: 1\r\nif-none-match: "7777777"`, 304],
      ['If-None-Match: "7777777"\r\nIf-None-Match: "7777778"', 200],
      // One that is no list makes the whole none.
      [`If-None-Match: ${headers.etag}\r\nIf-None-Match: x`, 400],
    ]
    for (const [fields, status] of lists) {
      const reply = await expectReply(`GET /v1/kept/k HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`)
      expect([fields, reply.status]).toEqual([fields, status])
    }
  })

  const line = 'PUT /v1/c/k HTTP/1.1\r\n'
  const rest = 'Content-Length: 1\r\n\r\n1'
  const withField = (field: string) => `${line}Host: x\r\n${field}${rest}`
  const twice = (name: string, first: string, second = first): [string, string] => [
    `${name}: ${first} and ${second}`,
    withField(`${name}: ${first}\r\n${name.toLowerCase()}: ${second}\r\n`),
  ]
  const date = 'Sun, 06 Nov 1994 08:49:37 GMT'

  const malformedFields: readonly (readonly [string, string])[] = [
    ['no Host', `${line}${rest}`],
    twice('Host', 'x', 'y'),
    ['Host: x and x', withField('Host: x\r\n')],
    twice('Content-Length', '1'),
    twice('Content-Length', '1', '2'),
    twice('Content-Type', 'text/plain'),
    twice('Authorization', 'Bearer x'),
    twice('If-Modified-Since', date),
    twice('If-Unmodified-Since', date),
    ...['a b', 'a/b', '"x"', '[::1', '::1', 'x:y', 'user@x', 'x, y', 'x\\y', '\xfc'].map(
      (host): [string, string] => [`Host: ${host}`, `${line}Host: ${host}\r\n${rest}`],
    ),
    ['a Host of HTTP/1.0', `PUT /v1/c/k HTTP/1.0\r\nHost: a b\r\n${rest}`],
    ...['http://a"b/v1/c/k', 'http://[::1/v1/c/k', 'http://user@x/v1/c/k', 'http://x:y/v1/c/k'].map(
      (target): [string, string] => [target, `PUT ${target} HTTP/1.1\r\nHost: x\r\n${rest}`],
    ),
    ['Host twice in HTTP/1.0', `PUT /v1/c/k HTTP/1.0\r\nHost: x\r\nHost: x\r\n${rest}`],
    ['a line with LF alone', withField('X: 1\n')],
    ['a request line with LF alone', `PUT /v1/c/k HTTP/1.1\nHost: x\r\n${rest}`],
    ['all lines with LF alone', withField('X: 1\r\n').replaceAll('\r\n', '\n')],
    ['an end with LF alone', withField('X: 1\r\n').replace('\r\n\r\n', '\r\n\n')],
    ['an end with LF LF', withField('X: 1\r\n').replace('\r\n\r\n', '\n\n')],
    ['a CR within a value', withField('X: a\rb\r\n')],
    ['a CR CR LF', withField('X: a\r\r\n')],
    ['a CR at the beginning of a line', withField('\rX: a\r\n')],
    ['a folded line', withField('X: a\r\n b\r\n')],
    ['a folded line with a tab', withField('X: a\r\n\tb\r\n')],
    ['a folded length', `${line}Host: x\r\nContent-Length:\r\n 1\r\n\r\n1`],
    ['a first field that is folded', `${line} Host: x\r\n${rest}`],
    ['a space before the colon', withField('X : a\r\n')],
    ['a tab before the colon', withField('X\t: a\r\n')],
    ['a space before the colon of a length', `${line}Host: x\r\nContent-Length : 1\r\n\r\n1`],
    ['no name', withField(': a\r\n')],
    ['no colon', withField('X\r\n')],
    ['a blank line', withField(' \r\n')],
    ...[
      ' ',
      '\t',
      '(',
      ')',
      ',',
      '/',
      ';',
      '<',
      '=',
      '>',
      '?',
      '@',
      '[',
      '\\',
      ']',
      '{',
      '}',
      '"',
      '\x7f',
      '\xe9',
    ].map((bad): [string, string] => [`a name with ${JSON.stringify(bad)}`, withField(`X${bad}Y: a\r\n`)]),
    ...Array.from({ length: 32 }, (_, code): [string, string] => [
      `the control character ${code}`,
      withField(`X: a${String.fromCharCode(code)}b\r\n`),
    ]).filter((_, code) => code !== 9),
    ['DEL', withField('X: a\x7fb\r\n')],
  ]
  test('with fields that are none, or two of what there can be one of, are refused', () =>
    expectAllRefused(malformedFields, 400))

  const requestLines = [
    'PUT',
    'PUT /v1/c/k',
    'PUT  /v1/c/k HTTP/1.1',
    'PUT /v1/c/k  HTTP/1.1',
    'PUT /v1/c/k HTTP/1.1 ',
    ' PUT /v1/c/k HTTP/1.1',
    'PUT\t/v1/c/k\tHTTP/1.1',
    'PUT /v1/c/k\tHTTP/1.1',
    'PUT /v1/c/k HTTP/1.1 x',
    'PUT /v1/c/ k HTTP/1.1',
    'PUT /v1/c/k#x HTTP/1.1',
    'PUT #/v1/c/k HTTP/1.1',
    'PUT v1/c/k HTTP/1.1',
    'PUT ?x=1 HTTP/1.1',
    'PUT x:80 HTTP/1.1',
    'PUT ftp://x/v1/c/k HTTP/1.1',
    'PUT http:/v1/c/k HTTP/1.1',
    'PUT http:///v1/c/k HTTP/1.1',
    'PUT * HTTP/1.1',
    'GET * HTTP/1.1',
    'CONNECT x:80 HTTP/1.1',
    'PUT /v1/c/k\x7f HTTP/1.1',
    'P(T /v1/c/k HTTP/1.1',
    'P\xfcT /v1/c/k HTTP/1.1',
    'PUT: /v1/c/k HTTP/1.1',
    'PUT /v1/c/k http/1.1',
    'PUT /v1/c/k HTTP/1',
    'PUT /v1/c/k HTTP/1.',
    'PUT /v1/c/k HTTP/1.1.1',
    'PUT /v1/c/k HTTP/1,1',
    'PUT /v1/c/k HTTP1.1',
    'PUT /v1/c/k HTTP/ 1.1',
    'PUT /v1/c/k HTTPS/1.1',
    'PUT /v1/c/k ICAP/1.0',
    'HTTP/1.1 200 OK',
    ...Array.from({ length: 32 }, (_, code) => `PUT /v1/c/k${String.fromCharCode(code)}l HTTP/1.1`),
  ]
  test('that do not begin with a method, a target and a version are refused', () =>
    expectAllRefused(
      requestLines.map((line): [string, string] => [line, `${line}\r\nHost: x\r\n${rest}`]),
      400,
    ))

  test('of other versions of HTTP are refused with 505', async () => {
    const versions = ['2.0', '1.2', '0.9', '3.0', '9.9', '0.0']
    const requests = versions.map((version): [string, string] => [
      version,
      `PUT /v1/c/k HTTP/${version}\r\nHost: x\r\n${rest}`,
    ])
    await expectAllRefused(requests, 505)
    await expectAllRefused([['HTTP/2 by prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']], 505)
  })

  test('that cannot be the beginning of one are refused before they end', async () => {
    const hello = `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${'\x8f'.repeat(200)}`
    for (const begun of [
      hello,
      '\0',
      '\x80\x01',
      '\n',
      ' ',
      '(',
      '\r\r',
      '\r\n\n',
      '\r\n\x16\x03',
      'GET / HTTP/1.1\n',
    ])
      await expectRefused(begun, 400, new Uint8Array())
  })

  test('for which none but 100-continue is expected', async () => {
    for (const expected of ['200-ok', '100-continue, x', ''])
      await expectAllRefused([[expected, withField(`Expect: ${expected}\r\n`)]], 417)
  })
})
