import { type RejectedEntry, SourceError } from './entry.ts'

/** Fields of JSON that other stores export, checked as they are read. */

export type ExportedFields = Readonly<Record<string, unknown>>

/** Returns the object and its key; a rejection if it is none, or has no key that is text. */
export function exportedFields(
  text: string,
  number: number,
): { readonly key: string; readonly fields: ExportedFields } | RejectedEntry {
  const label = `element ${number}`
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    return { key: label, code: 'damaged', reason: 'it is not JSON' }
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    return { key: label, code: 'damaged', reason: 'it is no object' }
  }
  const { key }: { key?: unknown } = fields
  if (typeof key !== 'string') return { key: label, code: 'damaged', reason: 'it has no "key" that is text' }
  return { key, fields: fields as ExportedFields }
}

/** Returns the bytes of base64; null if the text is not base64. */
export function bytesOfBase64(text: string): Buffer | null {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return null
  return Buffer.from(text, 'base64')
}

/** Returns a part of a response that must be an object. Throws a `SourceError`. */
export function objectIn(given: unknown, what: string): ExportedFields {
  if (typeof given === 'object' && given !== null) return given as ExportedFields
  throw new SourceError(`${what} did not respond as expected`)
}
