import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type MemcachedTestServer, serveMemcached } from '../support/memcached/serve.ts'
import type { TextClient } from '../support/memcached/text-client.ts'

/** What is set over memcached is there over HTTP and in the dialect of TenantBase, and the other way round. */

let server: MemcachedTestServer
let client: TextClient
beforeAll(async () => {
  server = await serveMemcached()
  client = await server.connect()
})
afterAll(() => server.remove())

const text = 'text/plain; charset=utf-8'
const json = 'application/json'

function latin1(value: string): string {
  return Buffer.from(value).toString('latin1')
}

async function set(key: string, value: string | Buffer, { flags = 0, exptime = 0 } = {}): Promise<void> {
  const bytes = Buffer.from(value as string)
  client.send(`set ${latin1(key)} ${flags} ${exptime} ${bytes.length}\r\n`)
  client.send(bytes)
  expect(await client.ask('\r\n', '\r\n')).toBe('STORED\r\n')
}

/** The value as memcached clients read it, null for none. */
async function get(key: string): Promise<string | null> {
  const said = await client.ask(`get ${latin1(key)}\r\n`, 'END\r\n')
  const value = /^VALUE \S+ \d+ \d+\r\n(.*)\r\nEND\r\n$/s.exec(said)?.[1]
  return value === undefined ? null : Buffer.from(value, 'latin1').toString()
}

function ask(path: string, init?: RequestInit): Promise<Response> {
  return fetch(`${server.url}${path}`, init)
}

function member(key: string, init?: RequestInit): Promise<Response> {
  return ask(`/v1/cache/${encodeURIComponent(key)}`, init)
}

async function put(key: string, body: string, type = json): Promise<void> {
  const { ok } = await member(key, { method: 'PUT', body, headers: { 'content-type': type } })
  expect(ok).toBe(true)
}

test.each([
  ['hello wörld', text],
  ['42', json],
  ['{"a": [1, "ü"]}', json],
  ['"quoted"', text],
  ['', text],
])('%j set over memcached is read over HTTP as %s', async (value, contentType) => {
  await set('k', value)
  const reply = await member('k')
  expect([reply.headers.get('content-type'), await reply.text()]).toEqual([contentType, value])
  expect(await get('k')).toBe(value)
})

test('bytes are the same bytes, with a type that is true of them', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  await set('bytes', bytes)
  const reply = await member('bytes')
  expect(reply.headers.get('content-type')).toBe('application/octet-stream')
  expect(Buffer.from(await reply.bytes())).toEqual(bytes)
})

test('JSON over HTTP is read over memcached: of a string its text, of the rest its own', async () => {
  await put('string', '"gr\\u00fc\\u00df dich\\n"')
  expect(await get('string')).toBe('grüß dich\n')
  await put('object', '{"a": 1.0}')
  expect(await get('object')).toBe('{"a": 1.0}')
  await put('page', '<p>ü</p>', 'text/html')
  expect(await get('page')).toBe('<p>ü</p>')
})

test('lists over HTTP show JSON as JSON', async () => {
  await set('list/json', '{"n":1}')
  await set('list/text', 'text')
  const page = await (await ask('/v1/cache?prefix=list/&include=values')).json()
  expect(page).toEqual({
    members: [
      { key: 'list/json', value: { n: 1 }, expires_at: null },
      { key: 'list/text', value_text: 'text', content_type: text, expires_at: null },
    ],
    next: null,
  })
})

test('a number can be counted from both sides', async () => {
  await set('n', '40')
  expect(await client.ask('incr n 1\r\n', '\r\n')).toBe('41\r\n')
  const operations = [{ op: 'increment', collection: 'cache', key: 'n', path: '', by: 1 }]
  const headers = { 'content-type': json }
  const batch = await ask('/v1/_batch', { method: 'POST', headers, body: JSON.stringify({ operations }) })
  expect(batch.status).toBe(200)
  expect(await get('n')).toBe('42')
})

