import type { HybridClock } from '../../core/clock.ts'
import { encodedTextOf, withEncodedText } from '../../core/encoded-text.ts'
import type {
  Check,
  Commit,
  CommitResult,
  Delete,
  MemberRef,
  Put,
  Renew,
  Write,
  Written,
} from '../../core/engine.ts'
import { type Committed, isExpired, type Member } from '../../core/member.ts'
import {
  effectOf,
  maxNodeIdBytes,
  type Origin,
  renewedOrigin,
  type StoredOrigin,
  withNodeId,
} from '../../core/origin.ts'
import type { Quota } from '../../core/quota.ts'
import { isLeftOut } from '../left-out.ts'
import { LatestRecords } from './latest-records.ts'
import { type Overlay, readMember, readOrigin, recordExistingVersion, recordOrigin } from './overlay.ts'
import { type LimitedWrites, limitedWrites, type StagedCounts, stagedCounts } from './quotas.ts'
import type { Counts } from './table/table.ts'
import { type VersionsAhead, versionsAhead } from './versions-ahead.ts'
import { frameHeaderBytes, type Segment } from './wal/log.ts'
import {
  type Chunk,
  type ExistingVersion,
  encodeRecord,
  type RecordFields,
  type RecordValue,
  recordRoom,
} from './wal/record.ts'
import { maxStampText, tombstoneNode } from './wal/tombstone-node.ts'

/**
 * Staging: the stage of the commit pipeline (committer.ts) that evaluates a group of commits and encodes their records
 * into the segment's chunk. Readers see none of it, and a group that is dropped leaves no trace.
 */

/** A renewal with the member that has its `ifRevision`; null if none has, and none ever will: revisions only grow. */
interface PlannedRenew extends Renew {
  readonly member: Member | null
}

export type PlannedWrite = Write | PlannedRenew

/** The commits of one frame, encoded into the chunk. */
export interface Group {
  /** The outcome of each commit. */
  readonly results: CommitResult[]
  /** The changes of the commits, and the offset of each change's record in the chunk. */
  readonly changes: Committed[]
  readonly offsets: number[]
  readonly latest: LatestRecords
  /** The end of the records in the chunk. */
  end: number
}

/** What staging needs besides the commits. */
export interface StagingInputs {
  readonly overlay: Overlay
  readonly clock: HybridClock
  readonly nodeId: string
  /** The counts of all collections before the group. */
  readonly counts: ReadonlyMap<string, Readonly<Counts>>
}

/** The inputs and the output of staging. */
interface Staging extends Omit<StagingInputs, 'counts'> {
  readonly chunk: Chunk
  /** The last revision before the group. */
  readonly lastRevision: number
  readonly group: Group
  /** The stored versions of the members that are checked and written, in that order. */
  readonly versions: VersionsAhead
  /** The counts after the commits staged so far; null where no commit of the group has quotas. */
  readonly counts: StagedCounts | null
  /** The writes that are being staged under quotas; null for others. */
  limited: LimitedWrites | null
}

interface Stageable {
  readonly commit: Commit
  readonly writes: readonly PlannedWrite[]
}

/** Reads the members of renewals: a renewal is logged with the whole value. */
export function planWrites(overlay: Overlay, writes: Commit['writes']): readonly PlannedWrite[] {
  return isWithoutRenewals(writes) ? writes : writes.map((write) => planWrite(overlay, write))
}

/** An upper bound of what the origin of an expired version, or that of another node's delete, adds to a record, in bytes. */
const maxOriginText = maxStampText + maxNodeIdBytes

function planWrite(overlay: Overlay, write: Write | Renew): PlannedWrite {
  if (write.op !== 'renew') return write
  const member = readMember(overlay, write.collection, write.key)
  return { ...write, member: member?.revision === write.ifRevision ? member : null }
}

function isWithoutRenewals(writes: Commit['writes']): writes is readonly Write[] {
  for (const { op } of writes) if (op === 'renew') return false
  return true
}

/** Whether a write does not enlarge the store: a delete, an earlier expiry, or a renewal that does nothing. */
export function givesRoomBack(write: PlannedWrite): boolean {
  if (write.op === 'delete') return true
  if (write.op === 'put') return false
  const { member, expiresAtMs } = write
  return (
    member === null ||
    (expiresAtMs !== null && expiresAtMs < (member.expiresAtMs ?? Number.POSITIVE_INFINITY))
  )
}

