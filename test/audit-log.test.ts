import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { ask } from './support/limit-client.ts'
import { manualTimers } from './support/manual-timers.ts'
import { memcachedPortOf } from './support/memcached/serve.ts'
import { textClient } from './support/memcached/text-client.ts'
import { openWire, requestBytes } from './support/wire.ts'

/** What the audit log has of requests, and what no log has. Servers in this process. */

const nowMs = Date.parse('2030-01-02T03:04:05.678Z')
let server: ServerInProcess
let folder = ''

interface Line {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly revision: number | null
  readonly principal: string
  readonly [field: string]: unknown
}

async function serve(
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  server = await serveInProcess({
    flags: ['--audit-log', join(folder, 'audit.log'), ...flags],
    env,
    now: () => nowMs,
    monotonicMs: () => 0,
  })
}

afterEach(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Stops the server, which then has closed the file, and returns the text of its audit log. */
async function auditText(): Promise<string> {
  await server.stop()
  expect(openFiles()).not.toContain(join(folder, 'audit.log'))
  return readFileSync(join(folder, 'audit.log'), 'utf8')
}

function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return [] // it was closed meanwhile
    }
  })
}

async function auditLines(): Promise<Line[]> {
  return (await auditText())
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

const send = (method: string, path: string, body = '', headers: Readonly<Record<string, string>> = {}) =>
  ask(server.port, { method, path, body, headers: { 'content-type': 'application/json', ...headers } })

test('a write has a line that says who did what, and with which revision', async () => {
  await serve()
  await send('PUT', '/v1/users/a%2Fb?expire_in=90', '{"secret":1}', { 'x-request-id': 'req-1' })
  const [line] = await auditLines()
  expect(line).toEqual({
    time: '2030-01-02T03:04:05.678Z',
    protocol: 'http',
    principal: 'anyone',
    client: '127.0.0.1',
    method: 'PUT',
    path: '/v1/users/a%2Fb',
    query: 'expire_in=90',
    status: 201,
    revision: expect.any(Number),
    request_id: 'req-1',
  })
})

test('every kind of write has one, with the revision of its member, and reads have none', async () => {
  await serve()
  const revisions: (number | null)[] = []
  const write = async (method: string, path: string, body = '', headers = {}) => {
    const { headers: fields, body: text } = await send(method, path, body, headers)
    const batch = /"revisions":\[([\d,]+)\]/.exec(text)?.[1]?.split(',').map(Number)
    revisions.push(
      batch === undefined ? Number(fields.etag?.replaceAll('"', '')) || null : Math.max(...batch),
    )
  }
  await write('PUT', '/v1/c/a', '1')
  await write('PATCH', '/v1/c/a', '{"by":2}', { 'content-type': 'application/vnd.kvist.increment+json' })
  await write('PATCH', '/v1/c/a?expire_in=1h', '')
  await write('POST', '/v1/c', '3')
  const puts = ['a', 'b'].map((key) => ({ op: 'put', collection: 'c', key, value: 4 }))
  const operations = [...puts, { op: 'delete', collection: 'c', key: 'none' }]
  await write('POST', '/v1/_batch', JSON.stringify({ operations }))
  await send('GET', '/v1/c/a')
  await send('POST', '/v1/_read', '{"members":[]}')
  await send('GET', '/v1/c')
  await send('GET', '/nowhere')
  const lines = await auditLines()
  expect(lines.map(({ method, path, revision }) => [method, path, revision])).toEqual([
    ['PUT', '/v1/c/a', revisions[0]!],
    ['PATCH', '/v1/c/a', revisions[1]!],
    ['PATCH', '/v1/c/a', revisions[2]!],
    ['POST', '/v1/c', revisions[3]!],
    ['POST', '/v1/_batch', revisions[4]!],
  ])
  expect(revisions).not.toContain(null)
})

test('what writes nothing, or many members one by one, has no revision', async () => {
  await serve()
  await send('PUT', '/v1/c/a', '1', { 'if-match': '"77"' })
  await send('PUT', '/v1/c/a', 'no json')
  await send('DELETE', '/v1/c/none')
  await send('POST', '/v1/c', '{"key":"x","value":1}\n', { 'content-type': 'application/x-ndjson' })
  await send('PUT', '/v1/_collections/c', '{"default_ttl":"1h"}')
  await send('DELETE', '/v1/c?prefix=x&match=secret*')
  const lines = await auditLines()
  expect(
    lines.map(({ method, status, code, query, revision }) => [method, status, code, query, revision]),
  ).toEqual(
    [
      ['PUT', 412, 'precondition_failed', undefined, null],
      ['PUT', 400, 'invalid_json', undefined, null],
      ['DELETE', 404, 'not_found', undefined, null],
      ['POST', 200, undefined, undefined, null],
      ['PUT', expect.any(Number), undefined, undefined, null],
      ['DELETE', 200, undefined, 'prefix=x', null],
    ].map((line) => line),
  )
})

test('a delete of what has expired has none, as its member was gone', async () => {
  let clockMs = nowMs
  folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  const flags = ['--audit-log', join(folder, 'audit.log'), '--memcached-port', '0']
  server = await serveInProcess({ flags, now: () => clockMs })
  for (const key of ['a', 'b']) await send('PUT', `/v1/cache/${key}?expire_in=1`, '1')
  const client = await textClient(memcachedPortOf(server))
  clockMs += 2000
  expect((await send('DELETE', '/v1/cache/a')).status).toBe(404)
  expect(await client.ask('delete b\r\n', '\r\n')).toBe('NOT_FOUND\r\n')
  client.destroy()
  expect((await auditLines()).slice(2).map(({ revision }) => revision)).toEqual([null, null])
})

test('a delete has the revision of its tombstone', async () => {
  await serve()
  const etag = (await send('PUT', '/v1/c/a', '1')).headers.etag!
  await send('DELETE', '/v1/c/a', '', { 'if-match': etag })
  await send('PUT', '/v1/c/a', '1')
  await send('DELETE', '/v1/c/a')
  const revisions = (await auditLines()).map(({ revision }) => revision!)
  expect(revisions).toEqual([0, 1, 2, 3].map((i) => revisions[0]! + i))
})

test('a request that is sent again with its key is one write', async () => {
  await serve()
  const headers = { 'idempotency-key': 'k1' }
  await send('POST', '/v1/c', '1', headers)
  await send('POST', '/v1/c', '1', headers)
  const lines = await auditLines()
  expect(lines.map(({ status, revision }) => [status, revision === null])).toEqual([
    [201, false],
    [201, true],
  ])
})

test('writes of the dialects have lines too, without the values in their queries', async () => {
  await serve()
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const writes: [method: string, path: string, body?: string, headers?: Record<string, string>][] = [
    ['PUT', '/dialects/keys/keys?expire_in=60', '{"k1":"s3cret","k2":2}'],
    ['PATCH', '/dialects/keys/keys/k1', '{"a":1}'],
    ['DELETE', '/dialects/keys/keys/k1'],
    ['PUT', '/dialects/ozza/users', '{"id":"u","name":"s3cret"}'],
    ['DELETE', '/dialects/ozza/users/u'],
    ['PUT', '/dialects/reforg/api/v1/keys?key=k&value=s3cret'],
    ['POST', '/dialects/minstore/text/t', 'value=s3cret', form],
    ['PUT', '/dialects/minstore/text/t', 'value=s3cret', form],
    ['DELETE', '/dialects/minstore/text/t'],
    ['POST', '/dialects/tenantbase/set-value', '{"key":"k","value":"s3cret"}'],
    ['DELETE', '/dialects/tenantbase/delete-value', '{"key":"k"}'],
  ]
  const expected: unknown[] = []
  for (const [method, path, body, headers] of writes) {
    const { status } = await send(method, path, body, headers)
    expect([path, status < 300]).toEqual([path, true])
    expected.push([method, path.split('?')[0], status])
  }
  const text = await auditText()
  expect(text).not.toContain('s3cret')
  const lines: Line[] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ method, path, status }) => [method, path, status])).toEqual(expected as never)
  const revisions = lines.map(({ revision }) => revision!)
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  expect(new Set(revisions).size).toBe(writes.length)
  expect(lines.some(({ query }) => query !== undefined)).toBe(false)
})

