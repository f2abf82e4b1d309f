import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { MemberVisitor, StoredJson } from '../../core/member-visitor.ts'
import { type Connection, maxWaitingBytes } from '../wire/client-connection.ts'
import {
  copyTime,
  copyWords,
  createdOffset,
  sampleTimes,
  updatedOffset,
  wordsOf,
  writeNumber,
  writeTime,
} from './json-bytes.ts'
import { type MemberShape, memberJson } from './serializers.ts'

/**
 * Writes members with their metadata as JSON, separated by commas, into one buffer: what `joinedMembers` returns, byte by byte. The key and value of
 * a member that the store has as JSON are copied, and never become strings.
 */
export class MemberWriter implements MemberVisitor {
  /** The number of members so far, and the bytes of their values. */
  count = 0
  valueBytes = 0
  /** Empty until the first member comes: where a store cannot be visited, none does. */
  private out: Buffer = nothing
  /** The bytes of `out`, for copies of four at once. */
  private view: DataView = nothingView
  private at = 0
  /** Where the last row was written, and what `valueBytes` was before it. */
  private lastAt = 0
  private lastValueBytes = 0
  /** Offset in `out` of what `times` wrote last, and its times; 0 for none. */
  private timesAt = 0
  private createdAtMs = 0
  private updatedAtMs = 0
  private readonly before: string
  private readonly expected: number

  /** `before` is the text before the members, of which `expected` are expected; 0 where that is not known. */
  constructor(before: string, expected = 0) {
    this.before = before
    this.expected = expected
  }

  stored(row: StoredJson): void {
    this.begin()
    const { bytes, keyAt, keyEnd, valueAt, valueEnd } = row
    this.lastAt = this.at
    this.lastValueBytes = this.valueBytes
    this.reserve(keyEnd - keyAt + (valueEnd - valueAt) + envelopeBytes)
    const { out } = this
    let at = this.at
    if (this.count > 0) out[at++] = comma
    at = copyWords(this.view, at, beforeKey)
    for (let i = keyAt; i < keyEnd; i++) {
      const byte = bytes[i]!
      if (byte < 0x20 || byte === quote || byte === backslash) {
        this.member(memberOf(row))
        return
      }
      out[at++] = byte
    }
    this.count++
    this.valueBytes += valueEnd - valueAt
    at = copyWords(this.view, at, beforeValue)
    bytes.copy(out, at, valueAt, valueEnd)
    at = copyWords(this.view, at + (valueEnd - valueAt), beforeRevision)
    this.at = writeNumber(out, at, row.revision)
    this.times(row.createdAtMs, stampToMs(row.clock))
  }

  undo(): void {
    this.at = this.lastAt
    this.valueBytes = this.lastValueBytes
    this.timesAt = 0
    this.createdAtMs = 0
    this.updatedAtMs = 0
    this.count--
  }

  member(member: Member | null): void {
    this.begin()
    if (this.count++ > 0) this.text(',')
    if (member !== null) this.valueBytes += member.value.length
    this.text(member === null ? 'null' : memberJson(member, memberShape))
  }

  /**
   * Returns all that was written, with `after` at its end, for a response to this connection. A large body lies in memory that is used
   * again when it is sent. The writer cannot be used any more.
   */
  end(after: string, connection: Pick<Connection, 'hold'>): Uint8Array {
    this.begin()
    this.text(after)
    const { out, at, count } = this
    if (count > 0) usualBytes = Math.ceil(at / count)
    if (at <= maxWaitingBytes) {
      const body = Buffer.from(out.subarray(0, at))
      recycle(out)
      return body
    }
    connection.hold({ bytes: 0, release: () => recycle(out) })
    return out.subarray(0, at)
  }

  private begin(): void {
    if (this.out !== nothing) return
    this.setOut(take(Math.min(this.expected * usualBytes + envelopeBytes, maxKeptBytes)))
    this.text(this.before)
  }

  private setOut(out: Buffer): void {
    this.out = out
    this.view = new DataView(out.buffer, out.byteOffset, out.length)
  }

  private text(text: string): void {
    this.reserve(text.length * 3)
    this.at += this.out.write(text, this.at)
  }

  /** Writes the text from the times to the end of a member: that of the member before, with other times. */
  private times(createdAtMs: number, updatedAtMs: number): void {
    const { out, at } = this
    if (this.timesAt === 0) out.set(sampleTimes, at)
    else out.copyWithin(at, this.timesAt, this.timesAt + sampleTimes.length)
    this.at = at + sampleTimes.length
    this.timesAt = at
    if (createdAtMs !== this.createdAtMs) writeTime(out, this.view, at + createdOffset, createdAtMs)
    if (updatedAtMs === createdAtMs) copyTime(this.view, at + updatedOffset, at + createdOffset)
    else if (updatedAtMs !== this.updatedAtMs) writeTime(out, this.view, at + updatedOffset, updatedAtMs)
    this.createdAtMs = createdAtMs
    this.updatedAtMs = updatedAtMs
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.out.length) return
    const { out } = this
    const larger = take(Math.max(2 * out.length, this.at + bytes))
    out.copy(larger, 0, 0, this.at)
    recycle(out)
    this.setOut(larger)
  }
}

/** Members have the format of lists. */
export const memberShape: MemberShape = { include: 'metadata', nodeId: '' }

const beforeKey = wordsOf('{"key":"')
const beforeValue = wordsOf('","value":')
const beforeRevision = wordsOf(',"revision":')
/** More than a member has beside its key and value. */
const envelopeBytes = 512

const comma = 0x2c
const quote = 0x22
const backslash = 0x5c

const nothing = Buffer.alloc(0)
const nothingView = new DataView(new ArrayBuffer(0))
/** Sizes are multiples of this. */
const leastBytes = 64 * 1024
/** What a member took in the last body: those of one client are alike. */
let usualBytes = 0

/** A larger buffer is not kept, and of all no more than this: the oldest go first. */
const maxKeptBytes = 1024 * 1024
const maxRecycledBytes = 4 * 1024 * 1024
const recycled: Buffer[] = []
let recycledBytes = 0

/** Returns a buffer of at least this size, of those that were used before if one is large enough. */
function take(bytes: number): Buffer {
  const i = recycled.findLastIndex(({ length }) => length >= bytes)
  if (i === -1) return Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(bytes / leastBytes)) * leastBytes)
  const out = recycled[i]!
  recycled.splice(i, 1)
  recycledBytes -= out.length
  return out
}

function recycle(out: Buffer): void {
  if (out.length > maxKeptBytes) return
  recycled.push(out)
  recycledBytes += out.length
  while (recycledBytes > maxRecycledBytes) recycledBytes -= recycled.shift()!.length
}

/** The member of a row, of which node and flags are not shown. */
function memberOf({
  bytes,
  keyAt,
  keyEnd,
  valueAt,
  valueEnd,
  revision,
  createdAtMs,
  clock,
}: StoredJson): Member {
  return {
    key: bytes.toString('utf8', keyAt, keyEnd),
    value: bytes.toString('utf8', valueAt, valueEnd),
    revision,
    createdAtMs,
    clock,
    node: '',
    expiresAtMs: null,
    contentType: jsonContentType,
    flags: 0,
  }
}
