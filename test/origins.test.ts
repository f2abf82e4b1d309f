import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { jsonOf, put } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'
import { openWire, requestBytes, type WireResponse } from './support/wire.ts'

/** Requests of web pages, and of names that are not the server's, on every path there is. */

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** Every method and path that the server documents, and some that it has not. */
async function requestsOf({ url }: TestServer): Promise<[method: string, path: string][]> {
  const { paths } = await jsonOf<Document>(fetch(`${url}/openapi.json`))
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method): [string, string] => [
      method.toUpperCase(),
      path.replace(/\{\w+\}/g, 'cache'),
    ]),
  )
  const others = [
    'GET /nowhere',
    'BREW /v1',
    'OPTIONS /v1/cache',
    'HEAD /healthz',
    'PUT /metrics',
    'OPTIONS *',
  ]
  return [...documented, ...others.map((one) => one.split(' ') as [string, string])]
}

async function respondTo(
  { port }: TestServer,
  [method, path]: [string, string],
  headers: Readonly<Record<string, string>>,
): Promise<WireResponse> {
  const wire = await openWire(port)
  const body = '{"operations":[{"op":"delete","collection":"cache","key":"cache"}]}'
  wire.write(requestBytes(method, path, { headers, ...(method === 'GET' ? {} : { body }) }))
  const reply = await wire.response(method)
  wire.destroy()
  return reply
}

const evil = 'http://evil.example'

describe.each([[[]], [['--dialect', 'ozza']], [['--dialect', 'keys']]])('a server with %j', (flags) => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ flags })
    await put(`${server.url}/v1/cache/cache`, '"kept"')
  })
  afterAll(() => server.remove())

  test.each([
    ['a page of another site', { Origin: evil }, 403],
    ['an image of another site', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }, 403],
    ['another port of this machine', { Origin: 'http://127.0.0.1:1', 'Sec-Fetch-Site': 'same-site' }, 403],
    ['a name that is not its own', { Host: 'evil.example' }, 421],
  ])('refuses %s whatever it asks for', async (_who, headers, status) => {
    const requests = await requestsOf(server)
    expect(requests.length).toBeGreaterThan(40)
    for (const request of requests) {
      const reply = await respondTo(server, request, headers)
      expect([...request, reply.status]).toEqual([...request, status])
      expect(Object.keys(reply.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
    expect(await (await fetch(`${server.url}/v1/cache/cache`)).text()).toBe('"kept"')
  })

  test('says so in the way of each API', async () => {
    const said = async (path: string, headers: Readonly<Record<string, string>>) => {
      const { body, headers: reported } = await respondTo(server, ['GET', path], headers)
      return [reported['content-type'], JSON.parse(body.toString())]
    }
    expect(await said('/v1/cache', { Origin: evil })).toEqual([
      'application/problem+json',
      expect.objectContaining({ type: 'urn:kvist:forbidden_origin', status: 403, code: 'forbidden_origin' }),
    ])
    expect(await said('/v1/cache', { Host: 'evil.example' })).toEqual([
      'application/problem+json',
      expect.objectContaining({
        code: 'misdirected',
        detail: expect.stringContaining('--allowed-host NAME'),
      }),
    ])
    expect(await said('/dialects/ozza/cache', { Origin: evil })).toEqual([
      'application/json',
      { error: expect.stringContaining('--cors-origin') },
    ])
  })

  test('counts what it refuses', async () => {
    const before = await refusedIn(server)
    await respondTo(server, ['DELETE', '/v1/cache'], { Origin: evil })
    expect((await refusedIn(server)) - before).toBe(1)
  })
})

async function refusedIn({ url }: TestServer): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const lines = text.split('\n').filter((line) => /^request_count\{.*"403"/.test(line))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

describe('an origin that is allowed', () => {
  const origin = 'https://app.example.com'
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ flags: ['--cors-origin', origin, '--cors-origin', 'http://a.b:1'] })
    await put(`${server.url}/v1/cache/cache`, '"kept"')
  })
  afterAll(() => server.remove())

  test('may ask for everything, and read every response, those of errors too', async () => {
    const statuses = new Set<number>()
    for (const request of await requestsOf(server)) {
      const { status, headers } = await respondTo(server, request, {
        Origin: origin,
        'Sec-Fetch-Site': 'cross-site',
      })
      statuses.add(status)
      expect([...request, headers['access-control-allow-origin']]).toEqual([...request, origin])
      expect(headers['access-control-expose-headers']).toContain('ETag')
      expect(headers.vary).toContain('Origin')
    }
    expect([...statuses]).toEqual(expect.arrayContaining([200, 204, 400, 404, 405]))
    expect(statuses).not.toContain(403)
  })

  test('gets a response to its preflight, on every path', async () => {
    const asks = { Origin: origin, 'Access-Control-Request-Method': 'PUT' }
    for (const path of ['/v1', '/v1/c/k', '/v1/_batch', '/dialects/ozza/c', '/metrics', '/nowhere']) {
      const { status, headers } = await respondTo(server, ['OPTIONS', path], asks)
      expect([path, status, headers['access-control-allow-origin']]).toEqual([path, 204, origin])
    }
    expect((await respondTo(server, ['OPTIONS', '/v1'], { ...asks, Origin: evil })).status).toBe(403)
  })

  test('is distinguished from others by caches', async () => {
    expect((await fetch(`${server.url}/v1/cache/cache`)).headers.get('vary')).toContain('Origin')
  })

  test('reads a body that was too large, and an event stream', async () => {
    const large = { 'Content-Length': '17000000', Origin: origin }
    const wire = await openWire(server.port)
    wire.write(requestBytes('PUT', '/v1/c/k', { headers: large }))
    expect(await wire.response('PUT')).toMatchObject({
      status: 413,
      headers: { 'access-control-allow-origin': origin },
    })
    wire.destroy()
    const stopped = new AbortController()
    const { headers } = await fetch(`${server.url}/v1/c`, {
      headers: { Accept: 'text/event-stream', Origin: origin },
      signal: stopped.signal,
    })
    expect(headers.get('access-control-allow-origin')).toBe(origin)
    stopped.abort()
  })
})

