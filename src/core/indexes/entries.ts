import { createHash } from 'node:crypto'
import { type FieldPath, fieldOf } from '../../jsonpath/fields.ts'
import { EncodedRef } from '../encoded-ref.ts'
import type { MemberRef } from '../engine.ts'
import { maxKeyBytes } from '../limits.ts'
import type { Value } from '../member.ts'
import type { StoredJson } from '../member-visitor.ts'
import type { Index } from './definition.ts'
import {
  canonicalValue,
  type EncodedValue,
  encodeValue,
  endOfEncodedBytes,
  endOfEncoding,
} from './encode-value.ts'

/**
 * The entries of indexes. Each member has one in each index of its collection. Its key is
 *
 *     the values of the fields, encoded (encode-value.ts), and then
 *     `k` and the key of the member; a long key is cut, and ends with its digest
 *     `u` alone, in a unique index whose fields all have values; where one is truncated with the digest of all values
 *
 * so that entries are in the order of the values, and among equal values in that of the keys. A unique index can have only
 * one entry for the same values. Its value is the member's key as JSON text, or `0` where that is in the entry's key.
 */
export interface IndexEntry {
  readonly key: string
  readonly value: string
}

const cutEnd = '\u{10000}\u0001\u0001'
const digestLength = 22
const inKey = '0'

/** Returns the entry of a member in an index. */
export function entryOf(index: Index, key: string, value: Value): IndexEntry {
  if (!index.unique) return plainEntry(encodedFields(index, value), key)
  const values = valuesOf(index, value)
  return values.includes(undefined)
    ? plainEntry(encodedValues(index, values).text, key)
    : uniqueEntry(index, key, values)
}

/** The text of `encodedValues` of the fields: without lists, since every write to an indexed member needs it twice. */
function encodedFields({ on, maxValueBytes }: Index, value: Value): string {
  let text = ''
  for (const field of on) text += encodeValue(fieldIn(value, field), maxValueBytes).text
  return text
}

function fieldIn(value: Value, field: FieldPath): string | undefined {
  return typeof value === 'string' ? fieldOf(value, field) : undefined
}

/** The JSON text of each field; undefined where there is nothing, as in values that aren't JSON. */
function valuesOf({ on }: Index, value: Value): (string | undefined)[] {
  return on.map((field) => fieldIn(value, field))
}

function encodedValues({ maxValueBytes }: Index, values: readonly (string | undefined)[]): EncodedValue {
  let text = ''
  let isTruncated = false
  for (const value of values) {
    const encoded = encodeValue(value, maxValueBytes)
    text += encoded.text
    isTruncated ||= encoded.isTruncated
  }
  return { text, isTruncated }
}

function plainEntry(text: string, key: string): IndexEntry {
  // Three bytes for each character at most.
  if ((text.length + key.length) * 3 < maxKeyBytes) return { key: `${text}k${key}`, value: inKey }
  const left = maxKeyBytes - Buffer.byteLength(text) - 1
  if (key.length * 3 <= left || Buffer.byteLength(key) <= left) return { key: `${text}k${key}`, value: inKey }
  const room = left - Buffer.byteLength(cutEnd) - digestLength
  return { key: `${text}k${startOf(key, room)}${cutEnd}${digestOf(key)}`, value: JSON.stringify(key) }
}

/** Returns as many characters as have at most `bytes` of UTF-8. */
function startOf(text: string, bytes: number): string {
  let start = ''
  let used = 0
  for (const character of text) {
    used += Buffer.byteLength(character)
    if (used > bytes) break
    start += character
  }
  return start
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, digestLength)
}

function uniqueEntry(index: Index, key: string, values: readonly (string | undefined)[]): IndexEntry {
  const { text, isTruncated } = encodedValues(index, values)
  const digest = isTruncated
    ? createHash('sha256')
        .update(JSON.stringify(values.map(canonicalValue)))
        .digest('base64url')
    : ''
  return { key: `${text}u${digest}`, value: JSON.stringify(key) }
}

/** An entry, and which member it is of. */
export interface ReadEntry {
  readonly key: string
  readonly memberKey: string
}

/** Reads an entry. `fields` is the number of the index's fields. */
export function readEntry(key: string, value: Value, fields: number): ReadEntry {
  if (value !== inKey) return { key, memberKey: String(JSON.parse(String(value))) }
  let at = 0
  for (let i = 0; i < fields; i++) at = endOfEncoding(key, at)
  return { key, memberKey: key.slice(at + 1) }
}

/** Returns the member of a collection that a visited entry is of. A key in the entry's stays in its bytes. */
export function memberRefOf(entry: StoredJson, fields: number, collection: string): MemberRef {
  const { bytes, keyAt, keyEnd, valueAt, valueEnd } = entry
  if (valueEnd - valueAt > inKey.length)
    return { collection, key: String(JSON.parse(bytes.toString('utf8', valueAt, valueEnd))) }
  let at = keyAt
  for (let i = 0; i < fields; i++) at = endOfEncodedBytes(bytes, at, keyEnd)
  return new EncodedRef(collection, bytes, at + 1, keyEnd)
}

/** Whether an entry has its values for itself: no other member may have the same. */
export function isUniqueEntry(key: string, fields: number): boolean {
  let at = 0
  for (let i = 0; i < fields; i++) at = endOfEncoding(key, at)
  return key[at] === 'u'
}

/** Returns the entry that a member has in place of a unique one, because another member has that. */
export function asDuplicate({ key }: IndexEntry, memberKey: string): IndexEntry {
  const text = key.slice(0, key.lastIndexOf('u'))
  return plainEntry(text, memberKey)
}
