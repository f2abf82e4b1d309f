import { isUtf8 } from 'node:buffer'
import { maxValueBytes } from '../core/limits.ts'

/** What importers read from a source: entries to store, and entries that cannot be stored, with the reason. */

export type SourceEntry = FoundEntry | RejectedEntry

export interface FoundEntry {
  readonly key: string
  readonly value: SourceValue
  /** Null for never. */
  readonly expiresAtMs: number | null
  /** The flags of memcached clients. */
  readonly flags?: number
  /** The collection, where the source itself has several. */
  readonly collection?: string
  /** What of the entry is left out because kvist has no counterpart. */
  readonly lost?: string
}

export interface RejectedEntry {
  readonly key: string
  readonly code: RejectionCode
  /** Completes "key: …", on one line. */
  readonly reason: string
}

export type RejectionCode =
  | 'invalid_key'
  | 'too_large'
  | 'unsupported'
  | 'damaged'
  | 'duplicate'
  | 'unreadable'

export function isRejected(entry: SourceEntry): entry is RejectedEntry {
  return 'code' in entry
}

/** A value as fields of a line of an NDJSON import. */
export interface SourceValue {
  readonly fields: string
  readonly bytes: number
}

/** What is wrong with a whole source: the message is one line, and an import ends there. */
export class SourceError extends Error {}

/** Returns a JSON value, byte for byte. The text must be valid JSON. */
export function jsonValue(text: string): SourceValue {
  const bytes = Buffer.byteLength(text)
  // A line of NDJSON cannot contain line ends, which JSON may have between its tokens.
  if (!/[\r\n]/.test(text)) return { fields: `"value":${text}`, bytes }
  return { fields: `"content_type":"application/json","value_text":${JSON.stringify(text)}`, bytes }
}

/** Returns bytes as text if they are UTF-8, otherwise as they are; with `asJson` as JSON if they are that. */
export function plainValue(bytes: Uint8Array, asJson: boolean): SourceValue {
  if (bytes.length > maxValueBytes) return { fields: '', bytes: bytes.length } // it is rejected for its size
  if (!isUtf8(bytes)) {
    const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
    const fields = `"content_type":"application/octet-stream","value_base64":"${base64}"`
    return { fields, bytes: bytes.length }
  }
  const text = decode(bytes)
  if (asJson && isJson(text)) return jsonValue(text)
  const fields = `"content_type":"text/plain; charset=utf-8","value_text":${JSON.stringify(text)}`
  return { fields, bytes: bytes.length }
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What becomes of keys that are not UTF-8: they are rejected, or encoded after this prefix. */
const encodedKeyPrefix = 'base64:'

/** Returns a key of bytes as text; null if it is not UTF-8 and not to be encoded. */
export function keyText(bytes: Uint8Array, encodesBinary: boolean): string | null {
  if (isUtf8(bytes)) return decode(bytes)
  return encodesBinary ? encodedKeyPrefix + Buffer.from(bytes).toString('base64url') : null
}

export function rejectedBinaryKey(bytes: Uint8Array): RejectedEntry {
  const key = Buffer.from(bytes).toString('latin1')
  return { key, code: 'invalid_key', reason: 'the key is not UTF-8: --encode-keys stores it in base64' }
}

/** Returns a text, with a byte order mark at its start if it has one. */
function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
}
