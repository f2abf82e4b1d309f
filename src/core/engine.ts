import type { KvistError } from './errors.ts'
import type { Histogram } from './histogram.ts'
import type {
  Change,
  Committed,
  Member,
  MemberHead,
  MemberVersion,
  RemovalCause,
  Tombstone,
  Value,
} from './member.ts'
import type { MemberVisitor } from './member-visitor.ts'
import type { Origin, StoredOrigin } from './origin.ts'
import type { Exceeded, Quota } from './quota.ts'
import type { IndexGuard, SharedStore } from './shared-store.ts'

/**
 * The contract between the store and the engine that keeps its members. Every engine keeps all of these promises;
 * `engines/conformance.ts` proves them.
 *
 * A store has one or more **lines**. Each member is on one line for ever, and only the engine knows which: SQLite has a
 * single line, a cluster has many. Order and atomicity are promised within a line.
 *
 * 1. **Atomic.** A commit happens whole or not at all: for readers of its line, for the feed, and after a crash. It
 *    spans one line. One that would span several rejects with `unprocessable` before anything is done; `extra.together`
 *    then lists its refs in groups that one commit can span. With `apart` it is one commit for each line instead; when
 *    one of these rejects, so does the whole, and the others may have been done.
 * 2. **Durable.** When a commit resolves it is wherever the engine was configured to put it: on disk, on N replicas, or
 *    only in memory. A commit that rejects was not done, except one with `outcome_unknown`: that one may have been
 *    done, once.
 * 3. **Ordered.** Every put and delete gets a revision, larger than all before it on its line and than all that this
 *    engine resolved or reported before `commit` was called. Commits to a line take effect one after the other, those
 *    of this engine in the order of their calls. Changes on different lines may share a revision. Puts and deletes of
 *    one commit have consecutive revisions and stamps, unless a renewal, an expiry or a write with its own origin is
 *    between them.
 * 4. **Readable.** A read sees every commit to its line that resolved before the read began, through whichever server,
 *    and none that a power cut of the engine could take back; never an older version of a member after a newer one.
 *    `readMany` and a page read each line at one moment. Commits that a failover takes back are reported by
 *    `onSetback`.
 * 5. **Bounded.** No verb holds more in memory than the page it returns. When an engine cannot keep up, commits wait;
 *    reads do not.
 * 6. **Reported.** `onCommit` is called with every change, whichever server made it: those of a line in order, this
 *    engine's own before they resolve, and none later than a read of this engine can return it. After the store was out
 *    of reach, only the latest change of each member is reported.
 * 7. **Setback.** `onSetback` is called when the store lost changes that it had reported. Cursors at lost changes are
 *    `compacted` from then on.
 * 8. **Limited.** A commit with `quotas` that would make a collection or a value grow past one of them does nothing and
 *    resolves with the quota; with `apart`, each write does so by itself. A commit that shrinks a collection, or leaves
 *    it as large as it is, is done whatever the quotas. Sizes are those of `collections()` after all commits before it
 *    on its line, expired members included until they are deleted. This is exact for a collection on one line, and where
 *    one engine writes. Several may pass the quota of a collection on several lines by what is under way when it is reached.
 *
 * Every version and every tombstone carries its origin: the hybrid clock's stamp and the node that wrote it. Nodes that
 * exchange writes with their origins reach the same state, whatever order the writes arrive in, and applying a
 * write twice does nothing (`effectOf` in origin.ts). The engine's clock observes the stamps that it applies, so its own
 * later writes are newer. The tombstone of an expired member has the origin of the version that expired.
 *
 * An engine knows nothing of permissions, filters, caches or processes. Of expiry it knows one rule: within a commit, a
 * member whose `expiresAtMs` is at or before the commit's `nowMs` counts as absent. Reads return it all the same: the
 * core hides it, once for all engines.
 *
 * Keys are ordered by their UTF-8 bytes. Failures reject (or throw) with a KvistError: `storage_full` when there is no
 * room, `busy` when writers waited too long, `unavailable` when a line is out of reach (not done), `outcome_unknown`
 * when a commit may have been done, `storage_failed` for anything else, `closing` after `close`.
 */
