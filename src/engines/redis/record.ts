import type { MemberRef } from '../../core/engine.ts'
import {
  type Change,
  jsonContentType,
  type Member,
  type MemberHead,
  type Tombstone,
  type Value,
} from '../../core/member.ts'

/**
 * The record of a member or a tombstone as `scripts/commits.lua` and `scripts/puts.lua` write it, numbers in big-endian order:
 *
 *     kind, 1 byte: the bits below · revision, 8 (double)
 *     if `stamped`: clock, 8 (double) · if `foreign`: length of the node id, 1, and the id
 *     of a member: creation time, 8 (double) · flags, 4
 *     if `ends`: expiry, 8 (double) · if `typed`: length of the content type, 2, and the type
 *     if `large`: length of the value, 4, the value itself being elsewhere; otherwise the value
 *
 * Without `stamped` the clock is the revision. That of a tombstone is the stamp of the removal.
 */
export const recordBit = {
  tombstone: 1,
  expired: 2,
  text: 4,
  large: 8,
  typed: 16,
  foreign: 32,
  ends: 64,
  stamped: 128,
} as const

interface MemberRecord extends Omit<MemberHead, 'key'> {
  readonly isTombstone: false
  readonly isText: boolean
  /** Bytes of the record's buffer; null where they are elsewhere. */
  readonly value: Buffer | null
}

interface TombstoneRecord extends Omit<Tombstone, 'key'> {
  readonly isTombstone: true
}

export type StoredRecord = MemberRecord | TombstoneRecord

const bytesType = 'application/octet-stream'

export function decodeRecord(bytes: Buffer): StoredRecord {
  const kind = bytes[0]!
  const revision = bytes.readDoubleBE(1)
  let at = 9
  let clock = revision
  if ((kind & recordBit.stamped) !== 0) {
    clock = bytes.readDoubleBE(at)
    at += 8
  }
  let node = ''
  if ((kind & recordBit.foreign) !== 0) {
    const end = at + 1 + bytes[at]!
    node = bytes.toString('latin1', at + 1, end)
    at = end
  }
  if ((kind & recordBit.tombstone) !== 0) {
    const cause = (kind & recordBit.expired) !== 0 ? 'expire' : 'delete'
    return { isTombstone: true, revision, clock, node, cause, removedClock: revision }
  }
  const createdAtMs = bytes.readDoubleBE(at)
  const flags = bytes.readUInt32BE(at + 8)
  at += 12
  let expiresAtMs: number | null = null
  if ((kind & recordBit.ends) !== 0) {
    expiresAtMs = bytes.readDoubleBE(at)
    at += 8
  }
  const isText = (kind & recordBit.text) !== 0
  let contentType = isText ? jsonContentType : bytesType
  if ((kind & recordBit.typed) !== 0) {
    const end = at + 2 + bytes.readUInt16BE(at)
    contentType = bytes.toString('utf8', at + 2, end)
    at = end
  }
  const value = (kind & recordBit.large) !== 0 ? null : bytes.subarray(at)
  const valueBytes = value === null ? bytes.readUInt32BE(at) : value.length
  const origin = { revision, createdAtMs, clock, node }
  return { isTombstone: false, ...origin, expiresAtMs, contentType, flags, isText, valueBytes, value }
}

/** The content type as records have it: empty for the usual one of JSON and of bytes. */
export function typeInRecord(value: Value, contentType: string): string {
  return contentType === (typeof value === 'string' ? jsonContentType : bytesType) ? '' : contentType
}

/** Returns the member of a record. `large` is its value where that is not in the record. */
export function memberOf(key: string, record: MemberRecord, large: Buffer | null = null): Member {
  return withValue(key, record, valueIn(record, record.value ?? large))
}

/** Returns the member without its value. */
export function bareMemberOf(key: string, record: MemberRecord): Member {
  return withValue(key, record, '')
}

export function memberHeadOf(key: string, record: MemberRecord): MemberHead {
  const { value, ...head } = bareMemberOf(key, record)
  return { ...head, valueBytes: record.valueBytes }
}

function withValue(key: string, record: MemberRecord, value: Value): Member {
  const { revision, createdAtMs, clock, node, expiresAtMs, contentType, flags } = record
  return { key, value, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }
}

function valueIn({ isText }: MemberRecord, bytes: Buffer | null): Value {
  if (bytes === null) throw new Error('a large value is missing')
  // A copy, because the reply's buffer is shared.
  return isText ? bytes.toString('utf8') : Uint8Array.prototype.slice.call(bytes)
}

export function tombstoneOf(key: string, record: TombstoneRecord): Tombstone {
  const { revision, cause, clock, node, removedClock } = record
  return { key, revision, cause, clock, node, removedClock }
}

export function changeOf({ collection, key }: MemberRef, record: StoredRecord, large: Buffer | null): Change {
  if (record.isTombstone) return { type: record.cause, collection, tombstone: tombstoneOf(key, record) }
  return { type: 'put', collection, member: memberOf(key, record, large) }
}