describe('what is refused has a line, also a read', () => {
  test('without a token, with a wrong one, and with too many', async () => {
    await serve([], { KVIST_TOKEN: 'the-token' })
    await send('GET', '/v1/c')
    for (let i = 0; i < 21; i++) await send('GET', '/v1/c', '', { authorization: 'Bearer guess' })
    await send('PUT', '/v1/c/k', '1')
    await send('PUT', '/v1/c/k', '1', { authorization: 'Bearer the-token' })
    const lines = await auditLines()
    expect(lines.map(({ principal, status }) => `${principal} ${status}`)).toEqual([
      ...Array(21).fill('unauthenticated 401'),
      'unauthenticated 429',
      'unauthenticated 401',
      'root 201',
    ])
    expect(lines.slice(20, 23).map(({ code }) => code)).toEqual([
      'unauthorized',
      'rate_limited',
      'unauthorized',
    ])
    expect(lines.at(-1)!.token).toBe('root')
  })

  test('without the permission, over HTTP and memcached, with the name and the id of the token', async () => {
    await serve(['--memcached-port', '0'], { KVIST_TOKEN: 'the-token' })
    const root = { authorization: 'Bearer the-token' }
    const grants = [{ collections: 'cache', key_prefix: 't1/', can: ['read', 'write'] }]
    const made = await send('POST', '/v1/_tokens', JSON.stringify({ name: 'app', grants }), root)
    const { id, token } = JSON.parse(made.body)
    const own = { authorization: `Bearer ${token}` }
    await send('PUT', '/v1/cache/t1%2Fa', '1', own)
    await send('PUT', '/v1/cache/t2%2Fa', '1', own)
    await send('GET', '/v1/other/a', '', own)
    await send('GET', '/v1/cache/t1%2Fa', '', own)
    const client = await textClient(memcachedPortOf(server))
    await client.ask(`set login 0 0 ${token.length + 3}\r\nme ${token}\r\n`, '\r\n')
    await client.ask('set t1/b 0 0 1\r\n1\r\n', '\r\n')
    await client.ask('set t2/b 0 0 1\r\n1\r\n', '\r\n')
    await client.ask('get t2/b\r\n', '\r\n')
    client.destroy()
    await send('DELETE', `/v1/_tokens/${id}`, '', root)
    await send('GET', '/v1/cache/t1%2Fa', '', own)
    const text = await auditText()
    expect(text).not.toContain(token.split('_').at(-1)!)
    const lines: Line[] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const what = lines.map((line) => {
      const { protocol, principal, method, path, command, key, status, code } = line
      const of = protocol === 'http' ? `${method} ${path}` : `${command} ${key}`
      return `${principal} ${of} ${status} ${code ?? ''}`.trim()
    })
    expect(what).toEqual([
      'root POST /v1/_tokens 201',
      'app PUT /v1/cache/t1%2Fa 201',
      'app PUT /v1/cache/t2%2Fa 403 forbidden',
      'app GET /v1/other/a 403 forbidden',
      'app set t1/b ok',
      'app set t2/b CLIENT_ERROR not permitted',
      'app get t2/b CLIENT_ERROR not permitted',
      `root DELETE /v1/_tokens/${id} 204`,
      'unauthenticated GET /v1/cache/t1%2Fa 401 unauthorized',
    ])
    for (const line of lines) if (line.principal === 'app') expect(line.token).toBe(id)
  })

  test('of another origin, for another host, and beyond the rate', async () => {
    await serve(['--rate-limit', '1/h'])
    await send('GET', '/v1/c', '', { origin: 'https://evil.example' })
    await send('GET', '/v1/c', '', { host: 'evil.example' })
    await send('GET', '/v1/c')
    await send('GET', '/dialects/ozza/c')
    await send('GET', '/nowhere')
    const lines = await auditLines()
    expect(lines.map(({ path, status, code }) => [path, status, code])).toEqual([
      ['/v1/c', 403, 'forbidden_origin'],
      ['/v1/c', 421, 'misdirected'],
      ['/dialects/ozza/c', 429, 'rate_limited'],
      ['/nowhere', 429, 'rate_limited'],
    ])
  })
})

