import type { NewContent } from '../../core/content.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { parseCollection, parseKey } from '../../core/keys.ts'
import { maxValueBytes } from '../../core/limits.ts'
import { jsonContentType, type Value } from '../../core/member.ts'
import { rawMember } from '../../json/scan.ts'
import { isJsonType, jsonText, parseContentType } from '../body.ts'
import { expiryFields, fieldExpiry } from './expiry.ts'

/** Parses the fields of JSON objects in requests: batches, their operations, lines of an import. */

export type JsonFields = Readonly<Record<string, unknown>>

/** The fields of a member's content. */
export const contentFields = [
  'value',
  'value_text',
  'value_base64',
  'content_type',
  'flags',
  ...expiryFields,
] as const

/** Returns a value as an object. Throws `invalid_request` otherwise; `where` names the value in the message. */
export function asObject(given: unknown, where: string): JsonFields {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as JsonFields
  throw new KvistError('invalid_request', `${where} is not an object`)
}

/** Returns a value as an array, empty when missing. Throws `invalid_request` otherwise. */
export function asArray(given: unknown, where: string): readonly unknown[] {
  if (given === undefined) return []
  if (Array.isArray(given)) return given
  throw new KvistError('invalid_request', `${where} is not an array`)
}

export function parseRef({ collection, key }: JsonFields, where: string): MemberRef {
  if (typeof collection !== 'string')
    throw new KvistError('invalid_collection', `${where} has no "collection"`)
  if (typeof key !== 'string') throw new KvistError('invalid_key', `${where} has no "key"`)
  return { collection: parseCollection(collection), key: parseKey(key) }
}

/**
 * Throws `invalid_request` for a field that is not known, and names it: ignoring it could change the meaning of the
 * request.
 */
export function refuseOthers(fields: JsonFields, known: ReadonlySet<string>, where: string): void {
  for (const name in fields) {
    if (known.has(name)) continue
    const shown = JSON.stringify(name.slice(0, 64))
    throw new KvistError('invalid_request', `${where} has ${shown}; known are ${[...known].join(', ')}`)
  }
}

/**
 * Returns the content that an object's fields describe. `raw` is the object's text, from which a JSON value is copied
 * unchanged.
 */
export function parseContent(fields: JsonFields, raw: string, where: string, nowMs: number): NewContent {
  const { form, other } = formOf(fields)
  if (form === null) {
    throw new KvistError(
      'invalid_request',
      `${where} has neither "value", nor "value_text", nor "value_base64"`,
    )
  }
  if (other !== null) throw new KvistError('invalid_request', `${where} has both "${form}" and "${other}"`)
  const contentType = parseType(fields.content_type, form)
  const value = parsers[form](fields[form], raw, contentType, where)
  return { value, contentType, flags: parseFlags(fields.flags), expiresAtMs: fieldExpiry(fields, nowMs) }
}

function parseFlags(given: unknown): number {
  if (given === undefined) return 0
  if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given < 2 ** 32) return given
  throw new KvistError('invalid_request', '"flags" is not a number of 32 bits')
}

const forms = ['value', 'value_text', 'value_base64'] as const
type Form = (typeof forms)[number]

function formOf(fields: JsonFields): { form: Form | null; other: Form | null } {
  let form: Form | null = null
  for (const one of forms) {
    if (fields[one] === undefined) continue
    if (form !== null) return { form, other: one }
    form = one
  }
  return { form, other: null }
}

const textContentType = 'text/plain; charset=utf-8'

function parseType(given: unknown, form: Form): string {
  if (given === undefined) return form === 'value_text' ? textContentType : jsonContentType
  if (typeof given === 'string') return parseContentType(given)
  throw new KvistError('invalid_request', '"content_type" is not text')
}

type FormParser = (given: unknown, raw: string, contentType: string, where: string) => Value

const parsers: Readonly<Record<Form, FormParser>> = {
  value(_given, raw, contentType, where) {
    if (!isJsonType(contentType)) {
      throw new KvistError(
        'invalid_request',
        `${where}: a value of type ${contentType} goes into "value_text" or "value_base64"`,
      )
    }
    const value = rawMember(raw, 'value')!
    if (isLarger(value)) throw valueTooLarge(where)
    return value
  },
  value_text(given, _raw, contentType, where) {
    if (typeof given !== 'string' || !given.isWellFormed()) {
      throw new KvistError('invalid_request', `${where}: "value_text" is not text`)
    }
    if (isLarger(given)) throw valueTooLarge(where)
    const bytes = Buffer.from(given)
    return isJsonType(contentType) ? jsonText(bytes) : bytes
  },
  value_base64(given, _raw, contentType, where) {
    if (typeof given !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(given) || given.length % 4 !== 0) {
      throw new KvistError('invalid_request', `${where}: "value_base64" is not base64`)
    }
    const bytes = new Uint8Array(Buffer.from(given, 'base64'))
    if (bytes.length > maxValueBytes) throw valueTooLarge(where)
    return isJsonType(contentType) ? jsonText(bytes) : bytes
  },
}

function isLarger(value: string): boolean {
  return value.length * 3 > maxValueBytes && Buffer.byteLength(value) > maxValueBytes
}

function valueTooLarge(where: string): KvistError {
  return new KvistError('too_large', `${where}: the value has more than ${maxValueBytes} bytes`, {
    limit_bytes: maxValueBytes,
  })
}
