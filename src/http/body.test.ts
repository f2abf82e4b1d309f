import { describe, expect, test } from 'bun:test'
import { contextOf, noConnection, requestOf } from '../../test/support/connection.ts'
import { faultOf } from '../../test/support/engine.ts'
import { encodedTextOf } from '../core/encoded-text.ts'
import { isJsonType, jsonText, parseContentType, readBody, readValue } from './body.ts'
import type { HttpRequest } from './wire/request.ts'

let renewed = 0
const connection = {
  ...noConnection,
  resetTimeout() {
    renewed++
  },
}

const bodyOf = (request: HttpRequest, maxBytes: number) =>
  readBody(request, maxBytes, contextOf(request, { connection }))
const sentValueOf = (request: HttpRequest) => readValue(request, contextOf(request, { connection }))

/** A request with a body that is there already. */
function sent(body: string, headers: Record<string, string> = {}): HttpRequest {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const length = headers['content-length'] === undefined ? [`content-length: ${body.length}`] : []
  const request = requestOf('PUT / HTTP/1.1', ...lines, ...length)
  if (body !== '') request.body.feed(Buffer.from(body))
  return request
}

/** A request with a body that comes in chunks, one in each turn. */
function coming(...parts: string[]): HttpRequest {
  const request = requestOf('PUT / HTTP/1.1', 'transfer-encoding: chunked')
  const chunks = [...parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`), '0\r\n\r\n']
  const feed = () => {
    const chunk = chunks.shift()
    if (chunk === undefined) return
    request.body.feed(Buffer.from(chunk))
    setImmediate(feed)
  }
  setImmediate(feed)
  return request
}

describe('a body', () => {
  test('is read whole, with its client given time for each part of a large one', async () => {
    const read = async (request: HttpRequest) => Buffer.from(await bodyOf(request, 100)).toString()
    expect(await read(sent('12', { 'content-length': '2' }))).toBe('12')
    renewed = 0
    expect(await read(coming('ab', 'cd', 'e'))).toBe('abcde')
    expect(renewed).toBeGreaterThan(0)
    expect(await read(sent(''))).toBe('')
  })

  test('that is too large is refused by what it says of itself, or as it comes', async () => {
    const declared = sent('', { 'content-length': '101' })
    expect(await faultOf((async () => bodyOf(declared, 100))())).toMatchObject({
      code: 'too_large',
      extra: { limit_bytes: 100 },
    })
    const long = coming('x'.repeat(60), 'x'.repeat(60), 'never read')
    expect((await faultOf((async () => bodyOf(long, 100))())).code).toBe('too_large')
    const whole = sent('x'.repeat(101))
    expect((await faultOf((async () => bodyOf(whole, 100))())).code).toBe('too_large')
    expect((await bodyOf(coming('x'.repeat(100)), 100)).length).toBe(100)
  })

  test('that is encoded in a way that is not known is refused', async () => {
    const odd = sent('x', { 'content-encoding': 'compress' })
    expect((await faultOf((async () => bodyOf(odd, 100))())).code).toBe('unsupported_media_type')
    expect((await bodyOf(sent('x', { 'content-encoding': 'identity' }), 100)).length).toBe(1)
  })
})

describe('content types', () => {
  test('that mean JSON are one; the others are kept as they are', () => {
    for (const given of [
      null,
      '',
      'application/json',
      'Application/JSON ; charset="UTF-8"',
      'application/x-www-form-urlencoded',
    ]) {
      expect([given, parseContentType(given)]).toEqual([given, 'application/json'])
    }
    for (const given of [
      'text/plain',
      'TEXT/Plain; charset=latin1',
      'application/ld+json; a="b;c"',
      'a/b',
      "!#$%&'*+.^`|~-/x",
    ]) {
      expect(parseContentType(given)).toBe(given)
    }
  })

  test('are JSON by name or suffix, in upper case too', () => {
    const jsonTypes = ['application/json', 'a/b+json', 'a/b+JSON', 'a/b+json;c', 'a/b+json ; c']
    expect(jsonTypes.filter((type) => !isJsonType(type))).toEqual([])
    expect(['a/json', 'a/b; x=+json', 'a/b+jsonx', 'text/plain'].filter(isJsonType)).toEqual([])
  })
})

test('a value is text where it is JSON, and bytes elsewhere', async () => {
  const read = (body: string, type: string) => sentValueOf(sent(body, { 'content-type': type }))
  expect(await read(' 1.0 ', 'application/json')).toEqual({ value: ' 1.0 ', contentType: 'application/json' })
  expect(await read('1.0', 'text/plain')).toEqual({ value: Buffer.from('1.0'), contentType: 'text/plain' })
  expect((await faultOf((async () => read('', 'application/json'))())).code).toBe('invalid_json')
  expect((await read('', 'text/plain')).value.length).toBe(0)
})

test('long JSON stays bytes until its text is read, and is refused for the same as short JSON', async () => {
  const read = (body: string | Uint8Array) => {
    const request = requestOf('PUT / HTTP/1.1', `content-length: ${Buffer.byteLength(body)}`)
    request.body.feed(Buffer.from(body))
    return sentValueOf(request)
  }
  const filled = (start: string) => `${start}"${'é'.repeat(3000)}"]`
  for (const start of ['[1, ', '[\n1,\t', `${'['.repeat(40)}${']'.repeat(39)}, `]) {
    const text = filled(start)
    const sent = await read(text)
    expect([start, encodedTextOf(sent) !== undefined]).toEqual([start, start === '[1, '])
    expect(sent).toEqual({ value: text, contentType: 'application/json' })
  }
  const codeOf = async (body: string | Uint8Array) => (await faultOf((async () => read(body))())).message
  for (const [start, message] of [
    ['[x, ', 'the body is not JSON: '],
    ['["\x01", ', 'the body is not JSON: '],
    ['\ufeff[1, ', 'the body is not JSON: '],
  ] as const)
    expect(await codeOf(filled(start))).toStartWith(message)
  expect(await codeOf(Buffer.from(filled('[1, '), 'latin1'))).toBe('the body is not UTF-8')
})

test('JSON that is none says what is wrong, without the words of a parser', () => {
  expect(() => jsonText(Buffer.from('{"a":x}'))).toThrow(/^the body is not JSON: (?!JSON Parse error)/)
  expect(() => jsonText(new Uint8Array([0x22, 0xff, 0x22]))).toThrow('the body is not UTF-8')
  expect(jsonText(Buffer.from('"é"'))).toBe('"é"')
})
