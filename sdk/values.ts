import { isWellFormed } from './checks.ts'
import { KvistInputError, KvistValueError } from './errors.ts'
import { jsonOf } from './json.ts'

/** Converts values for requests and from responses: JSON, text or bytes. */

/** Converts a parsed JSON value, a text or bytes into the caller's type; throws for a value that it rejects. */
export type Parse<T> = (value: unknown) => T

/** Bytes, stored as they are; they come back as a Uint8Array. */
export type Bytes = ArrayBuffer | ArrayBufferView

export const jsonType = 'application/json'
const bytesType = 'application/octet-stream'
export const textType = 'text/plain; charset=utf-8'

interface Encoded {
  readonly body: Uint8Array | string
  readonly contentType: string
}

/**
 * Returns the body and content type of a value: bytes as they are, a string under a type that is not JSON as text,
 * other values as JSON.
 */
export function encodeValue(value: unknown, contentType: string | undefined, name = 'the value'): Encoded {
  const bytes = bytesOf(value, name)
  if (bytes !== null) return { body: bytes, contentType: contentType ?? bytesType }
  if (contentType === undefined || isJson(contentType))
    return { body: jsonOf(value, name), contentType: contentType ?? jsonType }
  if (typeof value === 'string') return { body: checkedText(value, name), contentType }
  throw new KvistInputError(`${name} must be bytes or a string to be stored as ${contentType}`)
}

/**
 * Returns the text if it is well-formed; throws otherwise, because half of a surrogate pair would become another
 * character.
 */
export function checkedText(given: unknown, name = 'the value'): string {
  if (typeof given === 'string' && isWellFormed(given)) return given
  throw new KvistInputError(`${name} must be a text of whole characters`)
}

/** Returns a view of a value's bytes; null if the value is not bytes. */
export function bytesOf(value: unknown, name = 'the value'): Uint8Array | null {
  try {
    // A view of a transferred buffer has no bytes, and this throws.
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    return isBuffer(value) ? new Uint8Array(value) : null
  } catch (cause) {
    throw new KvistInputError(`${name} is bytes of a buffer that was transferred away`, { cause })
  }
}

/** Returns whether it is an ArrayBuffer, also one of another realm or one that threads share. */
function isBuffer(value: unknown): value is ArrayBuffer {
  const tag = Object.prototype.toString.call(value)
  return tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]'
}

/** Returns whether a content type is JSON, by the server's rule. */
export function isJson(contentType: string): boolean {
  const [type = ''] = contentType.toLowerCase().split(';', 1)
  return type.trim() === jsonType || type.trim().endsWith('+json')
}

/** Returns the members of a JSON object that represent a value: `"value":…`, or `value_text` or `value_base64`. */
export function valueMembers(value: unknown, contentType: string | undefined, name: string): string {
  const { body, contentType: type } = encodeValue(value, contentType, name)
  const typeMember = type === jsonType ? '' : `"content_type":${JSON.stringify(type)},`
  if (typeof body !== 'string') return `${typeMember}"value_base64":"${toBase64(body)}"`
  return `${typeMember}${isJson(type) ? `"value":${body}` : `"value_text":${JSON.stringify(body)}`}`
}

/** A member in the API's JSON: with a value, a text, a value in base64, or none of them. */
export interface ShownMember {
  readonly key: string
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** Returns a member in the form for callers. Its other fields are not checked, because the API guarantees them. */
export function revive<T, Revived>(member: ShownMember, parse: Parse<T> | null): Revived {
  const { value_text, value_base64, ...others } = member
  const isBytes = value_text !== undefined || value_base64 !== undefined
  if (!isBytes && (parse === null || !('value' in member))) return member as Revived
  const value = isBytes ? shownBytes(value_text, value_base64) : member.value
  return { ...others, value: parseValue(member.key, value, parse) } as Revived
}

/** Returns the value after `parse`. Without one the caller asserts the type T. */
export function parseValue<T>(key: string, value: unknown, parse: Parse<T> | null): T {
  if (parse === null) return value as T
  try {
    return parse(value)
  } catch (cause) {
    throw new KvistValueError(key, cause)
  }
}

/** Returns the bytes of a listed value, as `get` does, whichever form they came in. */
function shownBytes(text: string | undefined, base64 = ''): Uint8Array {
  return text === undefined ? fromBase64(base64) : new TextEncoder().encode(text)
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** Encodes bytes as base64, in parts, because a call has a limit of arguments. */
function toBase64(bytes: Uint8Array): string {
  const partBytes = 32 * 1024
  let text = ''
  for (let offset = 0; offset < bytes.length; offset += partBytes)
    text += String.fromCharCode(...bytes.subarray(offset, offset + partBytes))
  return btoa(text)
}
