import { isAscii } from 'node:buffer'
import type { EncodedRef } from '../../../core/encoded-ref.ts'
import { EncodedText } from '../../../core/encoded-text.ts'
import {
  jsonContentType,
  type Member,
  type MemberHead,
  type Tombstone,
  type Value,
} from '../../../core/member.ts'
import { tombstoneOrigin } from './tombstone-node.ts'

/**
 * One write, as encoded in the log and in its memtable until it is flushed.
 *
 *     offset  size  what
 *          0     1  kind: 1 put, 2 delete, 3 expire, 4 renew: a put that leaves the member its revision
 *          1     1  form of the value: 0 JSON in ASCII, 1 JSON in UTF-8, 2 bytes
 *          2     1  bytes of the collection's name
 *          3     1  bytes of the node's name
 *          4     2  bytes of the key
 *          6     2  bytes of the content type; 0 for application/json
 *          8     4  bytes of the value
 *         12     4  bytes of key and value of the replaced member, -1 for none: the counts of the collection
 *                   are updated by it
 *         16     8  position in the log; also the revision, except in a renewal
 *         24     8  created, milliseconds
 *         32     8  clock stamp; of a tombstone that of its removal (tombstone-node.ts)
 *         40     8  expires, milliseconds; infinity for never
 *         48     8  flags
 *         56     8  revision of the replaced member, 0 for none
 *         64     8  expiry of the replaced member, as above
 *         72        collection, key, content type, node, value
 *
 * Numbers are little-endian; those of 8 bytes are doubles that hold integers.
 */
const headerBytes = 72

const kindCodes = { put: 1, delete: 2, expire: 3 } as const
const renewCode = 4
export type RecordKind = keyof typeof kindCodes
const kinds: readonly RecordKind[] = ['put', 'delete', 'expire', 'put']

const jsonAsciiForm = 0
const jsonForm = 1
const bytesForm = 2

/** The fields of a record to be encoded. */
export interface RecordFields {
  readonly kind: RecordKind | 'renew'
  readonly collection: string
  readonly key: string
  readonly value: RecordValue
  readonly contentType: string
  readonly node: string
  readonly flags: number
  readonly position: number
  readonly createdAtMs: number
  readonly clock: number
  readonly expiresAtMs: number | null
  /** The version that the write replaces; null for none. */
  readonly replaced: ExistingVersion | null
}

/** The fields of an existing member that a write which may replace it reads. */
export interface ExistingVersion {
  readonly revision: number
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
  /** Length of key and value together. */
  readonly bytes: number
}

/** A value as a record is made of it. */
export type RecordValue = Value | EncodedText

/** A segment of the log in memory, byte for byte as in its file. */
export interface Chunk {
  readonly bytes: Buffer
  readonly view: DataView
}

export function chunkOf(bytes: Buffer): Chunk {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
}

/** An upper bound of a record's size in bytes. Short text counts 3 bytes per UTF-16 unit, which is faster than measuring. */
export function recordRoom(
  collection: string,
  key: string,
  contentType: string,
  node: string,
  value: RecordValue,
): number {
  const text = collection.length + key.length + contentType.length + node.length
  if (value instanceof EncodedText) return headerBytes + 3 * text + value.utf8.length
  if (typeof value !== 'string') return headerBytes + 3 * text + value.length
  return headerBytes + 3 * text + (value.length < 4096 ? 3 * value.length : Buffer.byteLength(value))
}

