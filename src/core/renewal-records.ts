import { createHash } from 'node:crypto'
import type { Commit, CommitResult, Engine, MemberRef, Put, Renew, Write } from './engine.ts'
import { isOwnCollection } from './keys.ts'
import { jsonContentType, type Member } from './member.ts'

/**
 * Records of renewals, for mirrors. A renewal has no entry in the feed, so that watchers are not told of every read that
 * extends a life. While a node mirrors its store, each renewal is committed together with a record in a collection of
 * kvist's own, which is in the feed. A record names the member, and not its expiry: whoever reads it reads the member.
 */

export const renewalsCollection = '_renewals'

/** A renewed member. */
export interface RenewalRecord extends MemberRef {
  /** The renewal came from another node. */
  readonly isForeign: boolean
}

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
  renewed: readonly (Write | Renew)[],
  keepMs: number,
): Promise<CommitResult> {
  const records = renewed.map((write) => recordOf(write, given.nowMs + keepMs))
  const result = await commit({ ...given, writes: [...given.writes, ...records] })
  return result.ok ? { ok: true, written: result.written.slice(0, given.writes.length) } : result
}

function isRenewal(write: Write | Renew): boolean {
  if (isOwnCollection(write.collection)) return false
  return write.op === 'renew' || (write.op === 'put' && write.isRenewal === true)
}

function recordOf({ op, collection, key }: Write | Renew, expiresAtMs: number): Put {
  const record: RenewalRecord = { collection, key, isForeign: op !== 'renew' }
  const value = JSON.stringify(record)
  return {
    op: 'put',
    collection: renewalsCollection,
    key: createHash('sha256').update(value).digest('hex'),
    value,
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs,
    near: { collection, key },
  }
}

export function renewalOf({ value }: Pick<Member, 'value'>): RenewalRecord {
  return JSON.parse(String(value)) as RenewalRecord
}