/** Upper bound of the size of these writes' records, in bytes. */
export function roomOf(writes: readonly PlannedWrite[]): number {
  let room = 0
  for (const write of writes) {
    const { collection, key } = write
    const content = contentOf(write)
    room +=
      content === null
        ? recordRoom(collection, key, '', nodeOf(write), '') + maxOriginText
        : recordRoom(collection, key, content.contentType, nodeOf(write), recordValueOf(content))
  }
  return room
}

/** Evaluates the commits in order, each seeing those before it, and encodes their writes behind the segment's end. */
export function stageGroup(
  pending: readonly Stageable[],
  { chunk, end }: Segment,
  { overlay, clock, nodeId, counts: committed }: StagingInputs,
  lastRevision: number,
): Group {
  const group: Group = {
    results: [],
    changes: [],
    offsets: [],
    latest: new LatestRecords(),
    end: end + frameHeaderBytes,
  }
  const versions = versionsAhead(overlay, pending)
  const counts = hasQuotas(pending) ? stagedCounts(committed) : null
  const staging = { overlay, clock, nodeId, chunk, lastRevision, group, versions, counts, limited: null }
  for (const one of pending) group.results.push(stageCommit(staging, one))
  return group
}

function hasQuotas(pending: readonly Stageable[]): boolean {
  for (const { commit } of pending) if (commit.quotas !== undefined) return true
  return false
}

function stageCommit(staging: Staging, { commit, writes }: Stageable): CommitResult {
  const { checks, nowMs, quotas, apart } = commit
  for (const [i, check] of checks.entries()) {
    const revision = failedCheck(check, existingVersion(staging, check), nowMs)
    if (revision !== undefined) {
      staging.versions.skip(checks.length - i - 1 + writes.length)
      return { ok: false, failed: { collection: check.collection, key: check.key, revision } }
    }
  }
  if (quotas === undefined || staging.counts === null) {
    return { ok: true, written: stageInOrder(staging, writes, nowMs) }
  }
  if (apart === undefined) return stageTogether(staging, staging.counts, writes, nowMs, quotas)
  const written = writes.map((write) => {
    const own = quotas.filter(({ collection }) => collection === write.collection)
    const result = stageTogether(staging, staging.counts!, [write], nowMs, own)
    return 'written' in result ? result.written[0]! : { ...nothingDone, exceeded: result.exceeded }
  })
  return { ok: true, written }
}

function stageInOrder(staging: Staging, writes: readonly PlannedWrite[], nowMs: number): Written[] {
  const written: Written[] = []
  const knownRevision = staging.lastRevision + staging.group.offsets.length
  for (const write of writes) {
    if (isLeftOut(write, written, knownRevision)) {
      staging.versions.skip(1)
      written.push(nothingDone)
    } else written.push(stageWrite(staging, write, nowMs))
  }
  return written
}

type LimitedResult = Exclude<CommitResult, { readonly failed: unknown }>

/** Stages writes together, and takes them back if they would pass a quota. */
function stageTogether(
  staging: Staging,
  counts: StagedCounts,
  writes: readonly PlannedWrite[],
  nowMs: number,
  quotas: readonly Quota[],
): LimitedResult {
  const limited = limitedWrites(counts, quotas, nowMs)
  staging.limited = limited
  const written = stageInOrder(staging, writes, nowMs)
  staging.limited = null
  const exceeded = limited.exceeded()
  if (exceeded === null) return { ok: true, written }
  limited.undo()
  return { ok: false, exceeded }
}

function existingVersion({ chunk, group, versions }: Staging, ref: MemberRef): ExistingVersion | null {
  const stored = versions.next()
  const at = group.latest.get(ref.collection, ref.key)
  return at === undefined ? stored : recordExistingVersion(chunk, at)
}

function stageWrite(staging: Staging, write: PlannedWrite, nowMs: number): Written {
  const { group, chunk } = staging
  const before = existingVersion(staging, write)
  const position = staging.lastRevision + group.offsets.length + 1
  const evaluated = evaluate(staging, write, nowMs, before, position)
  const { written } = evaluated
  if (written.revision === 0) return written
  const at = group.end
  group.end = encodeRecord(chunk, at, recordOf(evaluated, position, before))
  group.offsets.push(at)
  group.changes.push(changeOf(evaluated))
  if (staging.counts !== null) noteStaged(staging, staging.counts, write, at, before)
  group.latest.set(write.collection, write.key, at)
  return written
}