export interface Engine {
  /** The id of this node among the nodes that exchange changes; all servers of one cluster have the same. */
  readonly nodeId: string

  /** What keeps indexes right where other servers may write to the same store; null where none can. */
  readonly shared: SharedStore | null

  read(collection: string, key: string): MaybePromise<Member | null>

  /** Returns the member without its value, at a cost that does not depend on the length of the value. */
  readHead(collection: string, key: string): MaybePromise<MemberHead | null>

  /**
   * Returns the bytes `from` to `to`, exclusive, of the value of this version, of JSON its UTF-8. Returns null if the
   * member is another version by now, or is gone. An engine that keeps values in pieces reads only those that it needs.
   */
  readPart(ref: MemberRef, version: MemberVersion, from: number, to: number): MaybePromise<Uint8Array | null>

  /**
   * Returns several members in the order of the refs. With `maxBytes` the result ends after the member whose value
   * exceeds it, so it may be shorter than `refs`.
   */
  readMany(refs: readonly ReadRef[], maxBytes?: number): MaybePromise<(Member | null)[]>

  /**
   * As `readMany`, for a visitor: it is called for each member before this returns, which is the number of members visited.
   * Returns null where the engine has no members at hand as bytes; `readMany` reads them then.
   */
  visitMany(refs: readonly MemberRef[], maxBytes: number, visitor: MemberVisitor): number | null

  /** Returns the tombstone of a removed member while it is kept; null if the member exists or never did. */
  tombstone(collection: string, key: string): MaybePromise<Tombstone | null>

  /**
   * As `scan`, for a visitor, without the members. Returns null where that cannot be done; what was visited
   * until then is void, and `scan` reads it.
   */
  visitRange(range: ScanRange, visitor: MemberVisitor): Pick<ScanPage, 'next' | 'isCut'> | null

  /** Returns members in key order, at most `limit`, whose values have at most `maxBytes` together. */
  scan(range: ScanRange): MaybePromise<ScanPage>

  /**
   * Evaluates the checks, then does the writes in their order. Resolves with the outcome of each write, with the failed
   * check, or with the exceeded quota.
   */
  commit(commit: Commit): Promise<CommitResult>

  /**
   * Returns the latest change of every member that changed after the cursor, sorted by revision, tombstones included.
   * With a collection, only changes of its members, at a cost that does not depend on other collections; with a key,
   * only that of the member, at the cost of a read. The work for a page is bounded, so a page may be short, or empty,
   * where much was overwritten. Its values have at most `maxBytes` together, as those of a scan do.
   *
   * Throws `invalid_cursor` for a cursor of another store. Throws `compacted`, with the oldest cursor that is still
   * served as `oldest`, for a cursor after which tombstones were deleted, or one past the head, as after a restart from
   * an older copy. The beginning (`''` or `'0'`) is always served, and so is every cursor that a reader reaches from
   * there, until tombstones newer than its beginning are deleted.
   */
  changes(
    after: FeedCursor,
    limit: number,
    scope?: ChangesScope,
    maxBytes?: number,
  ): MaybePromise<ChangesPage>

  /** Returns whether a reader at this cursor has passed this version of a member, or a later one. */
  hasSeen(cursor: FeedCursor, version: VersionRef): boolean

  /** Returns the cursor of a reader that has handled everything that `onCommit` reported so far. */
  head(): FeedCursor

  /**
   * Deletes up to `limit` tombstones that this node left before `beforeMs` and returns how many. Each line deletes its oldest first and
   * stops at the first that is younger. Tombstones not flushed yet are left for a later call.
   */
  forget(beforeMs: number, limit: number): Promise<number>

  /**
   * Returns a stamp that no `removedClock` of a deleted tombstone exceeds; 0 if none was ever deleted. So a version with
   * a larger stamp that has neither a member nor a tombstone here was never here: whatever had removed it would have left a
   * tombstone with a stamp larger still.
   */
  forgottenClock(): MaybePromise<number>

  /**
   * Returns up to `limit` members whose expiry is at or before a time, the earliest first. For a `sweep`, it may omit, for some
   * seconds, members of lines that another server sweeps.
   */
  expiring(atMs: number, limit: number, purpose?: 'sweep'): MaybePromise<ExpiringRef[]>