/** Encodes a record at an offset with enough room (`recordRoom`), and returns its end. */
export function encodeRecord(chunk: Chunk, at: number, record: RecordFields): number {
  const { bytes, view } = chunk
  const { value, replaced } = record
  const contentType = record.contentType === jsonContentType ? '' : record.contentType
  let end = at + headerBytes

  const collectionBytes = writeName(bytes, record.collection, end)
  end += collectionBytes
  const keyBytes = writeName(bytes, record.key, end)
  end += keyBytes
  const contentTypeBytes = contentType === '' ? 0 : bytes.write(contentType, end)
  end += contentTypeBytes
  const nodeBytes = record.node === '' ? 0 : bytes.write(record.node, end)
  end += nodeBytes
  let form = bytesForm
  let valueBytes: number
  if (typeof value === 'string') {
    valueBytes = bytes.write(value, end)
    form = valueBytes === value.length ? jsonAsciiForm : jsonForm
  } else if (value instanceof EncodedText) {
    const { utf8 } = value
    valueBytes = utf8.length
    bytes.set(utf8, end)
    form = isAscii(utf8) ? jsonAsciiForm : jsonForm
  } else {
    valueBytes = value.length
    bytes.set(value, end)
  }

  view.setUint8(at, record.kind === 'renew' ? renewCode : kindCodes[record.kind])
  view.setUint8(at + 1, form)
  view.setUint8(at + 2, collectionBytes)
  view.setUint8(at + 3, nodeBytes)
  view.setUint16(at + 4, keyBytes, true)
  view.setUint16(at + 6, contentTypeBytes, true)
  view.setUint32(at + 8, valueBytes, true)
  view.setInt32(at + 12, replaced === null ? -1 : replaced.bytes, true)
  view.setFloat64(at + 16, record.position, true)
  view.setFloat64(at + 24, record.createdAtMs, true)
  view.setFloat64(at + 32, record.clock, true)
  view.setFloat64(at + 40, record.expiresAtMs ?? Number.POSITIVE_INFINITY, true)
  view.setFloat64(at + 48, record.flags, true)
  view.setFloat64(at + 56, replaced === null ? 0 : replaced.revision, true)
  view.setFloat64(at + 64, replaced?.expiresAtMs ?? Number.POSITIVE_INFINITY, true)
  return end + valueBytes
}

/** Names up to this length are quicker to write by character. */
const shortName = 32

/** Writes the UTF-8 of a name, and returns the number of bytes. */
function writeName(bytes: Buffer, name: string, at: number): number {
  const { length } = name
  if (length > shortName) return bytes.write(name, at)
  for (let i = 0; i < length; i++) {
    const unit = name.charCodeAt(i)
    if (unit > 0x7f) return bytes.write(name, at)
    bytes[at + i] = unit
  }
  return length
}

/**
 * Offsets of a record's texts: collection and key from `start` to `namesEnd`, content type and node from there to
 * `valueStart`, the value from there to `end`.
 */
export interface RecordTexts {
  start: number
  namesEnd: number
  valueStart: number
  end: number
}

export function recordTexts({ view }: Chunk, at: number, into: RecordTexts): RecordTexts {
  into.start = at + headerBytes
  into.namesEnd = into.start + view.getUint8(at + 2) + view.getUint16(at + 4, true)
  into.valueStart = into.namesEnd + view.getUint16(at + 6, true) + view.getUint8(at + 3)
  into.end = into.valueStart + view.getUint32(at + 8, true)
  return into
}

export function recordCollectionBytes({ view }: Chunk, at: number): number {
  return view.getUint8(at + 2)
}

export function recordContentTypeBytes({ view }: Chunk, at: number): number {
  return view.getUint16(at + 6, true)
}

export function recordNodeBytes({ view }: Chunk, at: number): number {
  return view.getUint8(at + 3)
}

/** Whether the value is JSON, stored as text. */
export function recordIsText({ view }: Chunk, at: number): boolean {
  return view.getUint8(at + 1) !== bytesForm
}

/** The end of the record at an offset; in a frame the next record begins there. */
export function recordEnd({ view }: Chunk, at: number): number {
  return valueStart(view, at) + view.getUint32(at + 8, true)
}

function collectionEnd(view: DataView, at: number): number {
  return at + headerBytes + view.getUint8(at + 2)
}

function keyEnd(view: DataView, at: number): number {
  return collectionEnd(view, at) + view.getUint16(at + 4, true)
}

function valueStart(view: DataView, at: number): number {
  return keyEnd(view, at) + view.getUint16(at + 6, true) + view.getUint8(at + 3)
}

