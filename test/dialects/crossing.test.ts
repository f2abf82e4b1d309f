import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startServer, type TestServer } from '../support/server.ts'

/** What is stored through one API is seen through the others: one store, several ways to speak to it. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const bytes = { 'content-type': 'application/octet-stream' }

async function ask(
  method: string,
  path: string,
  body?: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(server.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  })
  return `${response.status} ${await response.text()}`
}

test('ozza and /v1', async () => {
  await ask('PUT', '/dialects/ozza/things', '{"id":"a", "n":1.0}')
  expect(await ask('GET', '/v1/things/a')).toBe('200 {"id":"a", "n":1.0}')
  await ask('PUT', '/v1/things/b', '{"n":2,"created_at":"mine"}')
  await ask('PUT', '/v1/things/c', '[1]')
  await ask('PUT', '/v1/things/d', 'text', bytes)
  const reported = /"created_at":\d{13},"expiry_time":0/g
  const members = [
    '{"id":"a","n":1.0,T}',
    // Its own created_at is not shown here, and still there.
    '{"id":"b","n":2,T}',
    '{"id":"c","value":[1],T}',
    '{"id":"d","value":"text",T}',
  ]
  const shown = await ask('GET', '/dialects/ozza/things')
  expect(shown.replace(reported, 'T')).toBe(`200 {"result":[${members.join(',')}]}`)
  expect(await ask('GET', '/v1/things/b')).toBe('200 {"n":2,"created_at":"mine"}')
  await ask('PUT', '/v1/things/e?expire_in=60', '{}')
  expect(await ask('GET', '/dialects/ozza/things/e')).toMatch(/"expiry_time":1\d{12}}/)
  // What ozza shows beside the fields is not stored when a client sends it back.
  await ask('PUT', '/dialects/ozza/things', '{"id":"f","created_at":1,"expiry_time":2,"n":3}')
  expect(await ask('GET', '/v1/things/f')).toBe('200 {"id":"f","n":3}')
  await ask('DELETE', '/dialects/ozza/things/a')
  expect(await ask('GET', '/v1/things/a')).toStartWith('404 ')
})

test('keys, reforg and /v1 share a collection', async () => {
  await ask('PUT', '/dialects/keys/keys', '{"n": 1.0, "s":"text", "o":{"a":[1, 2]}}')
  expect(await ask('GET', '/v1/keys/n')).toBe('200 1.0')
  expect(await ask('GET', '/v1/keys/o')).toBe('200 {"a":[1, 2]}')
  const reforg = '/dialects/reforg/api/v1/keys?key='
  expect(await ask('GET', `${reforg}s`)).toBe('200 {"key":"s","value":"text"}')
  expect(await ask('GET', `${reforg}n`)).toBe('200 {"key":"n","value":"1.0"}')
  expect(await ask('GET', `${reforg}o`)).toBe('200 {"key":"o","value":"{\\"a\\":[1, 2]}"}')
  await ask('PUT', `${reforg}r&value=1`)
  expect(await ask('GET', '/v1/keys/r')).toBe('200 "1"')
  expect(await ask('GET', '/dialects/keys/keys/r')).toBe('200 {"response":"1"}')
  await ask('PUT', '/v1/keys/bytes', new Uint8Array([0xff, 0xfe]), bytes)
  await ask('PUT', '/v1/keys/utf8', 'é', { 'content-type': 'text/plain' })
  expect(await ask('GET', '/dialects/keys/keys/bytes')).toBe('200 {"response":"//4="}')
  expect(await ask('GET', '/dialects/keys/keys/utf8')).toBe('200 {"response":"é"}')
  expect(await ask('GET', `${reforg}utf8`)).toBe('200 {"key":"utf8","value":"é"}')
  // A merge into bytes makes JSON of them.
  expect(await ask('PATCH', '/dialects/keys/keys/bytes', '{"a":1}')).toBe('200 {"response":{"a":1}}')
  expect(await ask('GET', '/v1/keys/bytes')).toBe('200 {"a":1}')
})

test('minstore and /v1', async () => {
  await ask('POST', '/dialects/minstore/text/a', 'value=hello', form)
  const record = JSON.parse((await ask('GET', '/v1/text/a')).slice(4))
  expect(record).toMatchObject({ uid: 'a', value: 'hello (Marked).' })
  // What is stored through /v1 stays as it was sent: no process runs there unless the collection is set to.
  await ask('PUT', '/v1/text/b', '"hello"')
  expect(await ask('GET', '/v1/text/b')).toBe('200 "hello"')
  expect(await ask('GET', '/dialects/minstore/text/b')).toMatch(
    /^200 \{"uid":"b","value":"hello","timestamp":[\d.]+,"check_sum":840651671246116861,"lang":null,"size":\d+\}$/,
  )
  await ask('PUT', '/v1/text/c', '{"uid":"c","value":"x","check_sum":"of their own"}')
  const { headers } = await fetch(`${server.url}/dialects/minstore/text/c`)
  expect(headers.get('etag')).toBe('"c:of%20their%20own"')
})

test('tenantbase and /v1', async () => {
  await ask('POST', '/dialects/tenantbase/set-value', '{"key":"a/b","value":[1.0]}')
  expect(await ask('GET', '/v1/cache/a/b')).toBe('200 [1.0]')
  await ask('PUT', '/v1/cache/plain', 'text', { 'content-type': 'text/plain' })
  expect(await ask('GET', '/dialects/tenantbase/get-value?key=plain')).toBe('200 {"value":"text"}')
})

test('a list of any length comes whole, and in the order of its keys', async () => {
  const lines = Array.from({ length: 2345 }, (_, i) => {
    return JSON.stringify({ key: String(i).padStart(5, '0'), value: { id: i, pad: 'x'.repeat(100) } })
  })
  await ask('POST', '/v1/many', lines.join('\n'), { 'content-type': 'application/x-ndjson' })
  const { result } = JSON.parse((await ask('GET', '/dialects/ozza/many')).slice(4))
  expect(result.map(({ id }: { id: number }) => id)).toEqual(lines.map((_, i) => i))
  const some = JSON.parse((await ask('GET', '/dialects/ozza/many?filter=1*9')).slice(4))
  const wanted = lines.flatMap((_, i) => (/^1.*9$/.test(String(i)) ? [i] : []))
  expect(some.result.map(({ id }: { id: number }) => id)).toEqual(wanted)
})
