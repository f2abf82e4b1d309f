import { isWellFormed } from './checks.ts'
import { KvistInputError, KvistValueError } from './errors.ts'
import { jsonOf } from './json.ts'

/** Values on their way to the server and back: JSON, text or bytes. */

/** Makes what came out of JSON.parse, a text or bytes into what a caller works with; throws what it does not take. */
export type Parse<T> = (value: unknown) => T

/** Stored as they are; they come back as a Uint8Array. */
export type Bytes = ArrayBuffer | ArrayBufferView

export const jsonType = 'application/json'
const bytesType = 'application/octet-stream'
export const textType = 'text/plain; charset=utf-8'

interface Encoded {
  readonly body: Uint8Array | string
  readonly contentType: string
}

/** Bytes go as they are, a string under a type that is not JSON as that text, everything else as JSON. */
export function encodeValue(value: unknown, contentType: string | undefined, name = 'the value'): Encoded {
  const bytes = bytesOf(value, name)
  if (bytes !== null) return { body: bytes, contentType: contentType ?? bytesType }
  if (contentType === undefined || isJson(contentType))
    return { body: jsonOf(value, name), contentType: contentType ?? jsonType }
  if (typeof value === 'string') return { body: checkedText(value, name), contentType }
  throw new KvistInputError(`${name} must be bytes or a string to be stored as ${contentType}`)
}

/** Text as it is stored: half of a surrogate pair would become another character. */
export function checkedText(given: unknown, name = 'the value'): string {
  if (typeof given === 'string' && isWellFormed(given)) return given
  throw new KvistInputError(`${name} must be a text of whole characters`)
}

/** A view of the bytes that a value is; null where it is something else. */
export function bytesOf(value: unknown, name = 'the value'): Uint8Array | null {
  try {
    // A view of a buffer that was transferred away has no bytes, and throws.
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    return isBuffer(value) ? new Uint8Array(value) : null
  } catch (cause) {
    throw new KvistInputError(`${name} is bytes of a buffer that was transferred away`, { cause })
  }
}

/** Also that of another realm, and one that threads share. */
function isBuffer(value: unknown): value is ArrayBuffer {
  const tag = Object.prototype.toString.call(value)
  return tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]'
}

/** As the server distinguishes values that are JSON from others. */
export function isJson(contentType: string): boolean {
  const [type = ''] = contentType.toLowerCase().split(';', 1)
  return type.trim() === jsonType || type.trim().endsWith('+json')
}

/** The members of a JSON object that hold a value: `"value":…`, or another name for text and for bytes. */
export function valueMembers(value: unknown, contentType: string | undefined, name: string): string {
  const { body, contentType: type } = encodeValue(value, contentType, name)
  const typeMember = type === jsonType ? '' : `"content_type":${JSON.stringify(type)},`
  if (typeof body !== 'string') return `${typeMember}"value_base64":"${toBase64(body)}"`
  return `${typeMember}${isJson(type) ? `"value":${body}` : `"value_text":${JSON.stringify(body)}`}`
}

/** A member as the API shows it: with a value, a text, a value in base64, or none of them. */
export interface ShownMember {
  readonly key: string
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** A member as callers have it. The shape of the rest is the API's promise. */
export function revive<T, Revived>(member: ShownMember, parse: Parse<T> | null): Revived {
  const { value_text, value_base64, ...others } = member
  const isBytes = value_text !== undefined || value_base64 !== undefined
  if (!isBytes && (parse === null || !('value' in member))) return member as Revived
  const value = isBytes ? shownBytes(value_text, value_base64) : member.value
  return { ...others, value: parseValue(member.key, value, parse) } as Revived
}

/** Without a `parse` the caller asserts the type T. */
export function parseValue<T>(key: string, value: unknown, parse: Parse<T> | null): T {
  if (parse === null) return value as T
  try {
    return parse(value)
  } catch (cause) {
    throw new KvistValueError(key, cause)
  }
}

/** Of a list as `get` gives them, whichever way they came. */
function shownBytes(text: string | undefined, base64 = ''): Uint8Array {
  return text === undefined ? fromBase64(base64) : new TextEncoder().encode(text)
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** In parts, because a call takes no more arguments than this at once. */
function toBase64(bytes: Uint8Array): string {
  const partBytes = 32 * 1024
  let text = ''
  for (let offset = 0; offset < bytes.length; offset += partBytes)
    text += String.fromCharCode(...bytes.subarray(offset, offset + partBytes))
  return btoa(text)
}
