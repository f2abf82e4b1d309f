import type { KvistError } from './errors.ts'
import type { Histogram } from './histogram.ts'
import type { Change, Committed, Member, MemberHead, RemovalCause, Tombstone, Value } from './member.ts'
import type { Origin } from './origin.ts'

/**
 * The contract between the store and the engine that keeps its members. Every engine keeps all of these promises;
 * `engines/conformance.ts` proves them.
 *
 * A store has one or more **lines**. Each member is on one line for good, and only the engine knows which: SQLite has a
 * single line, a cluster has many. Promises of order and atomicity are promises within a line.
 *
 * 1. **Atomic.** A commit happens whole or not at all: for readers of its line, for the feed, and after a crash. It spans
 *    one line. One that would span several rejects with `unprocessable` before anything is done; `extra.together` then
 *    lists its refs in groups that one commit can span. With `apart` it is one commit for each line instead; when one of
 *    these rejects, so does the whole, and the others may have been done.
 * 2. **Durable.** When a commit resolves it is wherever the engine was configured to put it: on disk, on N replicas, or
 *    nowhere but in memory. One that rejects was not done, save with `outcome_unknown`: that one may have been, once.
 * 3. **Ordered.** Every put and delete gets a revision, larger than all before it on its line and than all that this
 *    engine resolved or reported before the commit was asked for. Commits to a line take effect one after the other, those
 *    of this engine in the order in which they were asked for. Changes on different lines may share a revision. Puts and
 *    deletes that are done in one commit, without a renewal or an origin of its own between them, have revisions that
 *    follow each other by one, and so have their stamps.
 * 4. **Readable.** A read sees every commit to its line that resolved before the read began, through whichever server, and
 *    none that a power cut of the engine could take back; never an older version of a member after a newer one. What
 *    `readMany` and a page return is of one moment for each line. What a failover can take back is reported by `onSetback`.
 * 5. **Bounded.** No verb holds more in memory than the page it returns. When an engine cannot keep up, commits wait;
 *    reads do not.
 * 6. **Reported.** `onCommit` is called with every change, whichever server made it: those of a line in order, this
 *    engine's own before they resolve, and none later than a reader of this engine can see it. After a time out of reach
 *    only the latest change of each member is reported.
 * 7. **Setback.** `onSetback` is called when the store lost changes that it had reported. Cursors at lost changes are
 *    `compacted` from then on.
 *
 * Every version and every tombstone carries its origin: the hybrid clock's stamp and the node that wrote it. Nodes that
 * exchange writes with their origins settle on the same state, whatever order the writes reach them in, and applying one
 * twice does nothing. The engine's clock observes the stamps that it applies, so a later write of its own is newer.
 *
 * An engine knows nothing of permissions, filters, caches or processes. Of expiry it knows one rule: within a commit, a
 * member whose `expiresAtMs` is at or before the commit's `nowMs` counts as absent. Reads return it all the same: the
 * core decides, once, that it must not be shown.
 *
 * Keys are ordered by their UTF-8 bytes. Failures reject (or throw) with a KvistError: `storage_full` when there is no
 * room, `busy` when writers waited too long, `unavailable` when a line is out of reach (not done), `outcome_unknown` when a
 * commit may have been done, `storage_failed` for anything else, `closing` after `close`.
 */
export interface Engine {
  /** The id of this node among those that exchange changes; of all servers of one cluster the same. */
  readonly nodeId: string

  read(collection: string, key: string): MaybePromise<Member | null>

  /** The member without its value, at a cost that does not depend on how long that is. */
  readHead(collection: string, key: string): MaybePromise<MemberHead | null>

  /**
   * As `read`, for several at once, in the order of the refs. With `maxBytes` the result ends after the member with which
   * the values come to more, so it may be shorter than the question.
   */
  readMany(refs: readonly MemberRef[], maxBytes?: number): MaybePromise<(Member | null)[]>

  /** The tombstone of a member that was removed, while it is kept; null for a member that exists or never did. */
  tombstone(collection: string, key: string): MaybePromise<Tombstone | null>