/** Counts a record before it becomes the member's latest, and notes how to take it back if its writes are limited. */
function noteStaged(
  { chunk, group, limited }: Staging,
  counts: StagedCounts,
  { collection, key }: MemberRef,
  at: number,
  before: ExistingVersion | null,
): void {
  counts.add(collection, chunk, at, 1)
  if (limited === null) return
  const replacedAt = group.latest.get(collection, key)
  function undo(): void {
    if (replacedAt === undefined) group.latest.delete(collection, key)
    else group.latest.set(collection, key, replacedAt)
    group.offsets.pop()
    group.changes.pop()
    group.end = at
  }
  limited.note({ collection, key, chunk, at, before, undo })
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }
const superseded: Written = { ...nothingDone, superseded: true }

/** A write and what it does; it does nothing if `written.revision` is 0. */
interface Evaluated {
  readonly write: PlannedWrite
  readonly written: Written
  /** The node of the origin; empty for this one. */
  readonly node: string
  /** The stamp of a removal by this node's clock; that of the origin for other writes. */
  readonly ownClock: number
}

function doneAs(write: PlannedWrite, written: Written, node = '', ownClock = written.clock): Evaluated {
  return { write, written, node, ownClock }
}

/** Evaluates a write over the version `before`. */
function evaluate(
  staging: Staging,
  write: PlannedWrite,
  nowMs: number,
  before: ExistingVersion | null,
  position: number,
): Evaluated {
  const existed = before !== null && !isExpired(before, nowMs)
  if (write.op === 'renew') {
    return existed && mayRenew(write, before) ? renewed(staging, write, before) : doneAs(write, nothingDone)
  }
  if (write.op === 'delete' && !mayDelete(write, before, existed)) return doneAs(write, nothingDone)
  if (write.origin !== undefined) {
    return evaluateForeign(staging, write, write.origin, nowMs, before, position)
  }
  const createdAtMs = existed ? before.createdAtMs : nowMs
  const ownClock = staging.clock.next(nowMs)
  const written = { revision: position, createdAtMs, clock: ownClock, existed }
  if (write.op === 'put' || write.cause !== 'expire' || before === null) return doneAs(write, written)
  // The tombstone of an expired member has the origin of the version that expired.
  const { clock, node } = storedOrigin(staging, write)!
  return doneAs(write, { ...written, clock }, node, ownClock)
}

/** As `evaluate` for a write with an origin, which is applied as far as it has an effect on the stored version. */
function evaluateForeign(
  staging: Staging,
  write: Write,
  { clock, node }: Origin,
  nowMs: number,
  before: ExistingVersion | null,
  position: number,
): Evaluated {
  const own = storedOrigin(staging, write)
  const stored = own === null ? null : withNodeId(own, staging.nodeId)
  const versus = stored === null ? {} : { stored }
  const expiresAtMs = write.op === 'put' ? write.expiresAtMs : undefined
  const effect =
    stored === null
      ? 'replace'
      : effectOf({ clock, node, expiresAtMs }, { ...stored, expiresAtMs: before?.expiresAtMs }, nowMs)
  if (effect === 'none') return doneAs(write, { ...superseded, ...versus })
  staging.clock.observe(clock)
  const existed = before !== null && !isExpired(before, nowMs)
  const storedNode = node === staging.nodeId ? '' : node
  if (effect === 'renew') {
    const evaluated = renewed(staging, foreignRenewal(write as Put, before!), before!)
    return { ...evaluated, written: { ...evaluated.written, existed, ...versus } }
  }
  const createdAtMs = write.op === 'put' ? write.origin!.createdAtMs : 0
  const ownClock = write.op === 'delete' ? staging.clock.next(nowMs) : clock
  return doneAs(write, { revision: position, createdAtMs, clock, existed, ...versus }, storedNode, ownClock)
}

function storedOrigin({ overlay, chunk, group }: Staging, ref: MemberRef): StoredOrigin | null {
  const at = group.latest.get(ref.collection, ref.key)
  return at === undefined ? readOrigin(overlay, ref) : recordOrigin(chunk, at)
}

/** The node that the write names as its origin; empty for this node. */
function nodeOf(write: PlannedWrite): string {
  if (write.op === 'renew') return write.member === null ? '' : write.member.node
  return write.origin === undefined ? '' : write.origin.node
}