  /**
   * Returns every collection that has members, in any order, with the number of its members and the bytes of their keys
   * and values.
   */
  collections(): MaybePromise<CollectionStats[]>

  /** Returns counters since the engine was opened. They only grow; the returned object may be live. */
  stats(): EngineStats

  /**
   * Returns the error of the last failed write until a write, or a trial write of the engine's own, succeeds; null
   * while writes succeed.
   */
  writeFault(): KvistError | null

  /** Finishes the commits under way, makes everything durable, and releases files and connections. */
  close(): Promise<void>
}

/**
 * The result of a local engine, returned at once, or of a remote one, returned later. Callers on a hot path test which
 * it is, to avoid a microtask.
 */
export type MaybePromise<T> = T | Promise<T>

export interface MemberRef {
  readonly collection: string
  readonly key: string
}

/** A member to read; `near` finds one of kvist's own, if it was written with it. */
export interface ReadRef extends MemberRef {
  readonly near?: MemberRef
}

export interface ScanRange {
  readonly collection: string
  /** The first key, inclusive; null for the start. */
  readonly from: string | null
  /** The first key past the end; null for no end. */
  readonly to: string | null
  readonly order: 'asc' | 'desc'
  readonly limit: number
  /** Members are returned with an empty value. */
  readonly keysOnly: boolean
  /**
   * The page ends before the first member whose value, added to those before it, exceeds this, and does not read that
   * value; so the page may be empty. `maxPageBytes` when left out, in which any value fits.
   */
  readonly maxBytes?: number
  /** Of entries of an index, where other servers may write to the store: rejects with `StaleView` if they may be incomplete. */
  readonly guard?: IndexGuard
}

export interface ScanPage {
  /** May be fewer than `limit`, even none, while there are more. */
  readonly members: Member[]
  /** The `from` (ascending) or `to` (descending) of the next page; null when there are no more. */
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
  /** If set, the member must have this expiry too, because a renewal keeps the revision. */
  readonly expiresAtMs?: number | null
  /** The stored version counts also if it has expired, and was not swept yet. */
  readonly evenExpired?: true
  /** As in `Placed`. */
  readonly near?: MemberRef
}

export interface Put extends Placed {
  readonly op: 'put'
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  readonly expiresAtMs: number | null
  /**
   * The origin of a version that another node wrote. The put is done only if it is newer than the stored version or
   * tombstone (`effectOf` in origin.ts), whether that has expired or not; of the stored version itself with a later
   * expiry it is a renewal. Without it, the version gets the engine's clock and node.
   */
  readonly origin?: VersionOrigin
  /** The other node renewed the version. Engines need not look: they see it by the expiry. */
  readonly isRenewal?: true
}

export interface VersionOrigin extends Origin {
  readonly createdAtMs: number
}

export interface Delete extends Placed {
  readonly op: 'delete'
  readonly cause: RemovalCause
  /**
   * The origin, as in `Put`. Such a delete leaves a tombstone even if there is no member, because an older put may
   * arrive later.
   */
  readonly origin?: Origin
  /**
   * If set, the delete does nothing unless the member still has this revision, expired or not. The commit does not
   * fail.
   */
  readonly ifRevision?: number
  /** As `ifRevision`, for the expiry, because a renewal keeps the revision. */
  readonly ifExpiresAtMs?: number
  /** Its line is not known: it is done on that which has the member. With `ifRevision`, and no checks beside it. */
  readonly anywhere?: true
}

/**
 * Gives a member another expiry. It gets no revision and no entry in the feed; the member's existing entry shows the
 * new expiry from then on. An earlier expiry changes the origin (`renewedOrigin` in origin.ts). Does nothing unless the member has this revision and has not expired, and nothing for a
 * revision that an earlier write of the same commit creates.
 */
export interface Renew extends MemberRef {
  readonly op: 'renew'
  readonly expiresAtMs: number | null
  readonly ifRevision: number
}

export type Write = Put | Delete

