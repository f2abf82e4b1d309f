import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { MemberVisitor, StoredJson } from '../../core/member-visitor.ts'
import { formatTime } from '../../core/time.ts'
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
  private at = 0
  /** Where the last row was written, and what `valueBytes` was before it. */
  private lastAt = 0
  private lastValueBytes = 0
  /** Offset in `out` of what `times` wrote last, and its times; 0 for none. */
  private timesAt = 0
  private createdAtMs = 0
  private updatedAtMs = 0
  private readonly before: string

  /** `before` is the text before the members. */
  constructor(before: string) {
    this.before = before
  }

  stored(row: StoredJson): void {
    this.begin()
    const { bytes, keyAt, keyEnd, valueAt, valueEnd } = row
    this.lastAt = this.at
    this.lastValueBytes = this.valueBytes
    if (!isPlain(bytes, keyAt, keyEnd)) {
      this.member(memberOf(row))
      return
    }
    this.reserve(keyEnd - keyAt + (valueEnd - valueAt) + envelopeBytes)
    if (this.count++ > 0) this.out[this.at++] = comma
    this.valueBytes += valueEnd - valueAt
    this.constant(beforeKey)
    this.copy(bytes, keyAt, keyEnd)
    this.constant(beforeValue)
    this.copy(bytes, valueAt, valueEnd)
    this.constant(beforeRevision)
    this.number(row.revision)
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

  /** Returns all that was written, with `after` at its end. The writer cannot be used any more. */
  end(after: string): Uint8Array {
    this.begin()
    this.text(after)
    const body = Buffer.from(this.out.subarray(0, this.at))
    if (this.out.length <= maxRecycledBytes) recycled = this.out
    return body
  }

  private begin(): void {
    if (this.out !== nothing) return
    this.out = recycled ?? Buffer.allocUnsafeSlow(firstBytes)
    recycled = null
    this.text(this.before)
  }

  private text(text: string): void {
    this.reserve(text.length * 3)
    this.at += this.out.write(text, this.at)
  }

  private constant(bytes: Uint8Array): void {
    const { out, at } = this
    for (let i = 0; i < bytes.length; i++) out[at + i] = bytes[i]!
    this.at = at + bytes.length
  }

  private copy(bytes: Buffer, from: number, to: number): void {
    const { out, at } = this
    if (to - from > shortBytes) bytes.copy(out, at, from, to)
    else for (let i = from; i < to; i++) out[at + i - from] = bytes[i]!
    this.at = at + (to - from)
  }

  /** Writes a whole number that is at least 0. */
  private number(number: number): void {
    const { out } = this
    if (number >= 2 ** 31) {
      this.text(String(number))
      return
    }
    let end = this.at + 1
    for (let rest = number; rest > 9; rest = (rest / 10) | 0) end++
    this.at = end
    let rest = number | 0
    do {
      out[--end] = zero + (rest % 10)
      rest = (rest / 10) | 0
    } while (rest > 0)
  }

  /** Writes the text from the times to the end of a member: that of the member before, with other times. */
  private times(createdAtMs: number, updatedAtMs: number): void {
    const { out, at } = this
    if (this.timesAt === 0) this.constant(sampleTimes)
    else {
      out.copyWithin(at, this.timesAt, this.timesAt + sampleTimes.length)
      this.at = at + sampleTimes.length
    }
    this.timesAt = at
    if (createdAtMs !== this.createdAtMs) writeTime(out, at + createdOffset, createdAtMs)
    if (updatedAtMs !== this.updatedAtMs) writeTime(out, at + updatedOffset, updatedAtMs)
    this.createdAtMs = createdAtMs
    this.updatedAtMs = updatedAtMs
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.out.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.out.length, this.at + bytes))
    this.out.copy(larger, 0, 0, this.at)
    this.out = larger
  }
}

/** Members have the format of lists. */
export const memberShape: MemberShape = { include: 'metadata', nodeId: '' }

const beforeKey = Buffer.from('{"key":"')
const beforeValue = Buffer.from('","value":')
const beforeRevision = Buffer.from(',"revision":')
/** The text from the times to the end of a member, with both times 0. */
const sampleTimes = Buffer.from(
  `,"created_at":"${formatTime(0)}","updated_at":"${formatTime(0)}","expires_at":null,"content_type":"application/json"}`,
)
const createdOffset = sampleTimes.indexOf(formatTime(0))
const updatedOffset = sampleTimes.lastIndexOf(formatTime(0))

/** More than a member has beside its key and value. */
const envelopeBytes = 512

const comma = 0x2c
const zero = 0x30
const quote = 0x22
const backslash = 0x5c

/** A copy up to this size is quicker as a loop than by a native call. */
const shortBytes = 24

const nothing = Buffer.alloc(0)
const firstBytes = 64 * 1024
/** A larger buffer is not kept. */
const maxRecycledBytes = 1024 * 1024
/** The buffer of the last writer that ended. */
let recycled: Buffer | null = null

/** The whole seconds written last, as text: a slot for each remainder by 64. */
const secondBytes = 20
const secondSlots = 64
const seconds = new Float64Array(secondSlots).fill(Number.NaN)
const secondTexts = Buffer.alloc(secondSlots * secondBytes)

/** Writes what `formatTime` returns. Times have four-digit years (limits.ts), so all texts have the same length. */
function writeTime(out: Buffer, at: number, ms: number): void {
  const second = Math.floor(ms / 1000)
  const slot = second & (secondSlots - 1)
  const from = slot * secondBytes
  if (seconds[slot] !== second) {
    secondTexts.write(formatTime(second * 1000), from, secondBytes)
    seconds[slot] = second
  }
  for (let i = 0; i < secondBytes; i++) out[at + i] = secondTexts[from + i]!
  const part = ms - second * 1000
  out[at + secondBytes] = zero + ((part / 100) | 0)
  out[at + secondBytes + 1] = zero + (((part / 10) | 0) % 10)
  out[at + secondBytes + 2] = zero + (part % 10)
}

/** Whether JSON has this text as it is. */
function isPlain(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!
    if (byte < 0x20 || byte === quote || byte === backslash) return false
  }
  return true
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
