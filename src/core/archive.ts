import type { MemberRef } from './engine.ts'
import type { Member } from './member.ts'

/** What an archive of the store tells of its past. */
export interface Archive {
  /**
   * Returns what a member was at a point in time; a member that had expired by then counts as absent. Rejects with
   * `unprocessable` for a point that the archive does not have, and with `damaged`.
   */
  at(ref: MemberRef, point: Point): Promise<MemberAt>
  /** Returns versions of a member, newest first. */
  versions(ref: MemberRef, query: VersionQuery): Promise<VersionPage>
}

/** A moment of the store: after a revision, and before the next; or at a time. */
export type Point = { readonly revision: number } | { readonly timeMs: number }

export interface MemberAt {
  readonly member: Member | null
  /** The last revision of the store at that point. */
  readonly revision: number
  readonly timeMs: number
}

export interface VersionQuery {
  /** Only versions before this position; null for all. */
  readonly before: number | null
  readonly limit: number
  readonly withValues: boolean
}

export interface VersionPage {
  readonly versions: readonly ArchivedVersion[]
  /** `before` of the next page; null at the end. */
  readonly next: number | null
}

/** A change of a member that the archive has. */
export interface ArchivedVersion {
  /** The revision of the change. A renewal has one of its own, and the member keeps that of its version. */
  readonly revision: number
  /** When it was committed; null for the version in a base backup, which was written at some time before that. */
  readonly timeMs: number | null
  readonly type: 'put' | 'renew' | 'delete' | 'expire'
  readonly valueBytes: number
  /** With an empty value unless values were asked for; null for a removal. */
  readonly member: Member | null
}

/** What the metrics show of an archive. */
export interface ArchiveNumbers {
  readonly archivedRevision: number
  /** How long the oldest change waits that is not archived; 0 for none. */
  readonly lagSeconds: number
  readonly waitingSegments: number
  readonly waitingBytes: number
  readonly failures: number
  /** Revisions that the archive lacks since the start, because their segments were dropped. */
  readonly droppedRevisions: number
  readonly isFailing: boolean
}