describe('with a token', () => {
  test('a page has to know it, and may read what it gets if its origin is allowed', async () => {
    const flags = ['--cors-origin', '*']
    const server = await startServer({ flags, env: { KVIST_TOKEN: 't' } })
    try {
      const asks = { Origin: evil, 'Access-Control-Request-Method': 'GET' }
      const preflight = await respondTo(server, ['OPTIONS', '/v1'], asks)
      expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': '*' } })
      expect(preflight.headers['access-control-allow-headers']).toContain('Authorization')
      const refused = await respondTo(server, ['GET', '/v1'], { Origin: evil })
      expect(refused).toMatchObject({ status: 401, headers: { 'access-control-allow-origin': '*' } })
      const headers = { Origin: evil, Authorization: 'Bearer t', Host: 'any.name' }
      expect((await respondTo(server, ['GET', '/v1'], headers)).status).toBe(200)
    } finally {
      await server.remove()
    }
  })

  test('no page may read anything unless an option says so', async () => {
    const server = await startServer({ env: { KVIST_TOKEN: 't' } })
    try {
      const { status, headers } = await respondTo(server, ['GET', '/v1'], {
        Origin: evil,
        Authorization: 'Bearer t',
      })
      expect(status).toBe(200)
      expect(headers['access-control-allow-origin']).toBeUndefined()
      const asks = { Origin: evil, 'Access-Control-Request-Method': 'GET' }
      expect((await respondTo(server, ['OPTIONS', '/v1'], asks)).status).toBe(401)
    } finally {
      await server.remove()
    }
  })
})

test('curl needs no content type, and no browser sends a form without its origin', async () => {
  const server = await startServer()
  try {
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
    const stored = await fetch(`${server.url}/v1/c/k`, { method: 'PUT', body: '{"a":1}', headers: form })
    expect(stored.status).toBe(201)
  } finally {
    await server.remove()
  }
})

test('what a response carries can never act as a page of this origin, but for the pages of its own', async () => {
  const server = await startServer({ flags: ['--dialect', 'tenantbase'] })
  try {
    await put(`${server.url}/v1/cache/cache`, '<script>alert(1)</script>', { 'content-type': 'text/html' })
    for (const request of await requestsOf(server)) {
      const { headers } = await respondTo(server, request, {})
      const policy = headers['content-security-policy']
      expect([...request, headers['x-content-type-options']]).toEqual([...request, 'nosniff'])
      expect([...request, headers['cross-origin-resource-policy']]).toEqual([...request, 'same-origin'])
      if (headers['content-type']?.startsWith('text/html') && /^\/(docs|console)(\/|$)/.test(request[1]!)) {
        expect(policy).toContain("script-src 'self'")
      } else {
        expect([...request, policy]).toEqual([...request, "sandbox; default-src 'none'"])
      }
    }
  } finally {
    await server.remove()
  }
})
