import { createHash } from 'node:crypto'
import { rawMember } from '../json/scan.ts'
import type { Engine, MemberRef, Put } from './engine.ts'
import { maxConflictBytes, maxConflicts, smallPageBytes } from './limits.ts'
import { isExpired, jsonContentType, type Member, type RemovalCause, type Value } from './member.ts'
import { nextTick } from './next-tick.ts'
import type { Origin } from './origin.ts'
import type { Quota } from './quota.ts'

/**
 * Records of conflicts: of each version that was lost because two nodes wrote the same member apart, and both wrote
 * something else. They are members of a collection of kvist's own, and kept as long as tombstones. Records are not mirrored:
 * each node has those of the conflicts that it has seen.
 *
 * A record's key is made of the lost version, so that a conflict that is seen twice has one record. Keys are in the order
 * of the clocks of the lost versions.
 */

export const conflictsCollection = '_conflicts'

export interface Conflict extends MemberRef {
  readonly seenMs: number
  readonly lost: LostVersion
  readonly kept: Origin
}

/** The version that lost, or the delete. */
export type LostVersion = LostPut | LostRemoval

interface LostRemoval extends Origin {
  readonly type: RemovalCause
  /** The revision that it had on this node; null if it was not stored here. */
  readonly revision: number | null
}

interface LostPut extends Origin {
  readonly type: 'put'
  readonly revision: number | null
  /** Null where it is not known: the member had changed before its version could be read. */
  readonly content: LostContent | null
}

export interface LostContent {
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
  readonly contentType: string
  readonly flags: number
  readonly bytes: number
  /** Null for a value of more than `maxConflictValueBytes`. */
  readonly value: Value | null
}

/** The records that a store keeps at most; others are counted. */
export const conflictQuota: Quota = {
  collection: conflictsCollection,
  maxMembers: maxConflicts,
  maxBytes: maxConflictBytes,
  maxValueBytes: null,
}

/** The member that counts the conflicts without a record, after all records. */
export const unlistedKey = '~unlisted'

export function recordOf(conflict: Conflict, keepMs: number): Put {
  const { collection, key, lost, seenMs } = conflict
  const name = createHash('sha256')
    .update(JSON.stringify([collection, key, lost.node]))
    .digest('hex')
  return {
    op: 'put',
    collection: conflictsCollection,
    key: `${String(lost.clock).padStart(16, '0')}-${name.slice(0, 32)}`,
    value: recordText(conflict),
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: seenMs + keepMs,
    near: { collection, key },
  }
}

/** A record is the conflict as JSON, with a value that is JSON as it was sent, and bytes in base64. */
function recordText(conflict: Conflict): string {
  const { lost } = conflict
  if (lost.type !== 'put' || lost.content === null) return JSON.stringify(conflict)
  const { value, ...content } = lost.content
  const rest = JSON.stringify({ ...conflict, lost: { ...lost, content } })
  return value === null ? rest : `${rest.slice(0, -1)},${valueField(value)}}`
}

function valueField(value: Value): string {
  return typeof value === 'string' ? `"value":${value}` : `"bytes":"${Buffer.from(value).toString('base64')}"`
}

function conflictOf({ value }: Pick<Member, 'value'>): Conflict {
  const text = String(value)
  const { value: _, bytes, ...conflict } = JSON.parse(text)
  const { lost } = conflict
  if (lost.type !== 'put' || lost.content === null) return conflict
  const kept = typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : (rawMember(text, 'value') ?? null)
  return { ...conflict, lost: { ...lost, content: { ...lost.content, value: kept } } }
}

export interface ConflictQuery {
  /** Null for all collections. */
  readonly collection: string | null
  /** Members that the reader may not see are left out; all are seen if left out. */
  readonly sees?: (collection: string, key: string) => boolean
  /** The page begins before this key of a record; null for the first page. */
  readonly before: string | null
  readonly limit: number
}

export interface ConflictPage {
  /** The latest lost version first. */
  readonly conflicts: readonly Conflict[]
  /** The `before` of the next page; null after the last one. */
  readonly next: string | null
  /** Conflicts without a record, because there were too many; null for a reader who may not see all. */
  readonly unlisted: number | null
}

/** Returns a page of conflicts, of which all values together have at most `smallPageBytes`, or one that is larger. */
export async function conflictPage(
  engine: Pick<Engine, 'scan' | 'read'>,
  query: ConflictQuery,
  nowMs: number,
): Promise<ConflictPage> {
  const conflicts: Conflict[] = []
  const range = { collection: conflictsCollection, from: null, order: 'desc', keysOnly: false } as const
  const page = async (next: string | null) => ({
    conflicts,
    next,
    unlisted: await unlisted(engine, query, nowMs),
  })
  let to: string | null = query.before ?? unlistedKey
  let last = to
  let bytes = 0
  while (to !== null) {
    const { members, next } = await engine.scan({ ...range, to, limit: 100, maxBytes: smallPageBytes })
    for (const member of members) {
      const conflict = isExpired(member, nowMs) ? null : conflictOf(member)
      if (conflict === null || !isAsked(conflict, query)) continue
      bytes += member.value.length
      const isFull = conflicts.length === query.limit || bytes > smallPageBytes
      if (isFull && conflicts.length > 0) return page(last)
      conflicts.push(conflict)
      last = member.key
    }
    to = next
    await nextTick()
  }
  return page(null)
}

function isAsked({ collection, key }: Conflict, { collection: asked, sees }: ConflictQuery): boolean {
  return (asked === null || asked === collection) && (sees === undefined || sees(collection, key))
}

async function unlisted(
  engine: Pick<Engine, 'read'>,
  { sees }: ConflictQuery,
  nowMs: number,
): Promise<number | null> {
  if (sees !== undefined) return null
  const member = await engine.read(conflictsCollection, unlistedKey)
  return member === null || isExpired(member, nowMs) ? 0 : Number(member.value)
}
