import { isUtf8 } from 'node:buffer'
import { stampToMs } from '../core/clock.ts'
import { jsonContentType, type Member, type Value } from '../core/member.ts'
import type { StoredJson } from '../core/member-visitor.ts'
import type { Item, ItemWrite } from './decide.ts'
import type { WireValue } from './responses.ts'

/** Converts between kvist's members and memcached's items (docs/design/memcached.md). */

/** A value with its content type, as members store it. */
interface Content {
  readonly value: Value
  readonly contentType: string
}

const textContentType = 'text/plain; charset=utf-8'
const bytesContentType = 'application/octet-stream'

/** Decodes without access to the buffer of the bytes, which the runtime would have to make first. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

const quote = 0x22
const space = 0x20 // all white space of JSON is at or below it

/** Returns a value as memcached clients read it: the text of a JSON string, any other value unchanged. */
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

/** Returns a row with the value that clients read: the same row, unless the value is a JSON string. */
export function wireRow(row: StoredJson): StoredJson {
  const { bytes, keyAt, keyEnd, valueAt, valueEnd, revision, createdAtMs, clock, flags } = row
  let at = valueAt
  while (bytes[at]! <= space) at++
  if (bytes[at] !== quote) return row
  const key = bytes.subarray(keyAt, keyEnd)
  const value = Buffer.from(wireValue(bytes.toString('utf8', valueAt, valueEnd)))
  const joined = {
    bytes: Buffer.concat([key, value]),
    valueAt: key.length,
    valueEnd: key.length + value.length,
  }
  return { ...joined, keyAt: 0, keyEnd: key.length, revision, createdAtMs, clock, flags }
}

export function itemOf(member: Member): Item {
  const { value, flags, revision, expiresAtMs, clock } = member
  return { value: wireValue(value), flags, revision, expiresAtMs, writtenAtMs: stampToMs(clock) }
}

/**
 * Returns the bytes that a client sent, with a matching content type. JSON is stored as JSON, so that it can be
 * filtered, patched and incremented over HTTP; except a JSON string, which would be read back without its quotes. Other
 * UTF-8 is text.
 */
export function contentOf(bytes: Uint8Array): Content {
  if (!isUtf8(bytes)) return { value: bytes, contentType: bytesContentType }
  if (mayBeginJson(bytes)) {
    const text = utf8.decode(bytes)
    if (isJson(text)) return { value: text, contentType: jsonContentType }
  }
  return { value: bytes, contentType: textContentType }
}

/** The first bytes of JSON values other than strings. */
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
 * Returns the content after a write. A new expiry or mark keeps the value, and a counter keeps its form: a number in
 * JSON, a text in JSON, or bytes with a content type.
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
