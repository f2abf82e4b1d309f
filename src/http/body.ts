import { EncodedText, withEncodedText } from '../core/encoded-text.ts'
import type { MaybePromise } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { maxContentTypeBytes, maxValueBytes, smallBytes } from '../core/limits.ts'
import { jsonContentType, type Value } from '../core/member.ts'
import { isCompactJson } from '../json/validate-bytes.ts'
import type { Share } from '../net/budget.ts'
import { bodyParts, type Coding, codingOf, refuseCoding } from './content-coding.ts'
import type { RequestContext } from './context.ts'
import type { RequestBody } from './wire/body.ts'
import type { HttpRequest } from './wire/request.ts'

/** A body up to this size must arrive within one client timeout; a larger one restarts the timeout with each part. */
const quickBytes = 16 * 1024

/** JSON from this size on is validated as bytes, and becomes a text only if one is asked for (core/encoded-text.ts). */
const longBytes = 4096

/** Limit of the buffer allocated up front by the declared length; it grows as the body arrives. */
const mostAtFirstBytes = 64 * 1024

/**
 * Returns the whole decoded body: at once when it has arrived, otherwise as a promise. Throws `too_large` as soon as
 * the size is known, with or without a declared length; with a content coding, both the encoded and the decoded size
 * are limited.
 */
export function readBody(
  request: HttpRequest,
  maxBytes: number,
  context: RequestContext,
): MaybePromise<Uint8Array> {
  const coding = codingOf(request)
  const { body } = request
  if (body.declaredBytes !== null && body.declaredBytes > maxBytes) throw tooLarge(maxBytes)
  const whole = coding === null ? body.takeWhole(maxBytes) : null
  if (whole === null) return readParts(body, coding, maxBytes, context)
  if (whole.length > smallBytes) bodyShare(context).resize(whole.length)
  return whole
}

/** Returns a memory share for the body. It is released when the request has its response. */
export function bodyShare({ connection }: RequestContext): Share {
  const share = connection.memory.bodies.share()
  connection.hold(share)
  return share
}

async function readParts(
  body: RequestBody,
  coding: Coding | null,
  maxBytes: number,
  context: RequestContext,
): Promise<Uint8Array> {
  const isLarge = body.declaredBytes === null || body.declaredBytes > quickBytes
  // Parts may have one byte each, so they are joined as they arrive.
  let bytes = Buffer.allocUnsafe(Math.min(body.declaredBytes ?? quickBytes, mostAtFirstBytes))
  let size = 0
  let share: Share | null = null
  let sentBytes = 0
  const onPart = (part: Uint8Array) => {
    sentBytes += part.length
    // Encoded bytes may decode to nothing, without end.
    if (sentBytes > maxBytes) throw tooLarge(maxBytes)
    if (isLarge) context.connection.resetTimeout()
  }
  for await (const part of bodyParts(body, coding, onPart)) {
    const end = size + part.length
    if (end > maxBytes) throw tooLarge(maxBytes)
    if (end > smallBytes) {
      share ??= bodyShare(context)
      await context.connection.grow(share, end - share.bytes)
    }
    if (end > bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * bytes.length, end))
      bytes.copy(larger, 0, 0, size)
      bytes = larger
    }
    bytes.set(part, size)
    size = end
  }
  return bytes.subarray(0, size)
}

function tooLarge(maxBytes: number): KvistError {
  return new KvistError('too_large', `the body has more than ${maxBytes} bytes`, { limit_bytes: maxBytes })
}

/** Returns the body as text, unchanged. Throws `invalid_json` when it is empty, not UTF-8 or not JSON. */
export function jsonText(bytes: Uint8Array): string {
  return checkedJson(bodyText(bytes))
}

/** As `jsonText`, but returns the parsed value. */
export function parsedJson(bytes: Uint8Array): unknown {
  return parseJson(bodyText(bytes))
}

/** Returns the text of a body that may not be empty. Throws `invalid_json`. */
export function bodyText(bytes: Uint8Array): string {
  if (bytes.length > 0) return utf8Text(bytes)
  throw new KvistError('invalid_json', 'the body is empty; an empty value needs a Content-Type')
}

/** Returns the same text. Throws `invalid_json` when it is not JSON. */
function checkedJson(text: string): string {
  parseJson(text)
  return text
}

/** Returns the value of a body's text. Throws `invalid_json` when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new KvistError('invalid_json', `the body is not JSON: ${parserWords(error)}`)
  }
}

/** Strict, and keeps a byte order mark, which makes the JSON invalid. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Decodes and validates in one pass. Reading `bytes.buffer` before would cost more than that: Bun creates the
 * ArrayBuffer on access.
 */
function utf8Text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new KvistError('invalid_json', 'the body is not UTF-8')
  }
}

/** Returns the parser's message without its prefix. */
function parserWords(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^JSON Parse error: /, '') : 'it cannot be parsed'
}

/** A value sent in a request. */
export interface SentValue {
  readonly value: Value
  readonly contentType: string
}

/**
 * Parses a body into a value. `application/json` and `+json` types must be JSON and are stored as text; other types are
 * stored as bytes. Without a type, or with the default of curl's `-d`, the body is taken as JSON.
 */
export function readValue(request: HttpRequest, context: RequestContext): MaybePromise<SentValue> {
  const contentType = parseContentType(request.header('content-type'))
  if (!isJsonType(contentType)) refuseCoding(request)
  else if (codingOf(request) === null) {
    const text = request.body.takeText(longBytes - 1)
    if (text !== null) return { value: checkedJson(text), contentType }
  }
  const bytes = readBody(request, maxValueBytes, context)
  return bytes instanceof Promise
    ? bytes.then((late) => sentValue(late, contentType))
    : sentValue(bytes, contentType)
}

function sentValue(bytes: Uint8Array, contentType: string): SentValue {
  if (!isJsonType(contentType)) return { value: bytes, contentType }
  if (bytes.length < longBytes || !isCompactJson(bytes)) return { value: jsonText(bytes), contentType }
  return withEncodedText({ contentType }, new EncodedText(bytes))
}

export function isJsonType(contentType: string): boolean {
  return contentType === jsonContentType || /^[^;]*\+json[\t ]*(;|$)/i.test(contentType)
}

const meansJson = new Set(['', 'application/json', 'application/x-www-form-urlencoded'])

/** Type and subtype are tokens of RFC 9110; the parameters are visible ASCII, so that the header can be sent back. */
const contentTypeForm = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+[\t ]*(;[\t\x20-\x7e]*)?$/

/** Returns the content type as it is stored. Throws `unsupported_media_type`. */
export function parseContentType(header: string | null): string {
  if (header === null || meansJson.has(header)) return jsonContentType
  if (header.length > maxContentTypeBytes || !contentTypeForm.test(header)) {
    throw new KvistError('unsupported_media_type', 'the Content-Type is not one, or too long')
  }
  const [type = '', ...parameters] = header.toLowerCase().split(';')
  const charset = parameters.map((one) => one.trim()).find((one) => one.startsWith('charset='))
  const isJson = meansJson.has(type.trim()) || type.trim().endsWith('+json')
  if (isJson && charset !== undefined && !/^charset="?utf-8"?$/.test(charset)) {
    throw new KvistError('unsupported_media_type', 'JSON is kept in UTF-8 only')
  }
  return meansJson.has(type.trim()) ? jsonContentType : header
}
