import { describe, expect, test } from 'bun:test'
import { KvistError } from '../core/errors.ts'
import { type OriginOptions, originPolicy, withExtraHeaders } from './origin-policy.ts'
import { responseOf } from './response.ts'
import { parseHead, Refusal } from './wire/head.ts'
import { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

const open: OriginOptions = {
  needsToken: false,
  asksForCertificate: false,
  scheme: 'http',
  hostNames: [],
  corsOrigins: [],
}

type Headers = Readonly<Record<string, string | readonly string[]>>

function requestOf(headers: Headers, line = 'GET /v1/c/k HTTP/1.1'): HttpRequest {
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}: ${value}`),
  )
  const head = parseHead(Buffer.from([line, ...lines, '', ''].join('\r\n')))
  if (head === null || head instanceof Refusal) throw new Error(`no request: ${head?.detail}`)
  return new HttpRequest(head, { pull() {}, taken() {} })
}

/** `passed`, the code of a refusal, or `preflight`; of requests with the same headers it is always the same. */
function verdictOn(
  headers: Headers,
  options: Partial<OriginOptions> = {},
  line?: string,
  route: { isPage?: boolean } = {},
) {
  const check = originPolicy({ ...open, ...options })(route)
  const verdicts = [1, 2].map(() => {
    try {
      return (check?.(requestOf(headers, line), { extraHeaders: '' }) ?? null) === null
        ? 'passed'
        : 'preflight'
    } catch (error) {
      if (!(error instanceof KvistError)) throw error
      return error.code
    }
  })
  expect(verdicts[1]).toBe(verdicts[0]!)
  return verdicts[0]
}

/** The check of a route under a policy, with the header lines that it set. */
function checkOf(
  options: Partial<OriginOptions>,
  route: Parameters<ReturnType<typeof originPolicy>>[0] = {},
) {
  const check = originPolicy({ ...open, ...options })(route)!
  const context = { extraHeaders: '' }
  return {
    check: (request: HttpRequest) => check(request, context),
    headersOf: (response: HttpResponse) => headersOf(withExtraHeaders(response, context)),
  }
}

const host = { Host: 'localhost:7070' }

describe('a server without a token', () => {
  test.each([
    ['no browser', {}],
    ['a page of its own', { Origin: 'http://localhost:7070' }],
    [
      'a page of its own, as browsers say it',
      { Origin: 'http://localhost:7070', 'Sec-Fetch-Site': 'same-origin' },
    ],
    ['a page of its own, by GET', { 'Sec-Fetch-Site': 'same-origin' }],
    ['an address that somebody typed', { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate' }],
    ['a runtime that says how it fetches', { 'Sec-Fetch-Mode': 'cors' }],
  ])('serves %s', (_who, headers) => {
    expect(verdictOn({ ...host, ...headers })).toBe('passed')
  })

  test.each([
    ['LOCALHOST:7070', 'http://localhost:7070'],
    ['localhost', 'http://localhost'],
    ['localhost:80', 'http://localhost'],
    ['[::1]:7070', 'http://[::1]:7070'],
    ['localhost.:7070', 'http://localhost.:7070'],
    // A port that is forwarded to the server's.
    ['127.0.0.1:8080', 'http://127.0.0.1:8080'],
  ])('takes the page at %s for its own', (name, origin) => {
    expect(verdictOn({ Host: name, Origin: origin })).toBe('passed')
  })

  test.each([
    ['another site', 'http://evil.example'],
    ['another port', 'http://localhost:7071'],
    ['the port of its scheme', 'http://localhost'],
    ['another scheme', 'https://localhost:7070'],
    ['another name of the same machine', 'http://127.0.0.1:7070'],
    ['a name that begins as its own', 'http://localhost:7070.evil.example'],
    ['a name that ends as its own', 'http://evil-localhost:7070'],
    ['a sandboxed page or a file', 'null'],
    ['nobody', ''],
    ['an extension', 'chrome-extension://abcdefghijklmnop'],
    ['two', ['http://localhost:7070', 'http://evil.example']],
    ['itself twice', ['http://localhost:7070', 'http://localhost:7070']],
    ['a list', 'http://localhost:7070, http://evil.example'],
  ])('refuses a page of %s', (_who, Origin) => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'POST', 'PATCH', 'DELETE', 'BREW']) {
      expect([method, verdictOn({ ...host, Origin }, {}, `${method} /v1/c/k HTTP/1.1`)]).toEqual([
        method,
        'forbidden_origin',
      ])
    }
  })

  test.each([
    [{ 'Sec-Fetch-Site': 'cross-site' }],
    [{ 'Sec-Fetch-Site': 'same-site' }],
    [{ 'Sec-Fetch-Site': 'Cross-Site' }],
    [{ 'Sec-Fetch-Site': 'none, cross-site' }],
    [{ 'Sec-Fetch-Site': ['none', 'cross-site'] }],
    [{ 'Sec-Fetch-Site': 'cross-site', Origin: 'http://localhost:7070' }],
    [{ 'Sec-Fetch-Site': 'same-origin', Origin: 'http://evil.example' }],
    [{ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' }],
    [{ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' }],
  ])('refuses %j', (headers) => {
    expect(verdictOn({ ...host, ...headers })).toBe('forbidden_origin')
  })

  test('refuses a page that opens a WebSocket, and one that asks first', () => {
    const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }
    expect(verdictOn({ ...host, ...upgrade, Origin: 'http://evil.example' })).toBe('forbidden_origin')
    const preflight = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'DELETE' }
    expect(verdictOn({ ...host, ...preflight }, {}, 'OPTIONS /v1/c HTTP/1.1')).toBe('forbidden_origin')
  })

  const link = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' }

  test('serves its own pages to whoever follows a link to them, and to nothing else of a page', () => {
    const page = { isPage: true }
    const verdict = (headers: Headers, method = 'GET') =>
      verdictOn({ ...host, ...headers }, {}, `${method} /docs HTTP/1.1`, page)
    expect(verdict(link)).toBe('passed')
    expect(verdict({ ...link, 'Sec-Fetch-Site': 'same-site' })).toBe('passed')
    expect(verdict(link, 'HEAD')).toBe('passed')
    expect(verdict(link, 'POST')).toBe('forbidden_origin')
    expect(verdict({ ...link, Origin: 'null' })).toBe('forbidden_origin')
    expect(verdict({ ...link, 'Sec-Fetch-Dest': 'iframe' })).toBe('forbidden_origin')
    expect(verdict({ ...link, 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'script' })).toBe(
      'forbidden_origin',
    )
    expect(verdictOn({ ...link, Host: 'evil.example' }, {}, 'GET /docs HTTP/1.1', page)).toBe('misdirected')
  })

  test.each([
    'localhost',
    'LocalHost:7070',
    'localhost.',
    '127.0.0.1',
    '192.168.1.5:7070',
    '[::1]',
    '[FE80::1]:80',
    'db.lan',
    'DB.lan.:7070',
    'localhost:',
    '',
  ])('serves the host "%s"', (Host) => {
    expect(verdictOn({ Host }, { hostNames: ['db.lan'] })).toBe('passed')
  })

  test.each([
    'evil.example',
    'evil.example:7070',
    'localhost.evil.example',
    'evil.localhost',
    'localhost..',
    '127.0.0.1.evil.example',
    '127.1',
    '0x7f000001',
    '2130706433',
    'db',
  ])('does not serve the host %s', (Host) => {
    expect(verdictOn({ Host }, { hostNames: ['db.lan'] })).toBe('misdirected')
    expect(verdictOn({ Host, Origin: `http://${Host}` }, { hostNames: ['db.lan'] })).toBe('misdirected')
  })

  test('goes by the authority of a target in absolute form, which counts in place of the Host', () => {
    const get = (authority: string) => `GET http://${authority}/v1 HTTP/1.1`
    expect(verdictOn(host, {}, get('localhost'))).toBe('passed')
    expect(verdictOn(host, {}, get('evil.example'))).toBe('misdirected')
    // Also when the header block was found to be fine before.
    const { check } = checkOf({})
    expect(check(requestOf(host))).toBeNull()
    expect(() => check(requestOf(host, get('evil.example')))).toThrow('not known as "evil.example"')
  })

  test('serves a client of HTTP/1.0 that names no host', () => {
    expect(verdictOn({}, {}, 'GET / HTTP/1.0')).toBe('passed')
    expect(verdictOn({ Origin: 'http://evil.example' }, {}, 'GET / HTTP/1.0')).toBe('forbidden_origin')
  })

  test('says in its refusals which option would allow it', () => {
    const { check } = checkOf({})
    expect(() => check(requestOf({ ...host, Origin: 'http://a.b' }))).toThrow(
      'web pages of the origin http://a.b may not use this server; --cors-origin ORIGIN allows those of an origin',
    )
    expect(() => check(requestOf({ Host: 'kvist:7070' }))).toThrow(
      'this server is not known as "kvist:7070"; --allowed-host NAME makes a name its own',
    )
  })
})

