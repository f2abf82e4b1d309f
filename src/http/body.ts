import { KvistError } from '../core/errors.ts'
import { maxContentTypeBytes, maxValueBytes } from '../core/limits.ts'
import { jsonContentType, type Value } from '../core/member.ts'
import type { Connection } from './route.ts'

/**
 * Bodies up to this size are taken in one piece, and must be there within the time that a client may be silent; larger
 * ones are taken as they come, with that time renewed.
 */
const onePieceBytes = 16 * 1024

/** The body, whole. Throws `too_large` as soon as it is known to be, with or without a declared length. */
export async function readBody(
  request: Request,
  maxBytes: number,
  connection: Connection,
): Promise<Uint8Array> {
  return bodyOf(request, maxBytes, connection)
}

/** As `readBody`, but what it knows to be wrong at once it throws. */
function bodyOf(request: Request, maxBytes: number, connection: Connection): Promise<Uint8Array> {
  refuseEncoding(request)
  const declared = request.headers.get('content-length')
  const length = declared === null ? null : Number(declared)
  if (length !== null && length > maxBytes) throw tooLarge(maxBytes)
  if (length !== null && length <= onePieceBytes) return request.bytes()
  return readStream(request, maxBytes, connection)
}

async function readStream(request: Request, maxBytes: number, connection: Connection): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array()
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of request.body) {
    size += part.length
    if (size > maxBytes) throw tooLarge(maxBytes)
    parts.push(part)
    connection.renew()
  }
  return Buffer.concat(parts)
}

/** Encoded bytes would be kept without the word of how to decode them. */
export function refuseEncoding({ headers }: Request): void {
  const encoding = headers.get('content-encoding')
  if (encoding === null || encoding.toLowerCase() === 'identity') return
  throw new KvistError('unsupported_media_type', 'a body is taken as it is, without a Content-Encoding')
}

function tooLarge(maxBytes: number): KvistError {
  return new KvistError('too_large', `the body has more than ${maxBytes} bytes`, { limit_bytes: maxBytes })
}

/** The text of a JSON body, byte for byte, once it is known to be JSON. */
export function jsonText(bytes: Uint8Array): string {
  if (bytes.length === 0)
    throw new KvistError('invalid_json', 'the body is empty; an empty value needs a Content-Type')
  const text = utf8Text(bytes)
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
 * kept as bytes. No type, and the one that curl's `-d` sends when not told otherwise, mean JSON.
 */
export async function readValue(request: Request, connection: Connection): Promise<SentValue> {
  const contentType = parseContentType(request.headers.get('content-type'))
  const bytes = await bodyOf(request, maxValueBytes, connection)
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
