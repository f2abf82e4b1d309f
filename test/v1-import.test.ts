import { afterAll, beforeAll, expect, test } from 'bun:test'
import { countsOf, expectProblem, jsonOf } from './support/responses.ts'
import { startServer, type TestServer } from './support/server.ts'

/** Bad lines of an import: each is named with its reason, and stops no other. Streams are in v1-streams.test.ts. */

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.remove())

const longKey = 'k'.repeat(513)
const badUtf8 = new Uint8Array([0x22, 0xff, 0x22])

test('that are bad are named, each with its reason, and only they are left out', async () => {
  const lines: [string | Uint8Array, string | null][] = [
    ['{"key":"a","value":1.0}', null],
    ['', null],
    ['{"key":"b","value":', 'invalid_json'],
    ['[]', 'invalid_json'],
    ['1', 'invalid_json'],
    ['null', 'invalid_json'],
    ['{"value":1}', 'invalid_key'],
    ['{"key":1,"value":1}', 'invalid_key'],
    ['{"key":"","value":1}', 'invalid_key'],
    [`{"key":"${longKey}","value":1}`, 'invalid_key'],
    ['{"key":"\\ud800","value":1}', 'invalid_key'],
    ['{"key":"c"}', 'invalid_request'],
    ['{"key":"c","value":1,"value_base64":""}', 'invalid_request'],
    ['{"key":"c","value_base64":"%","content_type":"a/b"}', 'invalid_request'],
    ['{"key":"c","value_base64":"YQ","content_type":"a/b"}', 'invalid_request'],
    ['{"key":"c","value_base64":1,"content_type":"a/b"}', 'invalid_request'],
    ['{"key":"c","value_base64":"e2E="}', 'invalid_json'],
    ['{"key":"c","value":1,"content_type":"a/b"}', 'invalid_request'],
    ['{"key":"c","value":1,"content_type":1}', 'invalid_request'],
    ['{"key":"c","value":1,"content_type":"json"}', 'unsupported_media_type'],
    ['{"key":"c","value_base64":"","content_type":"a/b\\r\\nx: y"}', 'unsupported_media_type'],
    ['{"key":"c","value_base64":"","content_type":"a/b\\n"}', 'unsupported_media_type'],
    ['{"key":"c","value_base64":"","content_type":"é/b"}', 'unsupported_media_type'],
    ['{"key":"c","value":1,"flags":-1}', 'invalid_request'],
    ['{"key":"c","value":1,"flags":4294967296}', 'invalid_request'],
    ['{"key":"c","value":1,"expire_in":0}', 'invalid_parameter'],
    ['{"key":"c","value":1,"expire_in":"x"}', 'invalid_parameter'],
    ['{"key":"c","value":1,"expires_at":"x"}', 'invalid_parameter'],
    ['{"key":"c","value":1,"expire_in":1,"expires_at":"2100-01-01T00:00:00Z"}', 'invalid_parameter'],
    ['{"key":"c","value":1,"ttl":60}', 'invalid_request'],
    ['{"key":"c","value":1,"expires_in":60}', 'invalid_request'],
    ['{"key":"c","value":1,"other":{}}', 'invalid_request'],
    ['{"key":"c","value":1,"__proto__":{}}', 'invalid_request'],
    ['{"key":"c","value":1,"collection":"x"}', 'invalid_request'],
    ['{"key":"c","value_text":1}', 'invalid_request'],
    ['{"key":"c","value_text":"\\ud800"}', 'invalid_request'],
    ['{"key":"c","value_text":"a","value":1}', 'invalid_request'],
    [badUtf8, 'invalid_json'],
    ['\r', null],
    ['{"key":"d","value":{"x": 1e400}}\r', null],
    ['{"key":"e","value_base64":"AP8=","content_type":"a/b"}', null],
    ['{"key":"f","value":1,"revision":7,"created_at":"x","updated_at":null}', null],
    ['{"key":"g","value":1,"expires_at":"2000-01-01T00:00:00Z"}', null],
    ['{"key":"h","value":2,"content_type":"application/json; charset=utf-8"}', null],
    ['{"value":3,"key":"last","key":"i"}', null],
  ]
  const body = Buffer.concat(lines.flatMap(([line]) => [Buffer.from(line as string), Buffer.from('\n')]))
  for (const end of [body, body.subarray(0, -1)]) {
    const response = await fetch(`${server.url}/v1/lines`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: end,
    })
    const summary = await jsonOf<{
      stored: number
      failed: { line: number; code: string; detail: string }[]
    }>(response)
    expect(summary.failed.map(({ line, code }) => [line, code])).toEqual(
      lines.flatMap(([, code], i): [number, string][] => (code === null ? [] : [[i + 1, code]])),
    )
    for (const { detail } of summary.failed) expect(detail.length).toBeGreaterThan(5)
    expect(summary.stored).toBe(7)
    const text = await (await fetch(`${server.url}/v1/lines?include=values`)).text()
    expect(text).toBe(
      '{"members":[{"key":"a","value":1.0,"expires_at":null},{"key":"d","value":{"x": 1e400},"expires_at":null},' +
        '{"key":"e","value_base64":"AP8=","content_type":"a/b","expires_at":null},{"key":"f","value":1,"expires_at":null},' +
        '{"key":"h","value":2,"expires_at":null},{"key":"i","value":3,"expires_at":null}],"next":null}\n',
    )
  }
})

