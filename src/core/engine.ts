import type { Distribution } from './distribution.ts'
import type { Change, Committed, Member, RemovalCause, Tombstone, Value } from './member.ts'

/**
 * The contract between the store and where its members live. Every engine makes all of these promises;
 * `engines/conformance.ts` holds each of them to it.
 *
 * 1. **Atomic.** A commit happens whole or not at all, for readers, for the feed and after a crash.
 * 2. **Durable.** When a commit resolves it is on disk and survives `kill -9` and power loss, unless the commit or
 *    the engine was told `relaxed`.
 * 3. **Ordered.** Every put and delete gets a revision of its own, larger than all before it. Commits take effect
 *    one after the other: a check sees every commit that resolved earlier, and the ones ahead of it in the queue.
 * 4. **Readable.** A read sees every commit that resolved before it began, none that is not durable yet, and never an
 *    older version of a member after a newer one.
 * 5. **Bounded.** No verb holds more in memory than the page it returns. When an engine cannot keep up, commits wait;
 *    reads do not.
 * 6. **Told.** `onCommit` hears every commit once, in their order, before the commit resolves and no later than any
 *    reader can see it.
 *
 * An engine knows nothing of who may do what, filters, caches or processes. Of expiry it knows one rule: within a
 * commit a member whose `expiresAtMs` is at or before the commit's `nowMs` counts as absent. Reads return it all the
 * same: that it must not be shown is decided once, in the core.
 *
 * Keys are ordered by their UTF-8 bytes. Failures reject (or throw) with a KvistError: `storage_full` when there is
 * no room, `busy` when writers waited too long, `storage_failed` for anything else, `closing` after `close`.
 */
export interface Engine {
  read(collection: string, key: string): MaybePromise<Member | null>

  /** As `read`, for several at once; the answer has the order of the question. */
  readMany(refs: readonly MemberRef[]): MaybePromise<(Member | null)[]>

  /**
   * The member will be read within the turn, as others may be that are told of now. An engine to which several together are
   * less work than each alone can prepare for it; nothing that anybody sees comes of it.
   */
  foresee?(ref: MemberRef): void

  /** What stays of a member that is gone, while that is kept; null for a living or never heard of one. */
  tombstone(collection: string, key: string): MaybePromise<Tombstone | null>

  /** Members in key order, at most `limit` and about `maxPageBytes` of values; `next` says where to go on. */
  scan(range: ScanRange): MaybePromise<ScanPage>

  /** Checks first, then the writes in their order. Resolves with what became of each write, or with the failed check. */
  commit(commit: Commit): Promise<CommitResult>

  /**
   * The latest state of every member that changed after a point, in revision order, tombstones included; with a
   * collection, of its members alone, at a cost that does not depend on the others. The work for a page is bounded: one
   * may be short, or empty, where much was written over. A point that this engine did not make is an `invalid_cursor`;
   * one that tombstones were forgotten after, or that lies past the head, as after a restart from an older copy, is
   * `compacted`, with the oldest point that can be gone on from as `oldest`. The beginning is always served, and so is
   * every point that a reader gets to from there before what is newer than its beginning is forgotten.
   */
  changes(after: ResumePoint, limit: number, collection?: string): MaybePromise<ChangesPage>

  /** Where a reader stands who has seen every commit up to now. */
  head(): ResumePoint

  /**
   * Forgets tombstones of before a time, the oldest first as far as the first that is younger, and at most so many;
   * those that it has come round to storing, that is: others may take till later. Says how many.
   */
  forget(beforeMs: number, limit: number): Promise<number>

  /** Members whose expiry is at or before a time, the earliest first, as far as `limit`. */
  expiring(atMs: number, limit: number): MaybePromise<ExpiringRef[]>

  /** Every collection that has members, by name, with how many they are and the bytes of their keys and values. */
  collections(): MaybePromise<CollectionStats[]>

  /** Its numbers since it was opened. They only grow; what is returned may go on growing. */
  stats(): EngineStats

  /** Writes a consistent copy of the store, all commits up to now in it, that this engine can be opened on. */
  snapshot(path: string): Promise<void>

  /** Finishes the commits under way, makes everything durable, and lets go of files and connections. */
  close(): Promise<void>
}

/** SQLite answers at once, a cluster later; callers that care for the microtask ask which it was. */
export type MaybePromise<T> = T | Promise<T>

