import { KvistInputError, KvistValueError } from './errors.ts'
import type { ImportItem } from './types.ts'

/** Values on their way to the wire and back: JSON, or bytes. */

/** Makes what came out of JSON.parse, or bytes, into what a caller works with; throws what it does not take. */
export type Parse<T> = (value: unknown) => T

export const jsonType = 'application/json'
const bytesType = 'application/octet-stream'

export interface Encoded {
  readonly body: Uint8Array | string
  readonly contentType: string
}

/** A Uint8Array goes as it is, everything else as JSON. */
export function encodeValue(value: unknown, contentType: string | undefined): Encoded {
  if (value instanceof Uint8Array) return { body: value, contentType: contentType ?? bytesType }
  return { body: jsonOf(value), contentType: contentType ?? jsonType }
}

export function jsonOf(value: unknown): string {
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) throw new KvistInputError(`${typeof value} is no value that JSON has`)
  return text
}

/** As the server tells values that are JSON from bytes. */
export function isJson(contentType: string): boolean {
  return contentType === jsonType || /^[^;]*\+json[\t ]*(;|$)/i.test(contentType)
}

/** A line of an import. */
export function lineOf({ key, value, ...others }: ImportItem<unknown>): string {
  if (!(value instanceof Uint8Array))
    return `${JSON.stringify({ key, ...others }).slice(0, -1)},"value":${jsonOf(value)}}\n`
  return `${JSON.stringify({ key, content_type: bytesType, ...others, value_base64: toBase64(value) })}\n`
}

/** A member as the wire has it: with a value, a value in base64, or neither. */
interface WireMember {
  readonly key: string
  readonly value?: unknown
  readonly value_base64?: string
}

/** A member as callers have it. The shape of the rest is the API's promise. */
export function revive<T, Revived>(member: WireMember, parse: Parse<T> | null): Revived {
  const { value_base64, ...others } = member
  const isBytes = value_base64 !== undefined
  if (!isBytes && (parse === null || !('value' in member))) return member as Revived
  const value = isBytes ? fromBase64(value_base64) : member.value
  return { ...others, value: parseValue(member.key, value, parse) } as Revived
}

/** Without a `parse` it is the caller who says what T is. */
export function parseValue<T>(key: string, value: unknown, parse: Parse<T> | null): T {
  if (parse === null) return value as T
  try {
    return parse(value)
  } catch (cause) {
    throw new KvistValueError(key, cause)
  }
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0))
}

/** In parts, for a call takes no more arguments than this at once. */
function toBase64(bytes: Uint8Array): string {
  const partBytes = 32 * 1024
  let text = ''
  for (let at = 0; at < bytes.length; at += partBytes)
    text += String.fromCharCode(...bytes.subarray(at, at + partBytes))
  return btoa(text)
}
