import { KvistError } from '../core/errors.ts'
import { parseKey } from '../core/keys.ts'
import { maxTimeMs, maxValueBytes } from '../core/limits.ts'
import type { FoundEntry, RejectionCode } from './entry.ts'

/** An entry as a line of an NDJSON import, or why there is none. */
export type SourceLine =
  | { readonly key: string; readonly line: string }
  | { readonly key: string; readonly isExpired: true }
  | { readonly key: string; readonly code: RejectionCode; readonly reason: string }

/** Returns the line of an entry, by the limits that the server has too, so that a dry run reports the same. */
export function sourceLine(entry: FoundEntry, prefix: string, nowMs: number): SourceLine {
  const { value, expiresAtMs, flags } = entry
  const key = prefix + entry.key
  const fault = keyFault(key)
  if (fault !== null) return { key, code: 'invalid_key', reason: fault }
  if (value.bytes > maxValueBytes) {
    const reason = `the value has ${value.bytes} bytes, and at most ${maxValueBytes} are allowed`
    return { key, code: 'too_large', reason }
  }
  if (expiresAtMs !== null && expiresAtMs <= nowMs) return { key, isExpired: true }
  if (expiresAtMs !== null && !(expiresAtMs <= maxTimeMs)) {
    return { key, code: 'unsupported', reason: 'it expires after the year 9999' }
  }
  const expiry = expiresAtMs === null ? 'null' : `"${new Date(expiresAtMs).toISOString()}"`
  const flagsField = flags === undefined ? '' : `,"flags":${flags}`
  return { key, line: `{"key":${JSON.stringify(key)},${value.fields},"expires_at":${expiry}${flagsField}}\n` }
}

function keyFault(key: string): string | null {
  try {
    parseKey(key)
    return null
  } catch (error) {
    if (error instanceof KvistError) return error.message
    throw error
  }
}
