import type { Commit, CommitResult, Put, Renew, Write, Written } from '../../core/engine.ts'
import type { Committed, Member, Value } from '../../core/member.ts'
import { withNodeId } from '../../core/origin.ts'
import type { CollectionSize, Exceeded, Quota } from '../../core/quota.ts'
import { fieldOf, maxInlineBytes } from './layout.ts'
import { type Packable, packed } from './msgpack.ts'
import { decodeRecord, memberOf, typeInRecord } from './record.ts'
import type { Reply } from './resp.ts'

/** Encodes a group of commits for `scripts/commits.lua`, and decodes what that returns. */

/** A commit to one line. */
export interface LineCommit extends Commit {
  /** Its revisions and stamps are larger. */
  readonly floor: number
  /** The sizes of the quotas' collections on other lines, in the order of the quotas. */
  readonly elsewhere: readonly CollectionSize[]
}

export interface GroupHead {
  readonly instance: string
  readonly seq: number
  readonly wallMs: number
  readonly nodeId: string
  /** `view` of the commits. */
  readonly view: number
}

/** Groups whose clock differs by more from that of the server are refused: they would expire members at other times. */
export const maxSkewMs = 500
/** Larger groups are published without their changes. */
const maxPublishedBytes = 64 * 1024

const none = -1
const unchecked = -2
/** The large values follow the packed group, the channel and the run id. */
const firstLargeArgument = 4

export interface EncodedGroup {
  readonly bytes: Buffer
  readonly largeValues: readonly Uint8Array[]
}

export function encodeGroup(head: GroupHead, commits: readonly LineCommit[]): EncodedGroup {
  const fields: string[] = []
  const nameLengths: number[] = []
  const indexes = new Map<string, number>()
  const largeValues: Uint8Array[] = []

  function indexOf(ref: { readonly collection: string; readonly key: string }): number {
    const field = fieldOf(ref)
    const known = indexes.get(field)
    if (known !== undefined) return known
    fields.push(field)
    nameLengths.push(Buffer.byteLength(ref.collection))
    indexes.set(field, fields.length)
    return fields.length
  }

  function packValue(value: Value, bytes: number): Packable {
    if (bytes <= maxInlineBytes) return value
    largeValues.push(typeof value === 'string' ? Buffer.from(value) : value)
    return largeValues.length + firstLargeArgument - 1
  }

  function packWrite(write: Write | Renew): Packable {
    const ref = indexOf(write)
    if (write.op === 'renew') return [3, ref, write.expiresAtMs ?? none, write.ifRevision]
    if (write.op === 'delete') {
      const { cause, ifRevision = none, ifExpiresAtMs = none, origin } = write
      const conditions = [Number(cause === 'expire'), ifRevision, ifExpiresAtMs]
      return [2, ref, ...conditions, origin?.clock ?? none, origin?.node ?? '', write.ifDone ?? none]
    }
    const { value, contentType, flags, expiresAtMs, origin } = write
    const bytes = Buffer.byteLength(value)
    const content = [packValue(value, bytes), Number(typeof value === 'string'), bytes]
    const about = [typeInRecord(value, contentType), flags, expiresAtMs ?? none]
    const from = [origin?.clock ?? none, origin?.node ?? '', origin?.createdAtMs ?? 0, write.ifDone ?? none]
    return [1, ref, ...content, ...about, ...from]
  }

  function packCommit({ nowMs, floor, apart, checks, writes, quotas = [], elsewhere }: LineCommit): Packable {
    const packedChecks = checks.flatMap((check) => {
      const { revision, expiresAtMs, evenExpired = false } = check
      const expiry = expiresAtMs === undefined ? unchecked : (expiresAtMs ?? none)
      return [indexOf(check), revision ?? none, expiry, Number(evenExpired)]
    })
    const packedQuotas = quotas.map(({ collection, maxMembers, maxBytes, maxValueBytes }, i) => {
      const { members, bytes } = elsewhere[i] ?? noSize
      return [collection, maxMembers ?? none, maxBytes ?? none, maxValueBytes ?? none, members, bytes]
    })
    return [nowMs, floor, Number(apart === true), packedChecks, writes.map(packWrite), packedQuotas]
  }

  const all = commits.map(packCommit)
  const bytes = packed([head.instance, ...headNumbers(head), head.nodeId, fields, nameLengths, all])
  return { bytes, largeValues }
}

/** What each group says of itself after the name of its server; `scripts/begin.lua` reads it. */
export function headNumbers({ seq, wallMs, view }: GroupHead): readonly number[] {
  return [seq, wallMs, maxSkewMs, maxPublishedBytes, view]
}

const noSize: CollectionSize = { members: 0, bytes: 0 }

/** What a group did. */
export interface GroupResult {
  /** The line's revision before the group, and after it. */
  readonly before: number
  readonly after: number
  /** In the order of the commits. */
  readonly results: readonly CommitResult[]
  readonly changes: readonly GroupChange[]
  /** How many changes each commit made. */
  readonly counts: readonly number[]
  /** The largest stamp. */
  readonly clock: number
}

/** A change; of a renewed member whose value is large, the record without the value. */
export type GroupChange = Committed | RenewedLarge

