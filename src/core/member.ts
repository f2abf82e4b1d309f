/** A value is JSON, kept as the text it was sent as, or any other bytes. */
export type Value = string | Uint8Array

export const jsonContentType = 'application/json'

export interface Member {
  readonly key: string
  readonly value: Value
  /** Grows with every change in the store; a member's is that of its last change. */
  readonly revision: number
  readonly createdAtMs: number
  /** When and in what order it was last written, comparable between nodes (see clock.ts). */
  readonly clock: number
  /** The node that wrote it; empty for this one. */
  readonly node: string
  /** From this moment on the member is gone; null for never. */
  readonly expiresAtMs: number | null
  /** Of JSON text `application/json` or a `+json` type; of bytes whatever they were sent with. */
  readonly contentType: string
  /** An opaque number of 32 bits that memcached clients keep beside a value, and two bits of the port's own above it. */
  readonly flags: number
}

/** A member without its value. */
export interface MemberHead extends Omit<Member, 'value'> {
  readonly valueBytes: number
}

/** Why a member is gone: somebody deleted it, or its time was over. */
export type RemovalCause = 'delete' | 'expire'

/** What stays of a member that is gone, so that watchers and nodes learn of it. */
export interface Tombstone {
  readonly key: string
  readonly revision: number
  readonly cause: RemovalCause
  readonly clock: number
  readonly node: string
}

/** The latest state of a member at its revision: itself, or its tombstone. */
export type Change =
  | { readonly type: 'put'; readonly collection: string; readonly member: Member }
  | { readonly type: RemovalCause; readonly collection: string; readonly tombstone: Tombstone }

/** A member that got another expiry and no revision: there is nothing of it in the feed. */
export interface Renewal {
  readonly type: 'renew'
  readonly collection: string
  readonly member: Member
}

/** What a commit did to a member. */
export type Committed = Change | Renewal

export function headOf(member: Member | null): MemberHead | null {
  if (member === null) return null
  const { value, ...head } = member
  return { ...head, valueBytes: Buffer.byteLength(value) }
}

export function revisionOf(change: Committed): number {
  return 'member' in change ? change.member.revision : change.tombstone.revision
}

export function keyOf(change: Committed): string {
  return 'member' in change ? change.member.key : change.tombstone.key
}

/** A member is gone from the millisecond of its expiry on. */
export function isExpired(member: { readonly expiresAtMs: number | null }, nowMs: number): boolean {
  return member.expiresAtMs !== null && member.expiresAtMs <= nowMs
}
