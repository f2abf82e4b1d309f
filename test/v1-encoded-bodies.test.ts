import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import zlib from 'node:zlib'
import { type InProcessServer, startInProcess } from './support/in-process.ts'
import { countsOf, expectProblem, jsonOf, put } from './support/responses.ts'

/** Bodies of requests with a content coding. */

/** The default takes seconds for what is large. */
const quickBrotli = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }

const encoders: [coding: string, encode: (text: string | Uint8Array) => Uint8Array<ArrayBuffer>][] = [
  ['gzip', (text) => Uint8Array.from(zlib.gzipSync(text))],
  ['x-gzip', (text) => Uint8Array.from(zlib.gzipSync(text))],
  ['br', (text) => Uint8Array.from(zlib.brotliCompressSync(text, quickBrotli))],
  ['zstd', (text) => Uint8Array.from(zlib.zstdCompressSync(text))],
  ['deflate', (text) => Uint8Array.from(zlib.deflateSync(text))],
  // As some send it: without zlib's frame.
  ['Deflate', (text) => Uint8Array.from(zlib.deflateRawSync(text))],
]
const maxValueBytes = 16 * 1024 * 1024
const ndjson = 'application/x-ndjson'

let server: InProcessServer
let v1: string
beforeAll(async () => {
  server = await startInProcess()
  v1 = `${server.url}/v1`
})
afterAll(() => server.stop())

function send(
  method: string,
  path: string,
  body: Uint8Array<ArrayBuffer> | ReadableStream,
  coding: string,
  type = 'application/json',
) {
  const headers = { 'content-type': type, 'content-encoding': coding }
  return fetch(v1 + path, { method, body, headers })
}

/** A body in chunks of so many bytes. */
function inChunks(bytes: Uint8Array, chunkBytes: number): ReadableStream {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at + chunkBytes))
      at += chunkBytes
    },
  })
}

describe.each(encoders)('%s', (coding, encode) => {
  const at = `/${encodeURIComponent(coding.toLowerCase())}-${coding === 'Deflate' ? 'raw' : 'usual'}`

  test('is decoded wherever JSON is taken', async () => {
    const json = ' {"a": 1.0, "text": "å😀"}'
    expect((await send('PUT', `${at}/k`, encode(json), coding)).status).toBe(201)
    expect(await (await fetch(`${v1}${at}/k`)).text()).toBe(json)
    expect((await fetch(`${v1}${at}/k`)).headers.get('content-encoding')).toBeNull()
    expect((await send('POST', at, encode('[1]'), coding)).status).toBe(201)
    expect((await send('PUT', `${at}/plus`, encode('[1]'), coding, 'application/a+json')).status).toBe(201)
    expect((await send('PATCH', `${at}/k`, encode('{"a":null}'), coding)).status).toBe(200)
    expect(await (await fetch(`${v1}${at}/k`)).text()).toBe('{"text":"å😀"}')
    const batch = `{"operations":[{"op":"put","collection":"b","key":"${coding}","value":1}]}`
    expect((await send('POST', '/_batch', encode(batch), coding)).status).toBe(200)
    expect((await send('PUT', `/_collections${at}`, encode('{"default_ttl":60}'), coding)).status).toBe(200)
    const keys = await send('PUT', '/../dialects/keys/keys', encode(`{"${coding}":1}`), coding)
    expect(await keys.text()).toContain('persisted')
  })

  test('is decoded in whatever parts it comes', async () => {
    const json = JSON.stringify(Array.from({ length: 500 }, (_, i) => i * 7919))
    for (const chunkBytes of [1, 100]) {
      expect((await send('PUT', `${at}/parts`, inChunks(encode(json), chunkBytes), coding)).ok).toBe(true)
      expect(await (await fetch(`${v1}${at}/parts`)).text()).toBe(json)
    }
  })

  test('is decoded in an import, line by line', async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `{"key":"k${i}","value":{"n":${i * 7919}}}`).join(
      '\n',
    )
    const encoded = encode(lines)
    for (const body of [encoded, inChunks(encoded, 999)]) {
      const path = `${at}-import`
      expect(await jsonOf(send('POST', path, body, coding, ndjson))).toEqual({ stored: 5000, failed: [] })
      expect(await (await fetch(`${v1}${path}/k4999`)).text()).toBe('{"n":39587081}')
    }
  })

  test('may not hide more than a value may be', async () => {
    const largest = `"${'a'.repeat(maxValueBytes - 2)}"`
    expect((await send('PUT', `${at}/large`, encode(largest), coding)).ok).toBe(true)
    for (const body of [encode(`${largest} `), encode(Buffer.alloc(2 * maxValueBytes, 32))]) {
      const problem = await expectProblem(await send('PUT', `${at}/bomb`, body, coding), 413, 'too_large')
      expect(problem).toMatchObject({ limit_bytes: maxValueBytes })
    }
    expect((await fetch(`${v1}${at}/bomb`)).status).toBe(404)
  })

  test('may hold a line of any length in an import, which is dropped as it comes', async () => {
    const before = Buffer.from('{"key":"before","value":1}\n{"key":"long","value":"')
    const after = Buffer.from('"}\n{"key":"after","value":2}')
    const bomb = encode(Buffer.concat([before, Buffer.alloc(20_000_000, 97), after]))
    const summary = await jsonOf(send('POST', `${at}-lines`, bomb, coding, ndjson))
    expect(summary).toMatchObject({ stored: 2, failed: [{ line: 2, code: 'too_large' }] })
  })

  test('is refused where it is broken, cut off or goes on, and nothing of a value is stored', async () => {
    const whole = encode(JSON.stringify({ text: 'x'.repeat(5000), n: 1 }))
    const flipped = whole.slice()
    flipped.set([flipped.at(-1)! ^ 0xff], flipped.length - 1)
    for (const [what, body] of [
      ['nothing', new Uint8Array(0)],
      ['no such coding', Uint8Array.from(Buffer.from('{"a":1,"b":"a text that is long enough"}'))],
      ['one byte', whole.slice(0, 1)],
      ['half', whole.slice(0, whole.length / 2)],
      ['all but one byte', whole.slice(0, -1)],
      ['more', Uint8Array.from([...whole, 0, 1, 2])],
      ['the same again', Uint8Array.from([...whole, ...whole])],
    ] as const) {
      const response = await send('PUT', `${at}/broken`, body, coding)
      expect([what, response.status]).toEqual([what, 400])
      await response.text()
    }
    // The last byte is one of the length of gzip, or of the checksum of zlib.
    if (/gzip|deflate/.test(coding))
      expect((await send('PUT', `${at}/broken`, flipped, coding)).status).toBe(400)
    expect((await fetch(`${v1}${at}/broken`)).status).toBe(404)
  })

  test('that ends too early ends an import, which reports how far it came', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `{"key":"k${i}","value":${i * 7919}}\n`).join('')
    const cut = encode(lines)
    const response = await send('POST', `${at}-cut`, cut.slice(0, -3), coding, ndjson)
    const problem = await expectProblem(response, 400, 'invalid_request')
    expect(problem.detail).toContain(`not ${coding.toLowerCase().replace('x-', '')}`)
    expect(Number(problem.stored)).toBe((await countsOf(server.url, `${at.slice(1)}-cut`))?.members ?? 0)
  })
})

