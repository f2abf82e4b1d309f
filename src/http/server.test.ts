import { afterAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { authenticatorOf } from '../../test/support/authenticator.ts'
import { KvistError } from '../core/errors.ts'
import { accessLog } from './access-log.ts'
import { jsonText, readBody } from './body.ts'
import { jsonResponse, responseOf, streamed } from './response.ts'
import type { Route } from './route.ts'
import { type HttpOptions, type HttpServer, listen } from './server.ts'
import type { HttpResponse } from './wire/response.ts'

interface Reported {
  readonly error: unknown
  readonly about: Readonly<Record<string, unknown>> | undefined
}

const servers: HttpServer[] = []
afterAll(async () => {
  for (const server of servers) await server.stop(0)
})

function route(path: string, handle: Route['handle'], method: Route['method'] = 'GET'): Route {
  return { method, path, access: 'read', summary: path, handle }
}

/** A server with some routes of its own, and the responses and errors that it reported. */
function serverOf(routes: Route[], options: Partial<HttpOptions> = {}) {
  const reported: Reported[] = []
  const responded: [route: string | null, status: number][] = []
  const server = listen({
    host: '127.0.0.1',
    port: 0,
    idleTimeoutSeconds: 5,
    authenticator: authenticatorOf(null),
    hostNames: ['x'],
    routes,
    now: Date.now,
    onError: (error, about) => reported.push({ error, about }),
    observe: (route) => (_request, status, seconds) => {
      expect(seconds).toBeGreaterThan(0)
      responded.push([route?.path ?? null, status])
    },
    ...options,
  })
  servers.push(server)
  return { server, url: server.url, reported, responded }
}

const broken = new Error('a wire came loose', { cause: new Error('mice') })

test.each([
  [
    'thrown',
    () => {
      throw broken
    },
  ],
  ['rejected', () => Promise.reject(broken)],
] as [string, Route['handle']][])(
  'an error that is %s is logged under the request id that the client is given',
  async (_how, handle) => {
    const { url, reported, responded } = serverOf([route('/x', handle)])
    const response = await fetch(`${url}/x?secret=1`)
    const problem = await response.json()
    expect(response.status).toBe(500)
    expect(problem).toMatchObject({ code: 'internal', detail: 'kvist failed' })
    expect(JSON.stringify(problem)).not.toContain('wire')
    const id = response.headers.get('x-request-id')
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect(problem).toMatchObject({ code: 'internal', detail: 'kvist failed', request_id: id })
    expect(JSON.stringify(problem)).not.toContain('wire')
    expect(reported).toEqual([{ error: broken, about: { request_id: id, method: 'GET', path: '/x' } }])
    expect(responded).toEqual([['/x', 500]])
  },
)

test('a request keeps the name that the client gave it, if that is one', async () => {
  const { url, reported } = serverOf([route('/x', () => Promise.reject(broken))])
  const nameOf = async (given: string) =>
    (await fetch(`${url}/x`, { headers: { 'x-request-id': given } })).headers.get('x-request-id')
  expect(await nameOf('trace-17/a')).toBe('trace-17/a')
  expect(await nameOf('two words')).toMatch(/^[0-9a-f-]{36}$/)
  expect(await nameOf('x'.repeat(129))).toMatch(/^[0-9a-f-]{36}$/)
  expect(reported[0]!.about).toMatchObject({ request_id: 'trace-17/a' })
})

test('errors of the client are no news; those of the store are', async () => {
  const { url, reported, responded } = serverOf([
    route('/client', () => {
      throw new KvistError('invalid_key', 'the key is empty')
    }),
    route('/store', () => {
      throw new KvistError('storage_full', 'the disk is full')
    }),
  ])
  expect((await fetch(`${url}/client`)).headers.get('x-request-id')).toBeNull()
  const response = await fetch(`${url}/store`)
  expect(response.status).toBe(507)
  expect(response.headers.get('retry-after')).toBe('10')
  expect(reported).toHaveLength(1)
  expect(responded).toEqual([
    ['/client', 400],
    ['/store', 507],
  ])
})

test('a response that fails midway is cut, and reported', async () => {
  const { url, reported } = serverOf([
    route('/x', () => {
      const parts = [new Uint8Array(1000)]
      const body = streamed(
        async () => {
          await Bun.sleep(1)
          const part = parts.pop()
          if (part !== undefined) return part
          throw broken
        },
        () => {},
      )
      return responseOf(200, {}, body)
    }),
  ])
  const response = await fetch(`${url}/x`, { headers: { 'x-request-id': 'r2' } })
  expect(response.status).toBe(200)
  expect(await response.bytes().catch(() => 'cut')).toBe('cut')
  expect(reported).toEqual([{ error: broken, about: { request_id: 'r2', method: 'GET', path: '/x' } }])
})

test('what no route takes is observed as well, and so is a refused token', async () => {
  const { url, responded } = serverOf([route('/x', () => responseOf(200, {}, 'x'))], {
    authenticator: authenticatorOf('secret'),
  })
  const headers = { authorization: 'Bearer secret' }
  await fetch(`${url}/x`)
  await fetch(`${url}/x`, { headers })
  await fetch(`${url}/y`, { headers })
  await fetch(`${url}/x`, { method: 'PUT', headers })
  expect(responded).toEqual([
    ['/x', 401],
    ['/x', 200],
    [null, 404],
    [null, 405],
  ])
})

test("a client that goes away with its request half sent is nobody's fault", async () => {
  const { server, url, reported, responded } = serverOf([
    route(
      '/x',
      async (request, context) => jsonResponse(jsonText(await readBody(request, 100, context))),
      'PUT',
    ),
  ])
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf')
  while (server.openRequests() === 0) await Bun.sleep(5)
  socket.destroy()
  while (responded.length === 0) await Bun.sleep(5)
  expect(responded).toEqual([['/x', 499]])
  expect(reported).toEqual([])
})

test('open requests and connections are counted', async () => {
  let report = (_response: HttpResponse) => {}
  const { server, url } = serverOf([
    route(
      '/x',
      () =>
        new Promise((resolve) => {
          report = resolve
        }),
    ),
  ])
  const port = Number(new URL(url).port)
  expect([server.openRequests(), await server.connections.open]).toEqual([0, 0])
  const idle = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  const asked = fetch(`${url}/x`)
  while (server.openRequests() === 0 || (await server.connections.open) !== 3) await Bun.sleep(5)
  report(responseOf(200, {}, 'x'))
  await (await asked).text()
  while (server.openRequests() !== 0) await Bun.sleep(5)
  for (const socket of idle) socket.destroy()
})

test('the access log has a line for every request, and never a query', async () => {
  const lines: [string, Readonly<Record<string, unknown>>][] = []
  const log = {
    info: (message: string, fields = {}) => void lines.push([message, fields]),
    warn() {},
    error() {},
  }
  const { url } = serverOf([route('/v1/:collection', () => responseOf(200, {}, 'x'))], {
    observe: accessLog(log),
  })
  await fetch(`${url}/v1/caf%C3%A9?value=secret`, { headers: { 'x-request-id': 'r1' } })
  await fetch(`${url}/nowhere`, { method: 'DELETE' })
  expect(lines).toEqual([
    [
      'GET /v1/caf%C3%A9 200',
      {
        request_id: 'r1',
        method: 'GET',
        path: '/v1/caf%C3%A9',
        route: '/v1/:collection',
        status: 200,
        duration_ms: expect.any(Number),
        client: '127.0.0.1',
      },
    ],
    ['DELETE /nowhere 404', expect.objectContaining({ route: null, status: 404 })],
  ])
})