  /** Members in key order, at most `limit`, whose values come to at most `maxBytes`; `next` says where to go on. */
  scan(range: ScanRange): MaybePromise<ScanPage>

  /** Checks first, then the writes in their order. Resolves with the outcome of each write, or with the failed check. */
  commit(commit: Commit): Promise<CommitResult>

  /**
   * The latest change of every member that changed after the cursor, sorted by revision, tombstones included. With a
   * collection, of its members alone, at a cost that does not depend on the others; with a key, of that member, at the
   * cost of a read. The work for a page is bounded, so a page may be short, or empty, where much was overwritten. Its values
   * come to at most `maxBytes`, as those of a scan do.
   *
   * Throws `invalid_cursor` for a cursor that is none of this store's. Throws `compacted`, with the oldest cursor that is
   * still served as `oldest`, for one that tombstones were forgotten after, or that lies past the head, as after a
   * restart from an older copy. The beginning (`''` or `'0'`) is always served, and so is every cursor that a reader gets
   * to from there before what is newer than its beginning is forgotten.
   */
  changes(
    after: FeedCursor,
    limit: number,
    scope?: ChangesScope,
    maxBytes?: number,
  ): MaybePromise<ChangesPage>

  /** Whether a reader at this cursor has this version of a member behind it, or a later one. */
  hasSeen(cursor: FeedCursor, version: VersionRef): boolean

  /** The cursor of a reader that has handled everything that `onCommit` reported so far. */
  head(): FeedCursor

  /**
   * Deletes up to `limit` tombstones older than `beforeMs`, on each line the oldest first as far as the first that is
   * younger, and returns how many. Tombstones that are not stored for good yet are left for a later call.
   */
  forget(beforeMs: number, limit: number): Promise<number>

  /**
   * Members whose expiry is at or before a time, the earliest first, up to `limit`. May leave out for some seconds what
   * another server is deleting.
   */
  expiring(atMs: number, limit: number): MaybePromise<ExpiringRef[]>

  /** Every collection that has members, in any order, with the number of its members and the bytes of their keys and values. */
  collections(): MaybePromise<CollectionStats[]>

  /** Counters since the engine was opened. They only grow; the object returned may be live. */
  stats(): EngineStats

  /** Why writes fail at present: what the last one failed with, until one, or a trial of the engine's own, succeeds. */
  writeFault(): KvistError | null

  /** Finishes the commits under way, makes everything durable, and releases files and connections. */
  close(): Promise<void>
}

/** A local engine returns at once, a remote one later; callers that mind the microtask ask which it was. */
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
  /** Members come with an empty value. */
  readonly keysOnly: boolean
  /**
   * The page ends before the member whose value does not fit in this with those before it, and does not read that value; the
   * first may be that member. `maxPageBytes` when left out, in which any value fits.
   */
  readonly maxBytes?: number
}

export interface ScanPage {
  /** May be fewer than `limit`, even none, while there are more. */
  readonly members: Member[]
  /** The `from` (ascending) or `to` (descending) that goes on after these; null when there are no more. */
  readonly next: string | null
  /** It ends where the next value did not fit in `maxBytes`. */
  readonly isCut: boolean
}

/** One version of a member, or its tombstone. */
export interface VersionRef extends MemberRef {
  readonly revision: number
}

/** A condition on one member; revision null means that it must not exist. */
export interface Check extends MemberRef {
  readonly revision: number | null
  /** Set: the member must have this expiry too, for a renewal leaves the revision. */
  readonly expiresAtMs?: number | null
}

export interface Put extends Placed {
  readonly op: 'put'
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  readonly expiresAtMs: number | null
  /**
   * Of a version that was written elsewhere. The put is done only if it is newer than the stored version or tombstone
   * (`supersedes` in origin.ts), whether that has expired or not. Left out, the version gets the engine's clock and node.
   */
  readonly origin?: VersionOrigin
}

export interface VersionOrigin extends Origin {
  readonly createdAtMs: number
}

export interface Delete extends Placed {
  readonly op: 'delete'
  readonly cause: RemovalCause
  /** As of a put. Such a delete leaves a tombstone also where there is no member: an older put may come later. */
  readonly origin?: Origin
  /** Does nothing unless the member still has this revision, expired or not. It fails no commit. */
  readonly ifRevision?: number
  /** As `ifRevision`, of the expiry: a renewal keeps the revision. */
  readonly ifExpiresAtMs?: number
}