/** The line that a write goes to, where the writer chooses it, and the write that it follows. */
interface Placed extends MemberRef {
  /**
   * For a collection of kvist's own: the member whose line this one shares, so that one commit can span both, such as
   * an index entry and the member that it indexes. A key must always be written with the same member. Read such a
   * collection by scans and the feed; reads by key are not guaranteed to find its members.
   */
  readonly near?: MemberRef
  /**
   * The index of an earlier write of the commit: this one does nothing unless that one was given a revision. So an index entry follows
   * its member, also where it depends on the stored version whether the member is written. Not with `apart`.
   */
  readonly ifDone?: number
}

export interface Commit {
  /** Conditions on the state before the commit; must be empty with `apart`. */
  readonly checks: readonly Check[]
  /** Done in their order; each put and delete gets a revision, also if several are on one member. */
  readonly writes: readonly (Write | Renew)[]
  readonly nowMs: number
  /** With `relaxed` the commit resolves before it is on disk. */
  readonly durability?: Durability
  /** The writes need not be atomic together: there is one commit for each line. */
  readonly apart?: true
  /** Limits of collections, at most one for each; missing for none. Others of the writes' collections have none. */
  readonly quotas?: readonly Quota[]
  /**
   * How new the writer's knowledge of indexes is, where other servers write to the store: rejects with `StaleView` if a
   * line has been written to with newer knowledge. Missing for 0.
   */
  readonly view?: number
}

export type Durability = 'full' | 'relaxed'

export type CommitResult =
  | { readonly ok: true; readonly written: readonly Written[] }
  | { readonly ok: false; readonly failed: MemberRef & { readonly revision: number | null } }
  | { readonly ok: false; readonly exceeded: Exceeded }

/** The outcome of a write. */
export interface Written {
  /**
   * The revision of the write; for a renewal that of the member; 0 when nothing was done, as for a delete of a missing
   * member.
   */
  readonly revision: number
  /** The creation time; a put keeps that of the member that it replaces. */
  readonly createdAtMs: number
  readonly clock: number
  /** An unexpired member existed before; false when nothing was done. */
  readonly existed: boolean
  /** Nothing was done, because the write's own origin is not newer than that of the stored version. */
  readonly superseded?: true
  /** Of a write with its own origin: that of the version or tombstone that was stored before, with the id of its node. */
  readonly stored?: StoredOrigin
  /** Nothing was done, because the write would pass this quota; only with `apart`. */
  readonly exceeded?: Exceeded
  /** Nothing was done, because of a unique index; the write gate says so (indexes/unique.ts), and no engine. */
  readonly notUnique?: KvistError
}

/** A position in the feed, opaque to all but the engine that made it. `''` is the beginning. */
export type FeedCursor = string

/** The part of the feed to read: a collection, or one of its members. */
export interface ChangesScope {
  readonly collection: string
  readonly key?: string
}

export interface ChangesPage {
  /** May be fewer than the limit, even none, while there are more. */
  readonly changes: Change[]
  /** Returns the cursor of a reader that has handled the changes up to this index. */
  cursorAfter(index: number): FeedCursor
  /**
   * The cursor of the next page: after the last of these changes, or further if nothing in scope lies between; at the
   * end, the head.
   */
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
  /** The number of commits in each group that was synced to disk together. */
  readonly groupCommits: Readonly<Histogram>
  /** Seconds of each sync to disk; empty if another server syncs. */
  readonly syncSeconds: Readonly<Histogram>
  /** Seconds that each group waited, by what it waited for; empty for an engine whose commits wait for nothing of its own. */
  readonly waitSeconds: Readonly<Partial<Record<CommitWait, Readonly<Histogram>>>>
}

/**
 * What a group of commits waits for besides its sync: `group`, its first commit waits until the group before is done;
 * `segment`, until the log has room for it; `throttle`, writers pause since flushing is slower than they are.
 */
export type CommitWait = 'group' | 'segment' | 'throttle'

/** The bucket bounds of `groupCommits`, the same for every engine. */
export const groupCommitBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** The bucket bounds of `syncSeconds` and `waitSeconds`. */
export const syncSecondsBounds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
]

/**
 * Called with every commit; must be quick and must not throw. `cursorAfter` returns the cursor of a reader
 * that has handled the changes up to an index.
 */
export type OnCommit = (changes: readonly Committed[], cursorAfter: (index: number) => FeedCursor) => void

/** Called when the store lost changes that it had reported: everything derived from them has to be read again. */
export type OnSetback = () => void
