import { isUtf8 } from 'node:buffer'
import { stampToMs } from '../core/clock.ts'
import { jsonContentType, type Member, type Value } from '../core/member.ts'
import type { Item, ItemWrite } from './decide.ts'
import type { WireValue } from './responses.ts'

/** Converts between kvist's members and memcached's items (docs/design/memcached.md). */

/** What a member keeps of a value. */
interface Content {
  readonly value: Value
  readonly contentType: string
}

const textContentType = 'text/plain; charset=utf-8'
const bytesContentType = 'application/octet-stream'

const quote = 0x22
const space = 0x20 // in JSON all white space is this or below

/** A value as a memcached client reads it: of a JSON string its text, of everything else the bytes that were stored. */
export function wireValue(value: Value): WireValue {
  if (typeof value !== 'string' || !isJsonString(value)) return value
  const text: unknown = JSON.parse(value)
  return typeof text === 'string' ? text : value
}

function isJsonString(json: string): boolean {
  let at = 0
  while (json.charCodeAt(at) <= space) at++
  return json.charCodeAt(at) === quote
}

export function itemOf(member: Member): Item {
  const { value, flags, revision, expiresAtMs, clock } = member
  return { value: wireValue(value), flags, revision, expiresAtMs, writtenAtMs: stampToMs(clock) }
}

/**
 * Bytes that a client sent, with a type that is true of them. JSON is kept as JSON, so that it can be filtered,
 * patched and counted over HTTP; a JSON string is not, for it would read back without its quotes. Other text is text.
 */
export function contentOf(bytes: Uint8Array): Content {
  if (!isUtf8(bytes)) return { value: bytes, contentType: bytesContentType }
  if (mayBeginJson(bytes)) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
    if (isJson(text)) return { value: text, contentType: jsonContentType }
  }
  return { value: bytes, contentType: textContentType }
}

/** What begins a JSON value that is no string. */
const beginnings = new Set(Buffer.from('{[-0123456789tfn'))

function mayBeginJson(bytes: Uint8Array): boolean {
  let at = 0
  while (bytes[at]! <= space) at++
  return beginnings.has(bytes[at]!)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/**
 * What a write leaves of a member that was there. A new expiry or a mark changes nothing of the value, and a counter
 * stays what it was: a number in JSON, a text in JSON, or bytes of some type.
 */
export function contentAfter(write: ItemWrite, found: Member | null, foundValue: WireValue | null): Content {
  const { value } = write
  if (found !== null && value === foundValue) return found
  if (typeof value !== 'string') return contentOf(value)
  if (found === null) return { value, contentType: jsonContentType }
  const { contentType } = found
  if (typeof found.value !== 'string') return { value: Buffer.from(value), contentType }
  return { value: isJsonString(found.value) ? JSON.stringify(value) : value, contentType }
}