test('the cas unique is the revision in the ETag', async () => {
  await set('cas', '1')
  const etag = (await member('cas')).headers.get('etag')!
  const [, unique] = /^VALUE cas 0 1 (\d+)\r/.exec(await client.ask('gets cas\r\n', 'END\r\n'))!
  expect(etag).toBe(`"${unique}"`)
  expect(await client.ask(`cas cas 0 0 1 ${unique}\r\n2\r\n`, '\r\n')).toBe('STORED\r\n')
  expect((await member('cas', { method: 'PUT', body: '3', headers: { 'if-match': etag } })).status).toBe(412)
  await put('cas', '4')
  expect(await client.ask(`cas cas 0 0 1 ${Number(unique) + 1}\r\n5\r\n`, '\r\n')).toBe('EXISTS\r\n')
})

test('an expiry is the same on both sides', async () => {
  await set('ttl', '1', { exptime: 100 })
  const expiresAtMs = Date.parse((await member('ttl')).headers.get('kvist-expires-at')!)
  expect(expiresAtMs - Date.now()).toBeWithin(90_000, 100_001)
  await ask('/v1/cache/ttl?expire_in=1000', { method: 'PUT', body: '2' })
  const [, left] = /^HD t(\d+)\r/.exec(await client.ask('mg ttl t\r\n', '\r\n'))!
  expect(Number(left)).toBeWithin(990, 1001)
  await set('gone', '1', { exptime: -1 })
  expect((await member('gone')).status).toBe(404)
})

test('flags stay with a value, and go with it', async () => {
  await set('flags', '1', { flags: 4_294_967_295 })
  expect(await client.ask('touch flags 100\r\nget flags\r\n', 'END\r\n')).toContain(
    'VALUE flags 4294967295 1',
  )
  await put('flags', '2')
  expect(await client.ask('get flags\r\n', 'END\r\n')).toContain('VALUE flags 0 1')
})

test('keys are the same text on both sides', async () => {
  await set('schlüssel/a%20b', '1')
  expect(await (await member('schlüssel/a%20b')).text()).toBe('1')
  await put('with space', '"x"')
  const encoded = Buffer.from('with space').toString('base64')
  expect(await client.ask(`mg ${encoded} b v k\r\n`, '\r\nx\r\n')).toBe(`VA 1 k${encoded} b\r\nx\r\n`)
})

test('deletes go both ways', async () => {
  await set('d', '1')
  expect((await member('d', { method: 'DELETE' })).status).toBe(204)
  expect(await get('d')).toBeNull()
  await put('d', '1')
  expect(await client.ask('delete d\r\n', '\r\n')).toBe('DELETED\r\n')
  expect((await member('d')).status).toBe(404)
})

test('the dialect of TenantBase reads and writes the same', async () => {
  const tenantbase = (verb: string, method: string, body?: unknown, query = '') =>
    ask(`/dialects/tenantbase/${verb}${query}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  expect((await tenantbase('set-value', 'POST', { key: 'code', value: 'test ü' })).status).toBe(200)
  expect(await get('code')).toBe('test ü')
  await set('code', 'other ü')
  expect(await (await tenantbase('get-value', 'GET', undefined, '?key=code')).json()).toEqual({
    value: 'other ü',
  })
  expect((await tenantbase('delete-value', 'DELETE', { key: 'code' })).status).toBe(204)
  expect(await get('code')).toBeNull()
  expect(await client.ask('delete code\r\n', '\r\n')).toBe('NOT_FOUND\r\n')
})

test('another collection can be served', async () => {
  const pages = await serveMemcached({ flags: ['--memcached-collection', 'pages'] })
  const other = await pages.connect()
  await other.ask('set k 0 0 1\r\n1\r\n', '\r\n')
  expect(await (await fetch(`${pages.url}/v1/pages/k`)).text()).toBe('1')
  await pages.remove()
})