test('what one server has accepted is checked by another', () => {
  const headers = { Host: 'db.lan' }
  const friendly = checkOf({ hostNames: ['db.lan'] })
  expect(friendly.check(requestOf(headers))).toBeNull()
  expect(() => checkOf({}).check(requestOf(headers))).toThrow('not known')
})

describe('an origin that is allowed', () => {
  const app = 'https://app.example.com'
  const corsOrigins = [app, 'http://localhost:3000']

  test('may send anything, to an own name of the server', () => {
    for (const headers of [{}, { 'Sec-Fetch-Site': 'cross-site' }, { 'Sec-Fetch-Site': 'same-site' }]) {
      expect(verdictOn({ ...host, Origin: app, ...headers }, { corsOrigins })).toBe('passed')
    }
    expect(verdictOn({ Host: 'evil.example', Origin: app }, { corsOrigins })).toBe('misdirected')
    for (const Origin of [
      'https://app.example.com.',
      'https://app.example.com:444',
      'http://app.example.com',
      'null',
    ]) {
      expect(verdictOn({ ...host, Origin }, { corsOrigins })).toBe('forbidden_origin')
    }
  })

  test('gets a response to its preflight', () => {
    const asks = { ...host, Origin: app, 'Access-Control-Request-Method': 'PATCH' }
    const options = 'OPTIONS /v1/c/k HTTP/1.1'
    expect(verdictOn(asks, { corsOrigins }, options)).toBe('preflight')
    expect(verdictOn({ ...asks, Origin: 'http://localhost:7070' }, { corsOrigins }, options)).toBe('passed')
    const request = requestOf(asks, options)
    const policy = checkOf({ corsOrigins })
    const lines = policy.headersOf(policy.check(request)!)
    expect(lines['Access-Control-Allow-Origin']).toBe(app)
    expect(lines['Access-Control-Allow-Methods']).toBe('GET, HEAD, PUT, POST, PATCH, DELETE')
    for (const name of ['Authorization', 'Content-Type', 'If-Match', 'Last-Event-ID', 'Range', '*']) {
      expect(lines['Access-Control-Allow-Headers']!.split(', ')).toContain(name)
    }
    expect(lines.Vary).toBe('Origin')
  })

  test('may read every response, and caches keep those of others apart', () => {
    const policy = checkOf({ corsOrigins })
    const linesFor = (headers: Headers, response: HttpResponse) => {
      const request = requestOf({ ...host, ...headers })
      policy.check(request)
      return policy.headersOf(response)
    }
    const read = linesFor({ Origin: app }, responseOf(200, {}, 'x'))
    expect(read['Access-Control-Allow-Origin']).toBe(app)
    expect(read['Access-Control-Expose-Headers']!.split(', ')).toEqual(
      expect.arrayContaining(['ETag', 'Location', 'Link', 'Retry-After', 'Kvist-Expires-At', 'X-Request-Id']),
    )
    expect(linesFor({ Origin: app }, responseOf(200, { Vary: 'Accept' })).Vary).toBe('Origin, Accept')
    for (const headers of [{}, { Origin: 'http://localhost:7070' }]) {
      const lines = linesFor(headers, responseOf(200, { Vary: 'Accept' }))
      expect(lines['Access-Control-Allow-Origin']).toBeUndefined()
      expect(lines.Vary).toBe('Origin, Accept')
    }
  })
})