test('one mark of byte order at the beginning is skipped, and lines of blanks are', async () => {
  const mark = '\ufeff'
  const parts = [
    `${mark}{"key":"a","value":1}\n`,
    ' \n\t\r\n   ',
    `\n${mark}{"key":"b","value":2}\n`,
    '  {"key":"c","value":3}\n \t',
  ]
  for (const [name, chunks] of [
    ['whole', [parts.join('')]],
    ['split', [...Buffer.from(parts.join(''))].map((byte) => Buffer.from([byte]))],
  ] as const) {
    const body = new ReadableStream({
      async pull(controller) {
        for (const chunk of chunks) controller.enqueue(Buffer.from(chunk))
        controller.close()
      },
    })
    const response = await fetch(`${server.url}/v1/marks-${name}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(await jsonOf(response)).toMatchObject({ stored: 2, failed: [{ line: 5, code: 'invalid_json' }] })
  }
  // Nothing but a mark, and two of them.
  for (const [text, failed] of [
    [mark, 0],
    [`${mark}\n`, 0],
    [mark + mark, 1],
  ] as const) {
    const response = await fetch(`${server.url}/v1/marks`, {
      method: 'POST',
      body: text,
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(await jsonOf<{ failed: unknown[] }>(response)).toMatchObject({
      stored: 0,
      failed: Array(failed).fill({ line: 1 }),
    })
  }
})

test('more than a thousand bad ones are counted', async () => {
  const response = await fetch(`${server.url}/v1/lines2`, {
    method: 'POST',
    headers: { 'content-type': 'application/ndjson' },
    body: `${'x\n'.repeat(1500)}{"key":"a","value":1}`,
  })
  const summary = await jsonOf<{ stored: number; failed: unknown[]; failed_more: number }>(response)
  expect([summary.stored, summary.failed.length, summary.failed_more]).toEqual([1, 1000, 500])
})

test('a line that is too long is dropped as it comes, whatever is in it', async () => {
  const mib = 1024 * 1024
  const long = (inside: string) => `{"key":"long","value":1,"junk":"${inside}"}\n`
  const body = [
    '{"key":"before","value":1}\n',
    long('é'.repeat(12 * mib)),
    '{"key":"between","value":1}\n',
    long('x'.repeat(23 * mib)),
    `{"key":"large","value":"${'x'.repeat(16 * mib)}"}\n`,
    '{"key":"after","value":1}',
  ].join('')
  const response = await fetch(`${server.url}/v1/lines3`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  })
  const summary = await jsonOf<{ stored: number; failed: { line: number; code: string }[] }>(response)
  expect(summary.failed.map(({ line, code }) => [line, code])).toEqual([
    [2, 'too_large'],
    [4, 'too_large'],
    [5, 'too_large'],
  ])
  expect(summary.stored).toBe(3)
  expect(await (await fetch(`${server.url}/v1/lines3?include=keys`)).json()).toEqual({
    members: [{ key: 'after' }, { key: 'before' }, { key: 'between' }],
    next: null,
  })
})

test('an import with parameters or an unknown encoding is none', async () => {
  const lines = { method: 'POST', body: '{"key":"a","value":1}' }
  const headers = { 'content-type': 'application/x-ndjson' }
  const url = `${server.url}/v1/lines4`
  await expectProblem(await fetch(`${url}?expire_in=5`, { ...lines, headers }), 400, 'invalid_parameter')
  const encoded = await fetch(url, { ...lines, headers: { ...headers, 'content-encoding': 'aes128gcm' } })
  await expectProblem(encoded, 415, 'unsupported_media_type')
  expect(await jsonOf(fetch(url, { ...lines, headers, body: '' }))).toEqual({ stored: 0, failed: [] })
  expect(await countsOf(server.url, 'lines4')).toBeNull()
})
