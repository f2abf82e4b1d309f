/** JSON, kept as the text that was sent, or any other bytes. */
export type Value = string | Uint8Array

export const jsonContentType = 'application/json'

export interface Member {
  readonly key: string
  readonly value: Value
  /** The revision of the member's last change. Every change in the store gets a larger one. */
  readonly revision: number
  readonly createdAtMs: number
  /** The hybrid clock's stamp of the last write, comparable between nodes (clock.ts). */
  readonly clock: number
  /** The node that wrote it; empty for this one. */
  readonly node: string
  /** The member has expired from this moment on; null for never. */
  readonly expiresAtMs: number | null
  /** `application/json` or a `+json` type for JSON text; for bytes, the type that was sent. */
  readonly contentType: string
  /**
   * An opaque number of 32 bits that memcached clients store beside a value; the memcached server uses the two bits
   * above it.
   */
  readonly flags: number
}

/** A member without its value. */
export interface MemberHead extends Omit<Member, 'value'> {
  readonly valueBytes: number
}

/** Identifies a version of a member: after a failover a revision may be assigned again, a revision with its stamp is not. */
export type MemberVersion = Pick<Member, 'revision' | 'clock'>

export function isVersion(member: MemberVersion, { revision, clock }: MemberVersion): boolean {
  return member.revision === revision && member.clock === clock
}

/** Why a member was removed: a client deleted it, or it expired. */
export type RemovalCause = 'delete' | 'expire'

/** The record of a removed member, from which watchers and other nodes learn of the removal. */
export interface Tombstone {
  readonly key: string
  readonly revision: number
  readonly cause: RemovalCause
  /** The origin of the delete or, of an expired member, of the version that expired (origin.ts). */
  readonly clock: number
  readonly node: string
  /** This node's own stamp of the removal: tombstones are kept by it. */
  readonly removedClock: number
}

/** The latest state of a member: the member, or its tombstone. */
export type Change =
  | { readonly type: 'put'; readonly collection: string; readonly member: Member }
  | { readonly type: RemovalCause; readonly collection: string; readonly tombstone: Tombstone }

/** A member whose expiry changed while its revision stayed. The feed has no entry for it. */
export interface Renewal {
  readonly type: 'renew'
  readonly collection: string
  readonly member: Member
}

/** One change that a commit made to a member. */
export type Committed = Change | Renewal

export function headOf(member: Member | null): MemberHead | null {
  if (member === null) return null
  const { value, ...head } = member
  return { ...head, valueBytes: Buffer.byteLength(value) }
}

/** Returns the bytes `from` to `to` of the value, of JSON its UTF-8; null unless the member is this version. */
export function partOf(
  member: Member | null,
  version: MemberVersion,
  from: number,
  to: number,
): Uint8Array | null {
  if (member === null || !isVersion(member, version)) return null
  return bytesOf(member.value).slice(from, to)
}

function bytesOf(value: Value): Uint8Array {
  return typeof value === 'string' ? new TextEncoder().encode(value) : value
}

export function revisionOf(change: Committed): number {
  return 'member' in change ? change.member.revision : change.tombstone.revision
}

export function keyOf(change: Committed): string {
  return 'member' in change ? change.member.key : change.tombstone.key
}

/** Returns whether a member has expired, which it has from the millisecond of its expiry on. */
export function isExpired(member: { readonly expiresAtMs: number | null }, nowMs: number): boolean {
  return member.expiresAtMs !== null && member.expiresAtMs <= nowMs
}