describe('a server with a token', () => {
  const needsToken = true

  test('refuses no page and no name, and has nothing to check without an option', () => {
    expect(originPolicy({ ...open, needsToken })({})).toBeNull()
    const corsOrigins = ['https://app.example.com']
    for (const headers of [{ Host: 'evil.example' }, { ...host, Origin: 'http://evil.example' }]) {
      expect(verdictOn(headers, { needsToken, corsOrigins })).toBe('passed')
    }
  })

  test('lets any page read what it may have, where that was asked for', () => {
    const policy = checkOf({ needsToken, corsOrigins: ['*'] })
    for (const headers of [{}, { Origin: 'null' }, { Origin: 'http://evil.example' }]) {
      const request = requestOf({ ...host, ...headers })
      policy.check(request)
      const lines = policy.headersOf(responseOf(401))
      expect(lines['Access-Control-Allow-Origin']).toBe('*')
      expect(lines.Vary).toBeUndefined()
    }
  })
})

test('a dialect for any origin is for any origin, but not under any name', () => {
  const api = { mount: '', refuse: () => responseOf(400), anyOrigin: true }
  for (const needsToken of [false, true]) {
    const policy = checkOf({ needsToken }, { api })
    for (const headers of [{}, { Origin: 'http://evil.example', 'Sec-Fetch-Site': 'cross-site' }]) {
      const request = requestOf({ ...host, ...headers })
      expect(policy.check(request)).toBeNull()
      expect(policy.headersOf(responseOf(200))['Access-Control-Allow-Origin']).toBe('*')
    }
  }
  expect(() => checkOf({}, { api }).check(requestOf({ Host: 'evil.example' }))).toThrow('not known')
})

function headersOf({ headerBlock }: HttpResponse): Record<string, string> {
  const named = headerBlock.split('\r\n').slice(0, -1)
  const fields = named.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
  expect(new Set(fields.map(([name]) => name)).size).toBe(fields.length)
  return Object.fromEntries(fields)
}
