import { afterEach, describe, expect, test } from 'bun:test'
import { type InProcessOptions, type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { ask } from './support/limit-client.ts'
import { memcachedPortOf } from './support/memcached/serve.ts'
import { textClient } from './support/memcached/text-client.ts'
import { checkProblem } from './support/responses.ts'

/** What clients may send, over HTTP, by a clock that the tests set. Real servers in this process. */

let nowMs = 0
let server: ServerInProcess

async function serve(flags: readonly string[], more: InProcessOptions = {}): Promise<void> {
  nowMs = 0
  server = await serveInProcess({ ...more, flags, monotonicMs: () => nowMs })
}

afterEach(() => server.stop())

const statusOf = async (request: Parameters<typeof ask>[1] = {}) => (await ask(server.port, request)).status

test('what is left is in every response, and what is too many is refused until there is some again', async () => {
  await serve(['--rate-limit', '2/m:3'])
  const left: unknown[] = []
  for (const [method, path, status] of [
    ['GET', '/v1/c/k', 404],
    ['PUT', '/v1/c/k', 400],
    ['GET', '/nowhere', 404],
  ] as const) {
    const reply = await ask(server.port, { method, path })
    left.push([reply.status, reply.headers.ratelimit, reply.headers['ratelimit-policy']])
    expect(reply.status).toBe(status)
  }
  expect(left.map((one) => (one as unknown[])[1])).toEqual([2, 1, 0].map((r) => `"default";r=${r};t=30`))
  expect(left.map((one) => (one as unknown[])[2])).toEqual(Array(3).fill('"default";q=2;w=60;kvist-burst=3'))

  nowMs = 1000
  const refused = await ask(server.port)
  const type = refused.headers['content-type']
  expect(checkProblem({ ...refused, type, text: refused.body }, 429, 'rate_limited')).toMatchObject({
    limit: '2/m:3',
    retry_after_seconds: 29,
  })
  expect(refused.headers).toMatchObject({
    'retry-after': '29',
    ratelimit: '"default";r=0;t=29',
    'ratelimit-policy': '"default";q=2;w=60;kvist-burst=3',
  })
  nowMs = 29_999
  expect(await statusOf()).toBe(429)
  nowMs = 30_000
  expect(await statusOf()).toBe(404)
  expect(await statusOf()).toBe(429)
})

test('a request that is refused is not done', async () => {
  await serve(['--rate-limit', '1/h'])
  expect(await statusOf({ method: 'PUT', body: '1' })).toBe(201)
  expect(await statusOf({ method: 'PUT', path: '/v1/c/other', body: '1' })).toBe(429)
  expect(await statusOf({ method: 'DELETE' })).toBe(429)
  nowMs = 3_600_000
  expect((await ask(server.port, { path: '/v1/c?include=keys' })).body).toBe(
    '{"members":[{"key":"k"}],"next":null}\n',
  )
})

test('requests of all APIs count, those that ask for health do not', async () => {
  await serve(['--rate-limit', '1/h', '--dialect', 'keys'])
  expect(await statusOf({ path: '/dialects/ozza/users' })).toBe(200)
  for (const path of ['/keys/a', '/dialects/tenantbase/health-check', '/docs', '/metrics', '/', '/nowhere']) {
    expect([path, await statusOf({ path })]).toEqual([path, 429])
  }
  for (const path of ['/healthz', '/readyz']) {
    const reply = await ask(server.port, { path })
    expect([path, reply.status, reply.headers.ratelimit]).toEqual([path, 200, undefined])
  }
  // Each API refuses in its own form.
  expect((await ask(server.port, { path: '/dialects/ozza/users' })).body).toStartWith('{"error":')
})

test('each address has its own rate; a batch is one request', async () => {
  await serve(['--rate-limit', '2/h'])
  const operations = Array.from({ length: 50 }, (_, i) => ({
    op: 'put',
    collection: 'c',
    key: `${i}`,
    value: 1,
  }))
  const batch = { method: 'POST', path: '/v1/_batch', body: JSON.stringify({ operations }) }
  expect([await statusOf(batch), await statusOf(batch), await statusOf(batch)]).toEqual([200, 200, 429])
  expect(await statusOf({ from: '127.0.0.2' })).toBe(404)
  expect(await statusOf({ from: '127.0.0.1' })).toBe(429)
})

test('a token has one rate from whatever address; without a token it is that of the address', async () => {
  await serve(['--rate-limit', '2/h'], { env: { KVIST_TOKEN: 'secret' } })
  const headers = { authorization: 'Bearer secret' }
  expect(await statusOf({ headers })).toBe(404)
  expect(await statusOf({ headers, from: '127.0.0.2' })).toBe(404)
  expect(await statusOf({ headers, from: '127.0.0.3' })).toBe(429)
  expect([await statusOf(), await statusOf(), await statusOf()]).toEqual([401, 401, 429])
  expect(await statusOf({ from: '127.0.0.2' })).toBe(401)
})

describe('a token with a rate of its own', () => {
  const root = { authorization: 'Bearer root-token' }
  const env = { KVIST_TOKEN: 'root-token' }
  const grants = [{ collections: '*', can: ['read'] }]
  const create = (fields: object) =>
    ask(server.port, {
      method: 'POST',
      path: '/v1/_tokens',
      headers: { ...root, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'app', grants, ...fields }),
    })

  test('has that in place of the usual one, more or less, and says so', async () => {
    await serve(['--rate-limit', '100/h:10'], { env })
    const made = await create({ rate_limit: '2/h' })
    expect([made.status, JSON.parse(made.body).rate_limit]).toEqual([201, '2/h'])
    const headers = { authorization: `Bearer ${JSON.parse(made.body).token}` }
    const known = JSON.parse((await ask(server.port, { path: '/v1/_whoami', headers })).body)
    expect(known).toMatchObject({ name: 'app', rate_limit: '2/h' })
    const last = await ask(server.port, { headers })
    expect(last.headers['ratelimit-policy']).toBe('"default";q=2;w=3600')
    const refused = await ask(server.port, { headers, from: '127.0.0.2' })
    expect([refused.status, JSON.parse(refused.body).limit]).toEqual([429, '2/h'])
    // Others are not concerned.
    const larger = JSON.parse((await create({ rate_limit: '5000/s:7000' })).body)
    const { headers: said } = await ask(server.port, { headers: { authorization: `Bearer ${larger.token}` } })
    expect(said.ratelimit).toBe('"default";r=6999;t=1')
    expect((await ask(server.port, { headers: root })).headers.ratelimit).toBe('"default";r=7;t=36')
    const { tokens } = JSON.parse((await ask(server.port, { path: '/v1/_tokens', headers: root })).body)
    expect(tokens.map(({ rate_limit }: { rate_limit: string }) => rate_limit)).toEqual(['2/h', '5000/s:7000'])
  })

  test('has it also where nobody else has one; without the field it has none', async () => {
    await serve([], { env })
    const limited = JSON.parse((await create({ rate_limit: '1/h:1' })).body)
    const free = JSON.parse((await create({ rate_limit: null })).body)
    expect(free.rate_limit).toBeUndefined()
    const statusesOf = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` }
      return [await statusOf({ headers }), await statusOf({ headers })]
    }
    expect(await statusesOf(limited.token)).toEqual([404, 429])
    expect(await statusesOf(free.token)).toEqual([404, 404])
    expect(await statusesOf('root-token')).toEqual([404, 404])
  })

  test.each(['', '50', '0/s', '50/d', 50, {}, [['50/s']], true])(
    'that is %j is refused',
    async (rate_limit) => {
      await serve([], { env })
      const made = await create({ rate_limit })
      const type = made.headers['content-type']
      checkProblem({ ...made, type, text: made.body }, 400, 'invalid_request')
    },
  )
})

test('a web page of another origin cannot use up the rate of the person who looks at it', async () => {
  await serve(['--rate-limit', '1/h'])
  const headers = { origin: 'https://evil.example' }
  for (let i = 0; i < 5; i++) expect(await statusOf({ headers })).toBe(403)
  expect(await statusOf()).toBe(404)
})

test('pages that may use the server can read what is left, also when they are refused', async () => {
  await serve(['--rate-limit', '1/h', '--cors-origin', 'https://app.example'])
  const headers = { origin: 'https://app.example' }
  for (const status of [404, 429]) {
    const reply = await ask(server.port, { headers })
    expect(reply.status).toBe(status)
    expect(reply.headers['access-control-allow-origin']).toBe('https://app.example')
    expect(reply.headers['access-control-expose-headers']).toContain(
      'RateLimit, RateLimit-Policy, Retry-After',
    )
    expect(reply.headers.ratelimit).toStartWith('"default";r=0;t=')
  }
  const asked = { ...headers, 'access-control-request-method': 'PUT' }
  expect(await statusOf({ method: 'OPTIONS', headers: asked })).toBe(204)
})

test('a stream that was begun goes on, and its head says what is left', async () => {
  await serve(['--rate-limit', '3/h'])
  const watch = await fetch(`${server.url}/v1/c`, { headers: { accept: 'text/event-stream' } })
  expect(watch.headers.get('ratelimit')).toBe('"default";r=2;t=1200')
  expect([await statusOf(), await statusOf({ method: 'PUT', body: '1' })]).toEqual([404, 201])
  expect(await statusOf()).toBe(429)
  let seen = ''
  for await (const part of watch.body!) {
    seen += Buffer.from(part).toString()
    if (seen.includes('event: put')) break
  }
})

test('the metrics count what is refused, by protocol', async () => {
  await serve(['--rate-limit', '1/h', '--memcached-port', '0'], { env: { KVIST_TOKEN: 'secret' } })
  const headers = { authorization: 'Bearer wrong' }
  for (let i = 0; i < 3; i++) await statusOf({ headers })
  const client = await textClient(memcachedPortOf(server), '127.0.0.3')
  for (let i = 0; i < 3; i++) await client.ask('set login 0 0 7\r\nu wrong\r\n', '\r\n')
  client.destroy()
  const right = { authorization: 'Bearer secret' }
  const { body } = await ask(server.port, { path: '/metrics', headers: right, from: '127.0.0.2' })
  for (const protocol of ['http', 'memcached']) {
    expect(body).toContain(`kvist_rate_limited_total{protocol="${protocol}"} 2\n`)
    expect(body).toContain(`kvist_wrong_tokens_total{protocol="${protocol}"} 1\n`)
    expect(body).toContain(`kvist_wrong_tokens_limited_total{protocol="${protocol}"} 0\n`)
  }
})

test('without the option nothing is said and nothing refused', async () => {
  await serve([])
  for (let i = 0; i < 30; i++) {
    const { status, headers } = await ask(server.port)
    expect([status, headers.ratelimit, headers['ratelimit-policy']]).toEqual([404, undefined, undefined])
  }
})

describe('wrong tokens', () => {
  const headers = { authorization: 'Bearer wrong' }

  test('and wrong tickets count together', async () => {
    await serve([], { env: { KVIST_TOKEN: 'secret' } })
    for (let i = 0; i < 10; i++) {
      expect(await statusOf({ headers })).toBe(401)
      expect(await statusOf({ path: '/v1/c?ticket=wrong' })).toBe(401)
    }
    expect(await statusOf({ path: '/v1/c?ticket=wrong' })).toBe(429)
    expect(await statusOf({ headers })).toBe(429)
    // A dialect may have a parameter of that name.
    expect(await statusOf({ path: '/dialects/ozza/c?ticket=x' })).toBe(401)
  })

  test('get an error twenty times a minute, and are slowed down then; the right one is accepted all along', async () => {
    await serve([], { env: { KVIST_TOKEN: 'secret' } })
    for (let i = 0; i < 20; i++) expect(await statusOf({ headers })).toBe(401)
    const refused = await ask(server.port, { headers })
    const type = refused.headers['content-type']
    checkProblem({ ...refused, type, text: refused.body }, 429, 'rate_limited')
    expect(refused.headers['retry-after']).toBe('3')
    expect(await statusOf({ headers: { authorization: 'Basic d3Jvbmc6' } })).toBe(429)
    expect(await statusOf({ headers: { authorization: 'Bearer secret' } })).toBe(404)
    // Who sends none makes no guess, and another address made none of those.
    expect(await statusOf()).toBe(401)
    expect(await statusOf({ headers, from: '127.0.0.2' })).toBe(401)
    nowMs = 3000
    expect([await statusOf({ headers }), await statusOf({ headers })]).toEqual([401, 429])
    nowMs = 120_000
    for (let i = 0; i < 20; i++) expect(await statusOf({ headers })).toBe(401)
    expect(await statusOf({ headers })).toBe(429)
  })
})
