import type { Member } from './member.ts'

/** Reading of members without an object for each of them. */

/**
 * A JSON member that never expires, as bytes of the engine's own memory. An engine passes the same object again and again, so it
 * is valid during a call only.
 */
export interface StoredJson {
  readonly bytes: Buffer
  /** Offsets of the key and of the value, both UTF-8; the ends are exclusive. */
  readonly keyAt: number
  readonly keyEnd: number
  readonly valueAt: number
  readonly valueEnd: number
  readonly revision: number
  readonly createdAtMs: number
  readonly clock: number
  readonly flags: number
}

/** Receives members one after another, in the order of the request. */
export interface MemberVisitor {
  stored(row: StoredJson): void
  /** Undoes the last call of `stored`: that row was changed while it was read, and the member is about to be visited again. */
  undo(): void
  /** Any other member, or null for none; `index` is that of its ref. */
  member(member: Member | null, index: number): void
}