export function recordKind({ view }: Chunk, at: number): RecordKind {
  return kinds[view.getUint8(at) - 1]!
}

/** The collection of a record. Few collections follow each other, those of a member and of its entries, so their strings are reused. */
export function recordCollection(chunk: Chunk, at: number): string {
  const { bytes } = chunk
  const start = at + headerBytes
  const end = collectionEnd(chunk.view, at)
  const slot = (bytes[end - 1]! + 7 * bytes[end - 2]! + 31 * bytes[end - 3]!) % usedCollections.length
  if (isAsciiText(bytes, start, end, usedCollections[slot]!)) return usedCollections[slot]!
  const name = bytes.toString('utf8', start, end)
  // Only of an ASCII name the length in bytes is that in UTF-16 units.
  if (name.length === end - start) usedCollections[slot] = name
  return name
}

const usedCollections: string[] = new Array(64).fill('')

/** Whether the bytes are this text, and ASCII. */
function isAsciiText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const byte = bytes[start + i]!
    if (byte !== text.charCodeAt(i)) return false
    bits |= byte
  }
  return bits < 128
}

/** Whether the bytes equal the characters of `text`, one byte each. */
function hasBytes(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

function hasSameBytes(bytes: Buffer, start: number, end: number, key: EncodedRef): boolean {
  const { bytes: keyBytes, from, to } = key
  if (end - start !== to - from) return false
  for (let i = 0; i < to - from; i++) if (bytes[start + i] !== keyBytes[from + i]) return false
  return true
}

export function recordKey({ bytes, view }: Chunk, at: number): string {
  return bytes.toString('utf8', collectionEnd(view, at), keyEnd(view, at))
}

/** Whether a record belongs to this member; a text is the key as `sortKey` returns it, one character per byte. */
export function isRecordOf(
  chunk: Chunk,
  at: number,
  collection: string,
  sortedKey: string | EncodedRef,
): boolean {
  const { bytes, view } = chunk
  const from = collectionEnd(view, at)
  const end = keyEnd(view, at)
  const isSameKey =
    typeof sortedKey === 'string'
      ? hasBytes(bytes, from, end, sortedKey)
      : hasSameBytes(bytes, from, end, sortedKey)
  if (!isSameKey) return false
  const start = at + headerBytes
  // A name of as many UTF-16 units as the record's has bytes is the same only if both are ASCII.
  if (from - start === collection.length) return isAsciiText(bytes, start, from, collection)
  return recordCollection(chunk, at) === collection
}

export function recordKeyBytes({ view }: Chunk, at: number): number {
  return view.getUint16(at + 4, true)
}

/** A byte of the key; `index` must be less than `recordKeyBytes`. */
export function recordKeyByte({ bytes, view }: Chunk, at: number, index: number): number {
  return bytes[at + headerBytes + view.getUint8(at + 2) + index]!
}

/** Compares the keys of two records by their UTF-8 bytes. */
export function compareRecordKeys(a: Chunk, aAt: number, b: Chunk, bAt: number): number {
  return a.bytes.compare(
    b.bytes,
    collectionEnd(b.view, bAt),
    keyEnd(b.view, bAt),
    collectionEnd(a.view, aAt),
    keyEnd(a.view, aAt),
  )
}

/** The position of a record in the log. */
export function recordPosition({ view }: Chunk, at: number): number {
  return view.getFloat64(at + 16, true)
}

/** The revision of the member or tombstone in a record; for a renewal that of the renewed member. */
export function recordRevision({ view }: Chunk, at: number): number {
  return view.getFloat64(view.getUint8(at) === renewCode ? at + 56 : at + 16, true)
}

export function recordCreatedAtMs({ view }: Chunk, at: number): number {
  return view.getFloat64(at + 24, true)
}

export function recordClock({ view }: Chunk, at: number): number {
  return view.getFloat64(at + 32, true)
}

export function recordExpiresAtMs({ view }: Chunk, at: number): number | null {
  return timeAt(view, at + 40)
}

export function recordFlags({ view }: Chunk, at: number): number {
  return view.getFloat64(at + 48, true)
}

/** The revision of the member that a record replaced; 0 for none. */
export function recordReplacedRevision({ view }: Chunk, at: number): number {
  return view.getFloat64(at + 56, true)
}

/** The expiry of the member that a record replaced. */
export function recordReplacedExpiresAtMs({ view }: Chunk, at: number): number | null {
  return timeAt(view, at + 64)
}

function timeAt(view: DataView, at: number): number | null {
  const timeMs = view.getFloat64(at, true)
  return timeMs === Number.POSITIVE_INFINITY ? null : timeMs
}

export function recordReplacedBytes({ view }: Chunk, at: number): number {
  return view.getInt32(at + 12, true)
}

/** Bytes of key and value, as the collection's counts add them up. */
export function recordBytes({ view }: Chunk, at: number): number {
  return view.getUint16(at + 4, true) + view.getUint32(at + 8, true)
}

function recordValue({ bytes, view }: Chunk, at: number): string | Uint8Array {
  const start = valueStart(view, at)
  const end = start + view.getUint32(at + 8, true)
  const form = view.getUint8(at + 1)
  if (form === jsonAsciiForm) return bytes.toString('latin1', start, end)
  if (form === jsonForm) return bytes.toString('utf8', start, end)
  // A copy, because the chunk is recycled once its segment is flushed.
  return Uint8Array.prototype.slice.call(bytes, start, end)
}

/** A copy of the bytes `from` to `to` of the value, of JSON its UTF-8. */
export function recordValuePart({ bytes, view }: Chunk, at: number, from: number, to: number): Uint8Array {
  const start = valueStart(view, at)
  const end = Math.min(start + to, start + view.getUint32(at + 8, true))
  return Uint8Array.prototype.slice.call(bytes, start + from, end)
}

/** The node that wrote the version; empty for this node. */
export function recordNode({ bytes, view }: Chunk, at: number): string {
  const length = view.getUint8(at + 3)
  if (length === 0) return ''
  const end = valueStart(view, at)
  return bytes.toString('utf8', end - length, end)
}

function recordContentType({ bytes, view }: Chunk, at: number): string {
  const length = view.getUint16(at + 6, true)
  if (length === 0) return jsonContentType
  const start = keyEnd(view, at)
  return bytes.toString('utf8', start, start + length)
}

/** The member in a put record. `key` is the key that the caller looked it up by; with `keysOnly` the value is empty. */
export function recordMember(chunk: Chunk, at: number, key: string, keysOnly = false): Member {
  return {
    key,
    value: keysOnly ? '' : recordValue(chunk, at),
    revision: recordRevision(chunk, at),
    createdAtMs: recordCreatedAtMs(chunk, at),
    clock: recordClock(chunk, at),
    node: recordNode(chunk, at),
    expiresAtMs: recordExpiresAtMs(chunk, at),
    contentType: recordContentType(chunk, at),
    flags: recordFlags(chunk, at),
  }
}

/** Bytes of the value alone. */
export function recordValueBytes(chunk: Chunk, at: number): number {
  return recordBytes(chunk, at) - recordKeyBytes(chunk, at)
}

/** The member in a put record, without its value. */
export function recordHead(chunk: Chunk, at: number, key: string): MemberHead {
  const { value: _, ...head } = recordMember(chunk, at, key, true)
  return { ...head, valueBytes: recordValueBytes(chunk, at) }
}

/** The tombstone in a delete or expire record. */
export function recordTombstone(chunk: Chunk, at: number, key: string): Tombstone {
  return {
    key,
    revision: recordRevision(chunk, at),
    cause: recordKind(chunk, at) === 'expire' ? 'expire' : 'delete',
    ...tombstoneOrigin(recordNode(chunk, at), recordClock(chunk, at)),
    removedClock: recordClock(chunk, at),
  }
}
