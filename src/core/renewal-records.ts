import { createHash } from 'node:crypto'
import type { Commit, CommitResult, Engine, MemberRef, Put, Renew, Write } from './engine.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { isOwnCollection } from './keys.ts'
import { jsonContentType, type Member } from './member.ts'
import type { Origin } from './origin.ts'

/**
 * Records of renewals, for mirrors. A renewal has no entry in the feed, so that watchers are not told of every read that
 * extends a life. While a node mirrors its store, each renewal is committed together with a record in a collection of
 * kvist's own, which is in the feed. Whoever reads a record reads the member, and sends it as it is by then.
 *
 * A renewal from another node is recorded too, so that a bridge passes it on: once, or it would go around a ring without end.
 * It is known if there is a record of this version with its expiry or a later one. That the member has the expiry is not
 * enough: it may have come with the version itself, which is not sent to the node that wrote it, nor again to those that had
 * it.
 */

export const renewalsCollection = '_renewals'

/** A renewed member. */
export interface RenewalRecord extends MemberRef {
  /** The renewal came from another node. */
  readonly isForeign: boolean
  readonly expiresAtMs: number | null
  /** The renewed version: its revision on this node or, if the renewal came from another one, its origin. */
  readonly version: number | Origin
}

type ForeignRenewal = Extract<ForeignWrite, { readonly op: 'put' }> & { readonly isRenewal: true }

export interface RenewalRecordOptions {
  readonly commit: Engine['commit']
  /** Whether renewals are to be recorded. */
  readonly isRecording: () => boolean
  /** How long a record is kept: as long as tombstones, because a reader that is further behind begins again. */
  readonly keepMs: number
}

/** Returns `commit`, adding to each commit the records of its renewals. */
export function recordingRenewals({ commit, isRecording, keepMs }: RenewalRecordOptions): Engine['commit'] {
  return (given) => {
    if (!isRecording()) return commit(given)
    const renewed = given.writes.filter(isRenewal)
    return renewed.length === 0 ? commit(given) : commitWithRecords(commit, given, renewed, keepMs)
  }
}

async function commitWithRecords(
  commit: Engine['commit'],
  given: Commit,
  renewed: readonly (ForeignRenewal | Renew)[],
  keepMs: number,
): Promise<CommitResult> {
  const records = renewed.map((write) => recordOf(write, given.nowMs + keepMs))
  const result = await commit({ ...given, writes: [...given.writes, ...records] })
  return result.ok ? { ok: true, written: result.written.slice(0, given.writes.length) } : result
}

function isRenewal(write: Write | Renew): write is ForeignRenewal | Renew {
  if (isOwnCollection(write.collection)) return false
  return (
    write.op === 'renew' || (write.op === 'put' && write.isRenewal === true && write.origin !== undefined)
  )
}

function recordOf(write: ForeignRenewal | Renew, keepUntilMs: number): Put {
  const { op, collection, key } = write
  const isForeign = op !== 'renew'
  const version = op === 'renew' ? write.ifRevision : originOf(write)
  const record: RenewalRecord = { collection, key, isForeign, expiresAtMs: write.expiresAtMs, version }
  return {
    op: 'put',
    collection: renewalsCollection,
    key: recordKey({ collection, key }, isForeign),
    value: JSON.stringify(record),
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: keepUntilMs,
    near: { collection, key },
  }
}

function originOf({ origin: { clock, node } }: ForeignRenewal): Origin {
  return { clock, node }
}

function recordKey({ collection, key }: MemberRef, isForeign: boolean): string {
  return createHash('sha256').update(JSON.stringify({ collection, key, isForeign })).digest('hex')
}

export function renewalOf({ value }: Pick<Member, 'value'>): RenewalRecord {
  return JSON.parse(String(value)) as RenewalRecord
}

/** Returns the writes of another node without the mark of renewals that are known, so that they are not recorded again. */
export async function withoutKnownRenewals(
  engine: Pick<Engine, 'readMany' | 'scan'>,
  writes: readonly ForeignWrite[],
): Promise<readonly ForeignWrite[]> {
  const renewals = writes.filter(isForeignRenewal)
  if (renewals.length === 0) return writes
  const members = await engine.readMany(renewals)
  const known = new Set<ForeignWrite>()
  for (const [i, write] of renewals.entries()) {
    if (await isKnown(engine, write, members[i] ?? null)) known.add(write)
  }
  return writes.map((write) => {
    if (!known.has(write) || write.op !== 'put') return write
    const { isRenewal: _, ...plain } = write
    return plain
  })
}

function isForeignRenewal(write: ForeignWrite): write is ForeignRenewal {
  return write.op === 'put' && write.isRenewal === true
}

/** Whether a renewal was recorded before, or is of a version that was replaced. `member` is what is stored. */
async function isKnown(
  engine: Pick<Engine, 'scan'>,
  write: ForeignRenewal,
  member: Member | null,
): Promise<boolean> {
  const { origin } = write
  if (member !== null && member.clock > origin.clock) return true
  const records = await Promise.all([true, false].map((isForeign) => readRecord(engine, write, isForeign)))
  return records.some((record) => {
    if (record === null || !isAtLeast(record.expiresAtMs, write.expiresAtMs)) return false
    const { version } = record
    if (typeof version === 'number') return version === member?.revision && member.clock === origin.clock
    return version.clock === origin.clock && version.node === origin.node
  })
}

/** Reads a record by a scan: a key of such a collection need not be found otherwise (`Placed` in engine.ts). */
async function readRecord(
  engine: Pick<Engine, 'scan'>,
  ref: MemberRef,
  isForeign: boolean,
): Promise<RenewalRecord | null> {
  const from = recordKey(ref, isForeign)
  const range = {
    collection: renewalsCollection,
    from,
    to: null,
    order: 'asc',
    limit: 1,
    keysOnly: false,
  } as const
  const [found] = (await engine.scan(range)).members
  return found?.key === from ? renewalOf(found) : null
}

function isAtLeast(expiresAtMs: number | null, other: number | null): boolean {
  return expiresAtMs === null || (other !== null && expiresAtMs >= other)
}
