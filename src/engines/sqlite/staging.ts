import type { HybridClock } from '../../core/clock.ts'
import type {
  Check,
  Commit,
  CommitResult,
  Delete,
  MemberRef,
  Renew,
  Write,
  Written,
} from '../../core/engine.ts'
import { type Committed, isExpired, type Member } from '../../core/member.ts'
import { frameHeaderBytes, type Segment } from './log.ts'
import { type Overlay, readMember, readStanding, recordStanding } from './overlay.ts'
import { type Chunk, encodeRecord, type RecordFields, recordRoom, type Standing } from './record.ts'

/**
 * Staging: the stage of the commit pipeline (committer.ts) that evaluates a group of commits and encodes what they
 * write into the segment's chunk. Nothing here can be seen by a reader, and a group that is dropped leaves no trace.
 */

/** A renewal with the member that has the revision it asks for; null when none has, and so none will have. */
interface PlannedRenew extends Renew {
  readonly member: Member | null
}

export type PlannedWrite = Write | PlannedRenew

/** The commits of one frame, encoded into the chunk. */
export interface Group {
  /** The outcome of each commit. */
  readonly results: CommitResult[]
  /** What the commits change, and the offset of each change's record in the chunk. */
  readonly changes: Committed[]
  readonly offsets: number[]
  /** By collection and key, the offset of its latest record. */
  readonly latest: Map<string, Map<string, number>>
  /** Where the records end in the chunk. */
  end: number
}

/** What staging reads and where it writes. */
interface Staging {
  readonly overlay: Overlay
  readonly clock: HybridClock
  readonly chunk: Chunk
  /** The last revision before the group. */
  readonly lastRevision: number
  readonly group: Group
}

interface Stageable {
  readonly commit: Commit
  readonly writes: readonly PlannedWrite[]
}

/** Looks up the members that renewals are about: a renewal is logged with the whole value. */
export function planWrites(overlay: Overlay, writes: Commit['writes']): readonly PlannedWrite[] {
  return isWithoutRenewals(writes) ? writes : writes.map((write) => planWrite(overlay, write))
}

function planWrite(overlay: Overlay, write: Write | Renew): PlannedWrite {
  if (write.op !== 'renew') return write
  const member = readMember(overlay, write.collection, write.key)
  return { ...write, member: member?.revision === write.ifRevision ? member : null }
}

function isWithoutRenewals(writes: Commit['writes']): writes is readonly Write[] {
  for (const { op } of writes) if (op === 'renew') return false
  return true
}

/** Bytes that the records of these writes take at most. */
export function roomOf(writes: readonly PlannedWrite[]): number {
  let room = 0
  for (const write of writes) {
    const { collection, key } = write
    const content = contentOf(write)
    room +=
      content === null
        ? recordRoom(collection, key, '', '', '')
        : recordRoom(collection, key, content.contentType, '', content.value)
  }
  return room
}

/** Evaluates the commits in order, each seeing those before it, and encodes their writes behind the segment's end. */
export function stageGroup(
  pending: readonly Stageable[],
  { chunk, end }: Segment,
  overlay: Overlay,
  clock: HybridClock,
  lastRevision: number,
): Group {
  const group: Group = {
    results: [],
    changes: [],
    offsets: [],
    latest: new Map(),
    end: end + frameHeaderBytes,
  }
  const staging: Staging = { overlay, clock, chunk, lastRevision, group }
  for (const one of pending) group.results.push(stageCommit(staging, one))
  return group
}

function stageCommit(staging: Staging, { commit, writes }: Stageable): CommitResult {
  const { checks, nowMs } = commit
  for (const check of checks) {
    const revision = failedCheck(check, existingVersion(staging, check), nowMs)
    if (revision !== undefined) {
      return { ok: false, failed: { collection: check.collection, key: check.key, revision } }
    }
  }
  return { ok: true, written: writes.map((write) => stageWrite(staging, write, nowMs)) }
}

function existingVersion({ overlay, chunk, group }: Staging, ref: MemberRef): Standing | null {
  const at = group.latest.get(ref.collection)?.get(ref.key)
  return at === undefined ? readStanding(overlay, ref) : recordStanding(chunk, at)
}

function stageWrite(staging: Staging, write: PlannedWrite, nowMs: number): Written {
  const { group, chunk } = staging
  const before = existingVersion(staging, write)
  const existed = before !== null && !isExpired(before, nowMs)
  if (write.op === 'delete' && !mayDelete(write, before, existed)) return nothingDone
  if (write.op === 'renew' && !(existed && mayRenew(write, before))) return nothingDone
  const position = staging.lastRevision + group.offsets.length + 1
  const written =
    write.op === 'renew'
      ? renewed(write.member!)
      : {
          revision: position,
          createdAtMs: existed ? before.createdAtMs : nowMs,
          clock: staging.clock.next(nowMs),
          existed,
        }
  const at = group.end
  group.end = encodeRecord(chunk, at, recordOf(write, written, position, before))
  group.offsets.push(at)
  group.changes.push(changeOf(write, written))
  let latest = group.latest.get(write.collection)
  if (latest === undefined) {
    latest = new Map()
    group.latest.set(write.collection, latest)
  }
  latest.set(write.key, at)
  return written
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

/** The current revision where a check fails, null for a missing member; undefined where the check holds. */
function failedCheck(check: Check, existing: Standing | null, nowMs: number): number | null | undefined {
  const revision = existing === null || isExpired(existing, nowMs) ? null : existing.revision
  return revision === check.revision ? undefined : revision
}

function mayDelete(write: Delete, before: Standing | null, existed: boolean): boolean {
  const { ifRevision, ifExpiresAtMs } = write
  if (ifExpiresAtMs !== undefined && before?.expiresAtMs !== ifExpiresAtMs) return false
  return ifRevision === undefined ? existed : before?.revision === ifRevision
}

/** The same revision means the same member, but for its expiry. */
function mayRenew({ member, ifRevision }: PlannedRenew, before: Standing): boolean {
  return member !== null && before.revision === ifRevision
}

function renewed({ revision, createdAtMs, clock }: Member): Written {
  return { revision, createdAtMs, clock, existed: true }
}

/** What a write stores; null for a delete, and for a renewal of what is gone. */
function contentOf(write: PlannedWrite): Pick<Member, 'value' | 'contentType' | 'flags'> | null {
  return write.op === 'renew' ? write.member : write.op === 'put' ? write : null
}

function recordOf(
  write: PlannedWrite,
  { createdAtMs, clock }: Written,
  position: number,
  replaced: Standing | null,
): RecordFields {
  const content = contentOf(write)
  return {
    kind: write.op === 'delete' ? write.cause : write.op,
    collection: write.collection,
    key: write.key,
    value: content?.value ?? '',
    contentType: content?.contentType ?? '',
    node: '',
    flags: content?.flags ?? 0,
    place: position,
    createdAtMs,
    clock,
    expiresAtMs: write.op === 'delete' ? null : write.expiresAtMs,
    replaced,
  }
}

function changeOf(write: PlannedWrite, { revision, createdAtMs, clock }: Written): Committed {
  const { collection, key } = write
  if (write.op === 'renew') {
    return { type: 'renew', collection, member: { ...write.member!, expiresAtMs: write.expiresAtMs } }
  }
  if (write.op === 'delete') {
    return {
      type: write.cause,
      collection,
      tombstone: { key, revision, cause: write.cause, clock, node: '' },
    }
  }
  const { value, contentType, flags, expiresAtMs } = write
  const member = { key, value, revision, createdAtMs, clock, node: '', expiresAtMs, contentType, flags }
  return { type: 'put', collection, member }
}