/**
 * Gives a member another expiry. It gets no revision and no entry in the feed, whose entry of this member shows the new
 * expiry from then on. Does nothing unless the member has this revision and has not expired, nor for a revision that a
 * write ahead of it in the same commit is about to get.
 */
export interface Renew extends MemberRef {
  readonly op: 'renew'
  readonly expiresAtMs: number | null
  readonly ifRevision: number
}

export type Write = Put | Delete

/** What a write to a member may say about the line it goes to. */
interface Placed extends MemberRef {
  /**
   * In a collection of kvist's own: the member whose line this one shares, so that one commit can span both, as an index
   * entry and what it indexes. A key has to come with the same member always. Such a collection is read by scans and the
   * feed: what reads by key find of it is not promised.
   */
  readonly near?: MemberRef
}

export interface Commit {
  /** Conditions on the state before the commit; none with `apart`. */
  readonly checks: readonly Check[]
  /** Done in their order; each put and delete gets a revision, also when several are to one member. */
  readonly writes: readonly (Write | Renew)[]
  readonly nowMs: number
  /** `relaxed`: resolve before it is on disk. */
  readonly durability?: Durability
  /** The writes need not happen together: one commit for each line. */
  readonly apart?: true
}

export type Durability = 'full' | 'relaxed'

export type CommitResult =
  | { readonly ok: true; readonly written: readonly Written[] }
  | { readonly ok: false; readonly failed: MemberRef & { readonly revision: number | null } }

/** The outcome of a write. */
export interface Written {
  /** That of the member, for a renewal; 0 when nothing was done: a delete of what is not there. */
  readonly revision: number
  /** A put keeps the time of the member that it replaces. */
  readonly createdAtMs: number
  readonly clock: number
  /** An unexpired member was there before; false when nothing was done. */
  readonly existed: boolean
  /** Nothing was done because the write's own origin is not newer than what is stored. */
  readonly superseded?: true
}

/** A position in the feed; opaque to all but the engine that made it. `''` is the beginning. */
export type FeedCursor = string

/** The part of the feed that is asked for: a collection, or one of its members. */
export interface ChangesScope {
  readonly collection: string
  readonly key?: string
}

export interface ChangesPage {
  /** May be fewer than the limit, even none, while there are more. */
  readonly changes: Change[]
  /** The cursor of a reader that has handled the changes up to this index. */
  cursorAfter(index: number): FeedCursor
  /** Where to go on: after the last of these, or further, where nothing that was asked for lies between; at the end the head. */
  readonly next: FeedCursor
  /** There are no more, for now. */
  readonly atEnd: boolean
  /** It ends where the next value did not fit in `maxBytes`. */
  readonly isCut: boolean
}

export interface ExpiringRef extends VersionRef {
  readonly expiresAtMs: number
}

export interface CollectionStats {
  readonly name: string
  readonly members: number
  readonly bytes: number
}

/** Counters of an engine's work. */
export interface EngineStats {
  /** Commits that were done. */
  readonly commits: number
  /** Commits that were rejected for a failed check. */
  readonly failedChecks: number
  /** Writes of the commits that did something. */
  readonly writes: number
  /** How many commits each group had that went to disk together. */
  readonly groupCommits: Readonly<Histogram>
  /** Seconds of each sync to disk; empty where another server does that. */
  readonly syncSeconds: Readonly<Histogram>
}

/** The bounds of the buckets of `groupCommits`, the same for every engine. */
export const groupCommitBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** The bounds of the buckets of `syncSeconds`. */
export const syncSecondsBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
]

/**
 * Called with every commit; must be quick and must not throw. `cursorAfter` returns the cursor of a reader
 * that has handled the changes up to an index.
 */
export type OnCommit = (changes: readonly Committed[], cursorAfter: (index: number) => FeedCursor) => void

/** Called when changes are lost that were reported: whatever was derived from them has to be read again. */
export type OnSetback = () => void
