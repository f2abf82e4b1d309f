import type { MaybePromise } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { maxContentTypeBytes, maxValueBytes, smallBytes } from '../core/limits.ts'
import { jsonContentType, type Value } from '../core/member.ts'
import type { Share } from '../net/budget.ts'
import { bodyParts, type Coding, codingOf, refuseCoding } from './content-coding.ts'
import type { RequestContext } from './context.ts'
import type { RequestBody } from './wire/body.ts'
import type { HttpRequest } from './wire/request.ts'

/**
 * Bodies up to this size must be there within the time that a client may be silent; with larger ones that time is renewed
 * as they come.
 */
const quickBytes = 16 * 1024

/** Room for a body is made at once up to this, for what its client says; the rest as it comes. */
const mostAtFirstBytes = 64 * 1024

/**
 * The body, whole and decoded: at once where it has come in. Throws `too_large` as soon as it is known to be, with or without
 * a declared length; of a body with a content coding, encoded and decoded bytes are each bounded.
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

/** What is held of a body counts until its request has its response. */
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
  // Parts may be a byte each: they are put together as they come.
  let bytes = Buffer.allocUnsafe(Math.min(body.declaredBytes ?? quickBytes, mostAtFirstBytes))
  let size = 0
  let share: Share | null = null
  const onPart = () => {
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

/** The text of a JSON body, byte for byte, once it is known to be JSON. */
export function jsonText(bytes: Uint8Array): string {
  if (bytes.length === 0)
    throw new KvistError('invalid_json', 'the body is empty; an empty value needs a Content-Type')
  return checkedJson(utf8Text(bytes))
}

/** The same text; throws where it is not JSON. */
function checkedJson(text: string): string {
  try {
    JSON.parse(text)
  } catch (error) {
    throw new KvistError('invalid_json', `the body is not JSON: ${parserWords(error)}`)
  }
  return text
}

/** Strict, and keeps a byte order mark, which JSON must not have. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decoding checks as it goes. Looking at `bytes.buffer` first would cost more than all of it: Bun makes that when asked. */
function utf8Text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new KvistError('invalid_json', 'the body is not UTF-8')
  }
}

/** JSON.parse says what is wrong after its own name. */
function parserWords(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^JSON Parse error: /, '') : 'it cannot be parsed'
}

/** A value as a request sends it. */
export interface SentValue {
  readonly value: Value
  readonly contentType: string
}

/**
 * The value that a body is. `application/json` and `+json` types must be JSON and are kept as text; other types are
 * kept as bytes. No type, and the one that curl's `-d` sends by default, mean JSON.
 */
export function readValue(request: HttpRequest, context: RequestContext): MaybePromise<SentValue> {
  const contentType = parseContentType(request.header('content-type'))
  if (!isJsonType(contentType)) refuseCoding(request)
  else if (codingOf(request) === null) {
    const text = request.body.takeText(maxValueBytes)
    if (text !== null) return { value: checkedJson(text), contentType }
  }
  const bytes = readBody(request, maxValueBytes, context)
  return bytes instanceof Promise
    ? bytes.then((late) => sentValue(late, contentType))
    : sentValue(bytes, contentType)
}

function sentValue(bytes: Uint8Array, contentType: string): SentValue {
  return { value: isJsonType(contentType) ? jsonText(bytes) : bytes, contentType }
}

export function isJsonType(contentType: string): boolean {
  return contentType === jsonContentType || /^[^;]*\+json[\t ]*(;|$)/i.test(contentType)
}

const meansJson = new Set(['', 'application/json', 'application/x-www-form-urlencoded'])

/** The type and subtype are tokens of RFC 9110; what follows is visible ASCII, so that it can be sent back. */
const contentTypeForm = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+[\t ]*(;[\t\x20-\x7e]*)?$/

/** The type as it is kept. Throws `unsupported_media_type`. */
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