export interface RenewedLarge {
  readonly type: 'renewedLarge'
  readonly collection: string
  readonly key: string
  readonly revision: number
}

export function decodeGroup(reply: Reply, commits: readonly LineCommit[], nodeId: string): GroupResult {
  const [before, after, ...all] = listOf(reply)
  const changes: GroupChange[] = []
  const counts: number[] = []
  let clock = numberOf(after)
  const results = commits.map((commit, i) => {
    const known = changes.length
    const result = decodeCommit(listOf(all[i]), commit, nodeId, changes)
    if (result.ok) for (const written of result.written) clock = Math.max(clock, written.clock)
    counts.push(changes.length - known)
    return result
  })
  return { before: numberOf(before), after: numberOf(after), results, changes, counts, clock }
}

const outcome = { failed: 0, done: 1, exceeded: 2 } as const

function decodeCommit(
  [kind, ...rest]: readonly Reply[],
  commit: LineCommit,
  nodeId: string,
  changes: GroupChange[],
): CommitResult {
  if (kind === outcome.failed) {
    const { collection, key } = commit.checks[numberOf(rest[0]) - 1]!
    const revision = numberOf(rest[1])
    return { ok: false, failed: { collection, key, revision: revision === none ? null : revision } }
  }
  if (kind === outcome.exceeded)
    return { ok: false, exceeded: exceededOf(rest, commit.quotas!, commit.writes) }
  const written = commit.writes.map((write, i) => decodeWritten(rest[i], write, commit, nodeId, changes))
  return { ok: true, written }
}

const limitNames = ['maxMembers', 'maxBytes', 'maxValueBytes'] as const

function exceededOf(
  [at, limitIndex, used, needed, isOfValue]: readonly Reply[],
  quotas: readonly Quota[],
  writes: readonly (Write | Renew)[],
): Exceeded {
  const quota = quotas[numberOf(at) - 1]!
  const limitName = limitNames[numberOf(limitIndex) - 1]!
  const write = numberOf(isOfValue)
  const key = write === 0 ? null : writes[write - 1]!.key
  const sizes = { used: numberOf(used), needed: numberOf(needed) }
  return { collection: quota.collection, key, limitName, limit: quota[limitName]!, ...sizes }
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }
const mark = { exceeded: -1, superseded: -2 } as const

function decodeWritten(
  reply: Reply | undefined,
  write: Write | Renew,
  commit: LineCommit,
  nodeId: string,
  changes: GroupChange[],
): Written {
  if (reply === 0) return nothingDone
  const [first, ...rest] = listOf(reply)
  if (first === mark.exceeded) {
    return { ...nothingDone, exceeded: exceededOf(rest, commit.quotas!, commit.writes) }
  }
  if (first === mark.superseded) return { ...nothingDone, superseded: true, ...storedOf(rest, nodeId) }
  const [createdAtMs, clock, existed, node, record, ...stored] = rest
  const written: Written = {
    revision: numberOf(first),
    createdAtMs: numberOf(createdAtMs),
    clock: numberOf(clock),
    existed: existed === 1,
    ...storedOf(stored, nodeId),
  }
  const owner = node === undefined || node === null ? '' : String(node)
  changes.push(
    Buffer.isBuffer(record) ? renewalOf(write, record) : changeOfWrite(write as Write, written, owner),
  )
  return written
}

function storedOf(
  [clock, node, revision, isTombstone]: readonly Reply[],
  nodeId: string,
): Pick<Written, 'stored'> {
  if (typeof clock !== 'number') return {}
  const origin = { clock, node: String(node), revision: numberOf(revision), isTombstone: isTombstone === 1 }
  return { stored: withNodeId(origin, nodeId) }
}

function renewalOf({ collection, key }: Write | Renew, bytes: Buffer): GroupChange {
  const record = decodeRecord(bytes)
  if (record.isTombstone) throw new Error('a tombstone was renewed')
  if (record.value === null) return { type: 'renewedLarge', collection, key, revision: record.revision }
  return { type: 'renew', collection, member: memberOf(key, record) }
}

function changeOfWrite(write: Write, { revision, createdAtMs, clock }: Written, node: string): Committed {
  if (write.op === 'put') return putOf(write, { revision, createdAtMs, clock, node })
  const { collection, key, cause } = write
  const tombstone = { key, revision, cause, clock, node, removedClock: revision }
  return { type: cause, collection, tombstone }
}

type Assigned = Pick<Member, 'revision' | 'createdAtMs' | 'clock' | 'node'>

/** Returns the change that a put has made. */
export function putOf(put: Put, { revision, createdAtMs, clock, node }: Assigned): Committed {
  const { collection, key, contentType, flags, expiresAtMs } = put
  const value = typeof put.value === 'string' ? put.value : Uint8Array.prototype.slice.call(put.value)
  const member = { key, value, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }
  return { type: 'put', collection, member }
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  if (!Array.isArray(reply)) throw new Error('a script returned something else than a list')
  return reply
}

function numberOf(reply: Reply | undefined): number {
  if (typeof reply !== 'number') throw new Error('a script returned something else than a number')
  return reply
}
