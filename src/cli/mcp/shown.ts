import type { RawValue } from '../../../sdk/client.ts'
import { parseExactly } from '../exact-json.ts'
import { shownValue } from '../watch-lines.ts'

/**
 * Members as agents get them: JSON in which numbers have the text that was stored, with long values cut, for what an agent reads
 * takes room in its context.
 */

/** The most characters of a result that lists members. */
export const maxResultChars = 64 * 1024
/** The most characters of a value in such a result. */
const maxListedValueChars = 4 * 1024
/** The most bytes of a value that `get` shows. */
export const maxValueBytes = 64 * 1024

/** A member or a change, as a line of a list or of the feed has it. */
export interface ExactMember {
  readonly key: string
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
  readonly [field: string]: unknown
}

/** Returns the JSON of a member. A value of more characters is cut, and a note says so. */
export function shownMember(member: ExactMember, maxChars = maxListedValueChars): string {
  const most = Math.min(maxChars, maxListedValueChars)
  const { value, value_text, value_base64, ...metadata } = member
  const text = value_text ?? shownValue({ value, ...(value_base64 === undefined ? {} : { value_base64 }) })
  if (text === undefined || text.length <= most) return JSON.stringify(member)
  const kind = value_text === undefined ? (value_base64 === undefined ? 'JSON' : 'base64') : 'text'
  const note = `the first ${most} of ${text.length} characters of ${kind}; get shows more`
  return JSON.stringify({ ...metadata, value_start: beginning(text, most), note })
}

/** Buffers items up to the size of a result. */
export class ResultItems {
  readonly #items: string[] = []
  #chars = 0

  /** Returns false, and leaves the item out, if the result would be too large. The first one always fits. */
  add(item: string): boolean {
    if (this.#items.length > 0 && this.#chars + item.length > maxResultChars) return false
    this.#items.push(item)
    this.#chars += item.length
    return true
  }

  get length(): number {
    return this.#items.length
  }

  toJson(): string {
    return jsonLines(this.#items)
  }
}

/** Returns a JSON array, an item a line. */
export function jsonLines(items: readonly string[]): string {
  return items.length === 0 ? '[]' : `[\n  ${items.join(',\n  ')}\n]`
}

/** Reads a value up to `maxBytes`. */
export async function readBounded({ bytes }: RawValue, maxBytes: number): Promise<BoundedValue> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bytes) {
    chunks.push(chunk)
    length += chunk.length
    if (length > maxBytes) break
  }
  return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), isWhole: length <= maxBytes }
}

export interface BoundedValue {
  readonly bytes: Buffer
  readonly isWhole: boolean
}

/** Returns the JSON of a member that was read by itself. */
export function shownFound(key: string, found: RawValue, { bytes, isWhole }: BoundedValue): string {
  const { revision, modified_at, expires_at, content_type } = found
  const metadata = { key, revision, modified_at, expires_at, content_type }
  const text = textOf(content_type, bytes)
  if (!isWhole) {
    const start = text === null ? { value_base64_start: bytes.toString('base64') } : { value_start: text }
    const note = `the first ${bytes.length} bytes; kvist get prints all of it`
    return JSON.stringify({ ...metadata, ...start, note })
  }
  if (text === null) return JSON.stringify({ ...metadata, value_base64: bytes.toString('base64') })
  if (isJsonType(content_type)) return JSON.stringify({ ...metadata, value: parseExactly(text) })
  return JSON.stringify({ ...metadata, value_text: text })
}

/** Returns the text of a value of a JSON or text type; null for other bytes. A character that was cut is left out. */
export function textOf(contentType: string, bytes: Uint8Array): string | null {
  if (!isJsonType(contentType) && !/^text\//i.test(contentType)) return null
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true })
  } catch {
    return null
  }
}

function isJsonType(contentType: string): boolean {
  return /^application\/json\s*(;|$)|\+json\s*(;|$)/i.test(contentType)
}

function beginning(text: string, chars: number): string {
  return text.slice(0, chars).replace(/[\ud800-\udbff]$/, '')
}