test('a flood of refused requests is a line for each up to a number, and then one a minute for all', async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  const clock = manualTimers()
  const path = join(folder, 'audit.log')
  const env = { KVIST_TOKEN: 'the-token' }
  server = await serveInProcess({ flags: ['--audit-log', path], env, timers: clock, monotonicMs: () => 0 })
  const flood = async (requests: number) => {
    const wire = await openWire(server.port)
    const headers = { authorization: 'Bearer guess' }
    for (let i = 0; i < requests; i++) wire.write(requestBytes('GET', '/v1/c', { headers }))
    for (let i = 0; i < requests; i++) await wire.response()
    wire.destroy()
  }
  await flood(1200)
  await send('PUT', '/v1/c/k', '1', { authorization: 'Bearer the-token' })
  clock.pass(60_000)
  await flood(7)
  clock.pass(60_000)
  clock.pass(60_000)
  await flood(3)
  const lines = await auditLines()
  expect(lines.slice(0, 1000).every(({ status }) => status === 401 || status === 429)).toBe(true)
  expect(
    lines.slice(1000).map(({ event, client, requests, method }) => [event ?? method, client, requests]),
  ).toEqual([
    ['PUT', '127.0.0.1', undefined],
    ['refused', '127.0.0.1', 200],
    ['refused', '127.0.0.1', 7],
    ['refused', '127.0.0.1', 3],
  ] as never)
})