export interface MemberRef {
  readonly collection: string
  readonly key: string
}

export interface ScanRange {
  readonly collection: string
  /** The first key, inclusive; null for the start. */
  readonly from: string | null
  /** The first key past the end; null for no end. */
  readonly to: string | null
  readonly order: 'asc' | 'desc'
  readonly limit: number
  /** Keys alone are wanted: members come with an empty value. */
  readonly keysOnly: boolean
}

export interface ScanPage {
  /** May be fewer than `limit`, even none, while there are more. */
  readonly members: Member[]
  /** The `from` (ascending) or `to` (descending) that goes on after these; null when there are no more. */
  readonly next: string | null
}

/** A condition on one member; revision null means that it must not exist. */
export interface Check extends MemberRef {
  readonly revision: number | null
}

export interface Put extends MemberRef {
  readonly op: 'put'
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  readonly expiresAtMs: number | null
}

export interface Delete extends MemberRef {
  readonly op: 'delete'
  readonly cause: RemovalCause
  /** Set: do nothing unless the member still has this revision, expired or not. It fails no commit. */
  readonly ifRevision?: number
  /** As `ifRevision`, of its expiry: a renewal leaves the revision. */
  readonly ifExpiresAtMs?: number
}

/**
 * Gives a member another expiry: neither a revision nor an entry in the feed come of it, whose entry of this member
 * says the new expiry from now on. Nothing is done unless it still has this revision, and is not over;
 * nor for a revision that a write ahead of it in the same commit is about to get, which nobody can know.
 */
export interface Renew extends MemberRef {
  readonly op: 'renew'
  readonly expiresAtMs: number | null
  readonly ifRevision: number
}

export type Write = Put | Delete

export interface Commit {
  /** Conditions on the state before the commit. */
  readonly checks: readonly Check[]
  /** Done in their order; each put and delete gets a revision, also when several are to one member. */
  readonly writes: readonly (Write | Renew)[]
  readonly nowMs: number
  /** `relaxed`: resolve before it is on disk. */
  readonly durability?: Durability
}

export type Durability = 'full' | 'relaxed'

export type CommitResult =
  | { readonly ok: true; readonly written: readonly Written[] }
  | { readonly ok: false; readonly failed: MemberRef & { readonly revision: number | null } }

/** What became of a write. */
export interface Written {
  /** That of the member, for a renewal; 0 when nothing was done: a delete of what is not there. */
  readonly revision: number
  /** A put keeps the time of the member that it replaces. */
  readonly createdAtMs: number
  readonly clock: number
  /** A living member was there before; false when nothing was done. */
  readonly existed: boolean
}

/** Where a reader of the feed stands; only the engine that made it can read it. The empty one is the beginning. */
export type ResumePoint = string

export interface ChangesPage {
  /** May be fewer than the limit, even none, while there are more. */
  readonly changes: Change[]
  /** Where a reader stands who has read as far as the change of this index. */
  pointAfter(index: number): ResumePoint
  /** Where to go on: after the last of these, or further, where nothing that was asked for lies between; at the end the head. */
  readonly next: ResumePoint
  /** There are no more, for now. */
  readonly atEnd: boolean
}

export interface ExpiringRef extends MemberRef {
  readonly revision: number
  readonly expiresAtMs: number
}

export interface CollectionStats {
  readonly name: string
  readonly members: number
  readonly bytes: number
}

/** What an engine tells of its work. */
export interface EngineStats {
  /** Commits that were made. */
  readonly commits: number
  /** Commits that were refused for a failed check. */
  readonly failedChecks: number
  /** Writes of the commits that did something. */
  readonly writes: number
  /** Of how many commits each group was that went to disk at once. */
  readonly groupCommits: Readonly<Distribution>
  /** Seconds that each sync to disk took; empty where that is another server's business. */
  readonly syncSeconds: Readonly<Distribution>
}

/** The bounds that engines count `groupCommits` under, so that all of them can be read alike. */
export const groupCommitBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** The bounds that engines count `syncSeconds` under. */
export const syncSecondsBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
]

/**
 * Hears every commit; must be quick and must not throw. `pointAfter` tells where a reader stands who has heard as far
 * as the change of that index.
 */
export type OnCommit = (changes: readonly Committed[], pointAfter: (index: number) => ResumePoint) => void