test('what is stored as it is takes no coding, for that would be lost', async () => {
  for (const coding of ['gzip', 'br', 'zstd', 'deflate']) {
    for (const [method, path] of [
      ['PUT', '/bytes/k'],
      ['POST', '/bytes'],
    ] as const) {
      const response = await send(method, path, Uint8Array.from(zlib.gzipSync('text')), coding, 'text/plain')
      expect(response.headers.get('accept-encoding')).toBe('identity')
      await expectProblem(response, 415, 'unsupported_media_type')
    }
  }
  expect((await send('PUT', '/bytes/k', Uint8Array.from([1]), 'identity', 'text/plain')).status).toBe(201)
})

test.each(['compress', 'gzip, br', 'gzip,gzip', '', 'brotli', 'gzip;q=1', '*', 'toString'])(
  'the coding "%s" is none that is known',
  async (coding) => {
    for (const [method, path, type] of [
      ['PUT', '/c/k', 'application/json'],
      ['POST', '/c', ndjson],
      ['PATCH', '/c/k', 'application/json'],
    ] as const) {
      const response = await send(method, path, Uint8Array.from(Buffer.from('{}')), coding, type)
      expect(response.headers.get('accept-encoding')).toBe('zstd, br, gzip, deflate')
      await expectProblem(response, 415, 'unsupported_media_type')
    }
  },
)

test('members of a gzip stream, and frames of a zstd stream, follow each other', async () => {
  const json = ['[1,', '2,', '3]']
  const joined = (encode: (text: string) => Uint8Array) =>
    Uint8Array.from(json.flatMap((text) => [...encode(text)]))
  expect((await send('PUT', '/joined/gzip', joined(zlib.gzipSync), 'gzip')).status).toBe(201)
  expect((await send('PUT', '/joined/zstd', joined(zlib.zstdCompressSync), 'zstd')).status).toBe(201)
  for (const key of ['gzip', 'zstd'])
    expect(await (await fetch(`${v1}/joined/${key}`)).text()).toBe('[1,2,3]')
})

test('a body without a coding is what it was', async () => {
  expect((await put(`${v1}/plain/k`, '1')).status).toBe(201)
})

test('a body that decodes to nothing, without end, is refused when more was sent than a value may have', async () => {
  const empties = Buffer.concat(Array.from({ length: 10_000 }, () => zlib.gzipSync('')))
  let sentBytes = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sentBytes += empties.length
      if (sentBytes > 2 * maxValueBytes) controller.error(new Error('the server takes everything'))
      else controller.enqueue(empties)
    },
  })
  await expectProblem(await send('PUT', '/c/nothing', body, 'gzip'), 413, 'too_large')
})