test('long paths and queries are cut off', async () => {
  await serve()
  await send('PUT', `/v1/c/${'k'.repeat(3000)}`, '1')
  await send('DELETE', `/v1/c?prefix=${'p'.repeat(3000)}`)
  const lines = await auditLines()
  expect(lines[0]!.path).toHaveLength(2048)
  expect(String(lines[1]!.query)).toHaveLength(2048)
})

test('- is stdout, line by line among those of the log', async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvist-test-'))
  server = await serveInProcess({ flags: ['--audit-log', '-', '--access-log'], now: () => nowMs })
  await send('PUT', '/v1/c/a', '1')
  await send('GET', '/v1/c/a')
  await send('DELETE', '/v1/c/a')
  const lines = server
    .output()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.filter(({ protocol }) => protocol === 'http').map(({ method }) => method)).toEqual([
    'PUT',
    'DELETE',
  ])
  expect(lines.filter(({ level, method }) => level === 'info' && method !== undefined)).toHaveLength(3)
})

test('no log and no metric has a token, a ticket or a value', async () => {
  await serve(['--access-log', '--dialect', 'reforg'], { KVIST_TOKEN: 's3cret-right' })
  const right = { authorization: 'Bearer s3cret-right' }
  for (const path of ['/v1/c/k', '/v1/c', '/v1/_changes', '/nowhere', '/api/v1/keys', '/metrics', '/docs']) {
    for (const method of ['GET', 'PUT', 'DELETE', 'POST']) {
      const query = '?ticket=s3cret-ticket&match=s3cret-match&value=s3cret-value&Ticket=s3cret-t&prefix=p'
      await send(method, path + query, '"s3cret-body"', right)
      await send(method, path + query, '"s3cret-body"', { authorization: 'Bearer s3cret-wrong' })
      await send(method, path, '"s3cret-body"', { ...right, cookie: 's3cret-cookie' })
    }
  }
  const token = `kvist_abcdefghijkl_${'s3cret-'.padEnd(43, '0')}`
  await send('DELETE', `/v1/_tokens/${token}`, '', right)
  await send('PUT', `/v1/c/k?prefix=${token}`, '1', right)
  const { body: metrics } = await send('GET', '/metrics', '', right)
  const audit = await auditText()
  expect(audit.split('\n').length).toBeGreaterThan(30)
  expect(audit).toContain('"query":"prefix=p"')
  expect(audit).toContain('"path":"/v1/_tokens/kvist_abcdefghijkl_…"')
  for (const text of [audit, server.output(), metrics]) {
    expect(text.length).toBeGreaterThan(1000)
    expect(/.*s3cret.*/.exec(text)?.[0]).toBeUndefined()
  }
})

test('the metrics count its lines', async () => {
  await serve()
  await send('PUT', '/v1/c/a', '1')
  await send('PUT', '/v1/c/a', '2')
  let metrics = ''
  for (let tries = 0; tries < 100 && !metrics.includes('kvist_audit_lines_total 2'); tries++) {
    metrics = (await send('GET', '/metrics')).body
  }
  expect(metrics).toContain('kvist_audit_lines_total 2\n')
  expect(metrics).toContain('kvist_audit_lost_lines_total 0\n')
  expect(metrics).toContain('kvist_audit_waiting_bytes 0\n')
})
