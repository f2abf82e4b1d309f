import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { expectProblem, put } from './support/responses.ts'

/** Parts of a value, by which a download goes on where it was broken off. */

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)
const json = '{"name":"Åsa","emoji":"😀"}'

let server: InProcessServer
let url: string
beforeAll(async () => {
  server = await startInProcess()
  url = `${server.url}/v1/files`
  await put(`${url}/bytes`, bytes, { 'content-type': 'application/octet-stream' })
  await put(`${url}/json`, json)
  await put(`${url}/empty`, '', { 'content-type': 'text/plain' })
})
afterAll(() => server.stop())

function get(key: string, headers: Record<string, string>, method = 'GET'): Promise<Response> {
  return fetch(`${url}/${key}`, { method, headers })
}

test.each([
  ['bytes=0-0', 0, 0],
  ['bytes=990-', 990, 999],
  ['bytes=-5', 995, 999],
  ['bytes=10-5000', 10, 999],
])('%s is that part of the bytes', async (range, from, last) => {
  const response = await get('bytes', { range })
  expect(response.status).toBe(206)
  expect(response.headers.get('content-range')).toBe(`bytes ${from}-${last}/1000`)
  expect(response.headers.get('content-type')).toBe('application/octet-stream')
  expect(response.headers.get('etag')).toBe((await get('bytes', {})).headers.get('etag'))
  expect(await response.bytes()).toEqual(bytes.slice(from, last + 1))
})

test('a part of JSON is a part of its bytes, whether characters are whole or not', async () => {
  const all = Buffer.from(json)
  for (let from = 0; from < all.length; from++) {
    const response = await get('json', { range: `bytes=${from}-${from + 1}` })
    expect(response.status).toBe(206)
    expect(Buffer.from(await response.bytes())).toEqual(all.subarray(from, from + 2))
  }
})

test('parts in order are the whole', async () => {
  const parts: Uint8Array[] = []
  let etag = ''
  for (let from = 0; from < bytes.length; from += 300) {
    const condition = etag === '' ? {} : { 'if-range': etag }
    const response = await get('bytes', { range: `bytes=${from}-${from + 299}`, ...condition })
    expect(response.status).toBe(206)
    etag = response.headers.get('etag')!
    parts.push(await response.bytes())
  }
  expect(Buffer.concat(parts)).toEqual(Buffer.from(bytes))
})

test('what does not lie in the value is 416, with how much there is', async () => {
  for (const [key, range, total] of [
    ['bytes', 'bytes=1000-', 1000],
    ['bytes', 'bytes=-0', 1000],
    ['empty', 'bytes=0-', 0],
  ] as const) {
    const response = await get(key, { range })
    expect(response.headers.get('content-range')).toBe(`bytes */${total}`)
    expect(await expectProblem(response, 416, 'range_not_satisfiable')).toMatchObject({ total_bytes: total })
  }
})

test('several ranges, another unit and what is no range give the whole', async () => {
  for (const range of ['bytes=0-1,5-6', 'lines=0-1', 'bytes=5-1', 'nonsense']) {
    const response = await get('bytes', { range })
    expect([range, response.status, response.headers.get('content-range')]).toEqual([range, 200, null])
    expect((await response.bytes()).length).toBe(1000)
  }
})

test('a value that is not the one of before is sent whole', async () => {
  await put(`${url}/changing`, '"first value"')
  const before = await get('changing', {})
  const etag = before.headers.get('etag')!
  expect((await get('changing', { range: 'bytes=2-', 'if-range': etag })).status).toBe(206)
  await put(`${url}/changing`, '"second value"')
  for (const ifRange of [etag, `W/${etag}`, before.headers.get('date')!, 'nonsense']) {
    const response = await get('changing', { range: 'bytes=2-', 'if-range': ifRange })
    expect([ifRange, response.status, await response.text()]).toEqual([ifRange, 200, '"second value"'])
  }
  // A condition goes before a range, and a range that cannot be had is none where the value is another.
  const now = (await get('changing', {})).headers.get('etag')!
  expect((await get('changing', { range: 'bytes=2-', 'if-none-match': now })).status).toBe(304)
  expect((await get('changing', { range: 'bytes=2-', 'if-match': etag })).status).toBe(412)
  expect((await get('changing', { range: 'bytes=100-', 'if-range': etag })).status).toBe(200)
})

test('HEAD shows that parts can be had, and sends none', async () => {
  const response = await get('bytes', { range: 'bytes=0-1' }, 'HEAD')
  expect([response.status, response.headers.get('accept-ranges')]).toEqual([200, 'bytes'])
  expect(response.headers.get('content-length')).toBe('1000')
})

test('a member that is not there has no parts', async () => {
  await expectProblem(await get('missing', { range: 'bytes=0-1' }), 404, 'not_found')
})
