import { isUtf8 } from 'node:buffer'
import { maxValueBytes } from '../../core/limits.ts'
import type { SourceValue } from '../entry.ts'

/**
 * Values of Redis as JSON, from a server or an RDB file: a hash is an object, a list and a set are arrays, a sorted set is an
 * array of `{"member", "score"}`, a stream one of `{"id", "fields"}`. What is not UTF-8 is `{"base64": "…"}` there.
 */

/** A value, or why JSON cannot express it. */
export type RedisValue = SourceValue | { readonly unsupported: string }

/** Collects the elements of an array or object up to the largest value, and only counts the bytes of the rest. */
class JsonElements {
  private readonly texts: string[] = []
  private bytes = 2

  get isFull(): boolean {
    return this.bytes > maxValueBytes
  }

  add(text: string): void {
    this.bytes += Buffer.byteLength(text) + 1
    if (!this.isFull) this.texts.push(text)
  }

  array(): SourceValue {
    return { fields: this.isFull ? '' : `"value":[${this.texts.join(',')}]`, bytes: this.bytes }
  }

  /** An array in an order that does not depend on that of the elements: that of a set is by chance. */
  sortedArray(): SourceValue {
    this.texts.sort()
    return this.array()
  }

  reversedArray(): SourceValue {
    this.texts.reverse()
    return this.array()
  }

  object(): SourceValue {
    return { fields: this.isFull ? '' : `"value":{${this.texts.join(',')}}`, bytes: this.bytes }
  }
}

/** Returns the JSON of a text, or, of bytes that are not UTF-8, of an object that holds them in base64. */
function elementJson(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return isUtf8(buffer) ? JSON.stringify(buffer.toString()) : `{"base64":"${buffer.toString('base64')}"}`
}

export function listValue(elements: Iterable<Uint8Array>): SourceValue {
  const list = new JsonElements()
  for (const element of elements) list.add(elementJson(element))
  return list.array()
}

export function setValue(elements: Iterable<Uint8Array>): SourceValue {
  const list = new JsonElements()
  for (const element of elements) list.add(elementJson(element))
  return list.sortedArray()
}

export function hashValue(pairs: Iterable<readonly [Uint8Array, Uint8Array]>): RedisValue {
  const object = new JsonElements()
  let isBinary = false
  for (const [name, value] of pairs) {
    if (!isUtf8(name)) isBinary = true
    else object.add(`${elementJson(name)}:${elementJson(value)}`)
  }
  return isBinary ? { unsupported: 'a name in the hash is not UTF-8' } : object.object()
}

const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/**
 * Scores are texts as Redis writes them; `inf` and `-inf` stay texts. The members come from the lowest score up, or
 * `isReversed` from the highest down.
 */
export function sortedSetValue(
  pairs: Iterable<readonly [Uint8Array, string]>,
  isReversed = false,
): SourceValue {
  const list = new JsonElements()
  for (const [member, score] of pairs) {
    const scoreJson = jsonNumber.test(score) ? score : JSON.stringify(score)
    list.add(`{"member":${elementJson(member)},"score":${scoreJson}}`)
  }
  return isReversed ? list.reversedArray() : list.array()
}

export interface StreamEntry {
  readonly id: string
  /** Names and values in turn. */
  readonly fields: readonly Uint8Array[]
}

export function streamValue(entries: Iterable<StreamEntry>): RedisValue {
  const list = new JsonElements()
  let unsupported: string | null = null
  for (const { id, fields } of entries) {
    const names = new Set<string>()
    const texts: string[] = []
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const name = elementJson(fields[i]!)
      if (names.has(name)) unsupported = `the entry ${id} of the stream has a field twice`
      if (!name.startsWith('"')) unsupported = `the entry ${id} of the stream has a field that is not UTF-8`
      names.add(name)
      texts.push(`${name}:${elementJson(fields[i + 1]!)}`)
    }
    list.add(`{"id":"${id}","fields":{${texts.join(',')}}}`)
  }
  return unsupported === null ? list.array() : { unsupported }
}