/** The current revision where a check fails, null for a missing member; undefined where the check holds. */
function failedCheck(
  check: Check,
  existing: ExistingVersion | null,
  nowMs: number,
): number | null | undefined {
  const isAbsent = existing === null || (check.evenExpired !== true && isExpired(existing, nowMs))
  const found = isAbsent ? null : existing
  const revision = found === null ? null : found.revision
  if (revision !== check.revision) return revision
  const isSame = found === null || check.expiresAtMs === undefined || found.expiresAtMs === check.expiresAtMs
  return isSame ? undefined : revision
}

function mayDelete(write: Delete, before: ExistingVersion | null, existed: boolean): boolean {
  const { ifRevision, ifExpiresAtMs } = write
  if (ifExpiresAtMs !== undefined && before?.expiresAtMs !== ifExpiresAtMs) return false
  if (ifRevision !== undefined) return before?.revision === ifRevision
  // A delete from another node leaves a tombstone even where no member exists: an older put may arrive later.
  return existed || write.origin !== undefined
}

/** Whether the renewal matches the existing version: the same revision is the same member, except for its expiry. */
function mayRenew({ member, ifRevision }: PlannedRenew, before: ExistingVersion): boolean {
  return member !== null && before.revision === ifRevision
}

/**
 * Renews a member, given its existing version: the origin and expiry of `write.member` are those of when the commit came
 * in.
 */
function renewed(staging: Staging, write: PlannedRenew, before: ExistingVersion): Evaluated {
  const { clock, node } = storedOrigin(staging, write)!
  const origin = renewedOrigin({ clock, node, expiresAtMs: before.expiresAtMs }, write.expiresAtMs)
  staging.clock.observe(origin.clock)
  const { revision, createdAtMs } = before
  return doneAs(write, { revision, createdAtMs, clock: origin.clock, existed: true }, origin.node)
}

/** Returns a put of the existing version with a later expiry as the renewal that it is. */
function foreignRenewal(write: Put, { revision, createdAtMs }: ExistingVersion): PlannedRenew {
  const { collection, key, value, contentType, flags, expiresAtMs } = write
  const member = { key, value, contentType, flags, expiresAtMs, revision, createdAtMs, clock: 0, node: '' }
  return { op: 'renew', collection, key, expiresAtMs, ifRevision: revision, member }
}

/** The content that a write stores; null for a delete, and for a renewal whose member is gone. */
function contentOf(write: PlannedWrite): Pick<Member, 'value' | 'contentType' | 'flags'> | null {
  return write.op === 'renew' ? write.member : write.op === 'put' ? write : null
}

function recordOf(
  { write, written, node, ownClock }: Evaluated,
  position: number,
  replaced: ExistingVersion | null,
): RecordFields {
  const content = contentOf(write)
  const isRemoval = write.op === 'delete'
  return {
    kind: isRemoval ? write.cause : write.op,
    collection: write.collection,
    key: write.key,
    value: content === null ? '' : recordValueOf(content),
    contentType: content?.contentType ?? '',
    node: isRemoval ? tombstoneNode({ clock: written.clock, node }, ownClock) : node,
    flags: content?.flags ?? 0,
    position,
    createdAtMs: written.createdAtMs,
    clock: ownClock,
    expiresAtMs: isRemoval ? null : write.expiresAtMs,
    replaced,
  }
}

function changeOf({ write, written, node, ownClock }: Evaluated): Committed {
  const { collection, key } = write
  const { revision, createdAtMs, clock } = written
  if (write.op === 'delete') {
    const { cause } = write
    return {
      type: cause,
      collection,
      tombstone: { key, revision, cause, clock, node, removedClock: ownClock },
    }
  }
  const { expiresAtMs } = write
  if (write.op === 'renew') {
    const member = { ...write.member!, clock, node, expiresAtMs }
    return { type: 'renew', collection, member }
  }
  const { contentType, flags } = write
  const encoded = encodedTextOf(write)
  const member =
    encoded === undefined
      ? { key, value: write.value, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }
      : withEncodedText({ key, revision, createdAtMs, clock, node, expiresAtMs, contentType, flags }, encoded)
  return { type: 'put', collection, member }
}

function recordValueOf(content: Pick<Member, 'value'>): RecordValue {
  return encodedTextOf(content) ?? content.value
}
