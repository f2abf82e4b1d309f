/**
 * The types of kvist's API, with the names of its JSON (snake_case); `/openapi.json` describes the same. Times are RFC
 * 3339. Options of the client have JavaScript's names.
 */

import type { ErrorCode } from './errors.ts'

/** The position of a reader of the feed: opaque, except that 0 is the beginning. */
export type ResumePoint = string

export interface CollectionInfo {
  readonly name: string
  /** Null if the client's token grants reading only a part of the collection. */
  readonly members: number | null
  /** Bytes of keys and values; null like `members`. */
  readonly bytes: number | null
}

export interface CollectionsPage {
  readonly collections: readonly CollectionInfo[]
  /** The `cursor` of the next page; null when this is the last. */
  readonly next: string | null
}

/** A member without its value: what a write resolves with. */
export interface Stored {
  readonly key: string
  /** The revision of the member's last change. Every change in the store gets a larger one. */
  readonly revision: number
  readonly created_at: string
  readonly updated_at: string
  /** Null for never. */
  readonly expires_at: string | null
  readonly content_type: string
}

/** What an increment resolves with. */
export interface Incremented extends Stored {
  /** The new number. */
  readonly value: number
}

/** A member with its value: the result of JSON.parse, or a Uint8Array for bytes that are not JSON. */
export interface Member<T> extends Stored {
  readonly value: T
  /** With `include: 'all'`: the number that memcached clients store beside a value. */
  readonly flags?: number
  /** With `include: 'all'`: the node and the time of the last write, comparable between nodes. */
  readonly origin?: Origin
}

/** The origin of a version. The larger clock is newer; of equal clocks the larger node. */
export interface Origin {
  readonly node: string
  readonly clock: number
}

/** A member in a list with `include: 'values'`: the fields needed to store it again. */
export interface MemberValue<T> {
  readonly key: string
  readonly value: T
  /** Left out for `application/json`. */
  readonly content_type?: string
  /** Null for never. */
  readonly expires_at: string | null
  /** The number that memcached clients store beside a value; left out if it is 0. */
  readonly flags?: number
}

/** A member in a list with `include: 'keys'`. */
export interface MemberKey {
  readonly key: string
}

export type Include = 'all' | 'values' | 'keys'

/** A member in a list, depending on `include`. */
export type Listed<T, I extends Include = 'all'> = I extends 'keys'
  ? MemberKey
  : I extends 'values'
    ? MemberValue<T>
    : Member<T>

export interface Page<M> {
  readonly members: readonly M[]
  /** With a `delimiter`: the beginnings of keys, up to and including the delimiter, that several members may share. */
  readonly prefixes?: readonly string[]
  /** The `cursor` of the next page; null when this is the last. */
  readonly next: string | null
}

/** The metadata of a read, which comes in the headers of the response. */
export interface Metadata {
  readonly key: string
  readonly revision: number
  /** The first whole second after the last write; null while that is in the future. */
  readonly modified_at: string | null
  /** Null for never. */
  readonly expires_at: string | null
  readonly content_type: string
}

export interface Found<T> extends Metadata {
  readonly value: T
}

/** A value that is not parsed. */
export interface RawValue extends Metadata {
  /** The stored bytes, streamed. Ending the iteration aborts the request. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/** The expiry of an item or an operation: at most one of the three. */
export interface ExpiryFields {
  /** Seconds, a text with a unit (`90s`, `15m`, `12h`, `7d`), or `never`. */
  readonly expire_in?: number | string | undefined
  /** Null is never. */
  readonly expire_at?: Date | string | null | undefined
  /** The same as `expire_at`, under the name that lists use. */
  readonly expires_at?: Date | string | null | undefined
}

/** An item of an import. A listed member can be imported as it is. */
export interface ImportItem<T> extends ExpiryFields {
  readonly key: string
  readonly value: T
  readonly content_type?: string | undefined
  readonly flags?: number | undefined
}

export interface ImportFailure {
  /** The number of the line, or item, from 1. */
  readonly line: number
  readonly code: string
  readonly detail: string
}

export interface ImportSummary {
  readonly stored: number
  /** The first 1,000 bad lines or items. */
  readonly failed: readonly ImportFailure[]
  /** The number of further bad ones. */
  readonly failed_more?: number
}

/** The settings of a collection; null, or false, if not set. */
export interface Settings {
  /** The processes that transform members before they are stored, in this order. */
  readonly processes: readonly string[] | null
  /**
   * The time to live of members that are stored without an expiry, in seconds; can also be set as a text with a unit
   * such as `7d`.
   */
  readonly default_ttl: number | string | null
  /** Whether a read renews a member's expiry by the default time; false by default, and needs a `default_ttl`. */
  readonly sliding: boolean
  /** The number of members that the collection may have. */
  readonly max_members: number | null
  /** The bytes of its keys and values together; can also be set as a text with a unit such as `64MiB`. */
  readonly max_bytes: number | string | null
  /** The bytes that each value may have; can also be set as a text with a unit. */
  readonly max_value_bytes: number | string | null
}

/** Names a member of a collection. */
export interface MemberRef {
  readonly collection: string
  readonly key: string
}

/** A condition of a batch. */
export interface BatchCheck {
  readonly collection: string
  readonly key: string
  /** The expected revision; null: the member must not exist. */
  readonly revision: number | null
}

export interface BatchPut extends ExpiryFields {
  readonly op: 'put'
  readonly collection: string
  readonly key: string
  /** JSON or bytes; under a type that is not JSON a string is stored as text. */
  readonly value: unknown
  readonly content_type?: string | undefined
}

export interface BatchDelete {
  readonly op: 'delete'
  readonly collection: string
  readonly key: string
}

export interface BatchIncrement {
  readonly op: 'increment'
  readonly collection: string
  readonly key: string
  /** JSON pointer to the number; the default, the empty one, is the value itself. */
  readonly path?: string | undefined
  /** 1 is the default. */
  readonly by?: number | undefined
  /** The expiry if the increment creates the member. */
  readonly if_created?: ExpiryFields | undefined
}

/** Changes only the expiry. */
export interface BatchTouch extends ExpiryFields {
  readonly op: 'touch'
  readonly collection: string
  readonly key: string
}

export type BatchOperation = BatchPut | BatchDelete | BatchIncrement | BatchTouch

/** The result of one operation of a batch. */
export type BatchResult<Operation extends BatchOperation = BatchOperation> = Operation extends BatchIncrement
  ? { readonly revision: number; readonly value: number }
  : {
      /** The revision of the member; 0 for a delete or a touch of a member that did not exist. */
      readonly revision: number
    }

/** The results of the operations of a batch, in their order. */
export type BatchResults<Operations extends readonly BatchOperation[]> = {
  readonly [Index in keyof Operations]: BatchResult<Operations[Index]>
}

/** An operation of a batch that is not atomic, which failed; the others do not depend on it. */
export interface FailedOperation {
  readonly error: { readonly code: ErrorCode; readonly detail: string }
  readonly revision?: undefined
  readonly value?: undefined
}

/** The results of a batch that is not atomic. */
export type SeparateResults<Operations extends readonly BatchOperation[]> = {
  readonly [Index in keyof Operations]:
    | (BatchResult<Operations[Index]> & { readonly error?: undefined })
    | FailedOperation
}

/** A member was stored. */
export interface PutChange<T> extends Member<T> {
  readonly type: 'put'
  readonly collection: string
}

/** A member was deleted, or it expired. */
export interface EndChange {
  readonly type: 'delete' | 'expire'
  readonly revision: number
  readonly collection: string
  readonly key: string
  /** With `include: 'all'`. */
  readonly origin?: Origin
}

/** The latest state of a member: a put, or its end. */
export type Change<T> = PutChange<T> | EndChange

export interface ChangesPage<T> {
  readonly changes: readonly Change<T>[]
  /** The `since` of the next page. */
  readonly next: ResumePoint
  /** With `waitMs`: whether nothing followed the page. */
  readonly at_end?: boolean
  /** With `waitMs`: the id of the store among nodes. */
  readonly node?: string
}

/**
 * The feed does not reach back to the resume point: discard everything known, which may be stale. Everything that
 * exists follows, as puts.
 */
export interface WatchReset {
  readonly type: 'reset'
  readonly oldest: ResumePoint
}

/** An event of a watch. A later watch with its resume point continues after it. */
export type WatchEvent<T> = (PutChange<T> | EndChange | WatchReset) & { readonly resumePoint: ResumePoint }

/** A merge patch (RFC 7396): null removes a member, objects are merged, any other value replaces the existing one. */
export type MergePatch<T> = unknown extends T
  ? unknown
  : T extends readonly unknown[]
    ? T
    : T extends object
      ? { readonly [Name in keyof T]?: MergePatch<T[Name]> | null }
      : T

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly from: string; readonly path: string }

/**
 * What a token may do with what it grants. `read`: get, list, watch. `write`: put, patch, delete, import; increments and
 * JSON patches need `read` too. `admin`: settings and drops; on all collections also tokens. `replicate`: exchange
 * changes as a node does.
 */
export type Capability = 'read' | 'write' | 'admin' | 'replicate'

/** A part of the rights of a token. */
export interface Grant {
  /** A name, or a pattern of names with the wildcards `*` and `?`. */
  readonly collections: string
  /** The grant is only for keys that begin with this; without it, for all keys. */
  readonly key_prefix?: string
  readonly can: readonly Capability[]
}

/** A token to be created. */
export interface NewToken {
  /** For people; need not be unique. */
  readonly name: string
  readonly grants: readonly Grant[]
  /** A number of seconds, a text with a unit (`12h`, `90d`); without it, or with `never` or null, it does not expire. */
  readonly expires_in?: number | string | null
  /** Its own rate of requests, in place of that of the server: `50/s`, or `50/s:100` with bursts. */
  readonly rate_limit?: string | null
}

/** A token to be created that has no text: a client certificate stands for it. */
export interface NewCertificateToken extends NewToken {
  /** The subject of the certificates, as RFC 2253 writes it: `CN=app,O=Acme`. */
  readonly subject: string
}

/** A token without its text. */
export interface Token {
  readonly id: string
  readonly name: string
  readonly grants: readonly Grant[]
  /** Of a token for client certificates. */
  readonly subject?: string
  /** Only where it has one of its own. */
  readonly rate_limit?: string
  readonly created_at: string
  /** Null for never. */
  readonly expires_at: string | null
  /** Within an hour; null for never. */
  readonly last_used_at: string | null
}

export interface CreatedToken extends Token {
  /** What a client sends: `kvist_<id>_<secret>`. */
  readonly token: string
}

/** The client as the server knows it. */
export interface Identity {
  /** That of the token; `root` with the server's own token, `anyone` without a token. */
  readonly name: string
  readonly grants: readonly Grant[]
  /** Of a token with a rate of its own. */
  readonly rate_limit?: string
  /** Null for never. */
  readonly expires_at: string | null
}

/** Stands for the client's token in one GET, for what cannot send headers: an EventSource, a link to a download. */
export interface Ticket {
  readonly ticket: string
  readonly expires_at: string
  /** The URL that was asked for, with the ticket. */
  readonly url: string
}

/** What a server is to other nodes. */
export interface NodesStatus {
  /** The id of the server's node. */
  readonly node: string
  /** Versions that were lost because two nodes wrote the same member at once, since the start. */
  readonly conflicts: number
  readonly targets: readonly TargetStatus[]
  /** `leader`: it takes writes, as every server that follows no other. `demoted`: another was promoted in its place. */
  readonly role: 'leader' | 'follower' | 'demoted' | 'cache'
  /** The number of the last promotion that it knows of. */
  readonly term: number
  /** Whom it follows; of a demoted server only `url`; null for a leader. */
  readonly leader: LeaderStatus | { readonly url: string } | null
  readonly followers: readonly FollowerStatus[]
  /** The server looks up on others what it does not hold. */
  readonly lookup?: boolean
  /** Of a cache node: the servers that it is a cache of. */
  readonly origins?: readonly OriginStatus[]
  /** Of a cache node: what it holds, and what it did since its start. */
  readonly cache?: Readonly<Record<string, number>>
}

/** How far a follower is, as it sees it. */
export interface LeaderStatus {
  readonly url: string
  /** `retrying`: the leader does not respond. `circular`: it follows this server in turn. */
  readonly state: 'filling' | 'receiving' | 'current' | 'retrying' | 'circular'
  /** The id of its node; null until it has responded. */
  readonly node: string | null
  /** When the follower last had everything that the leader had, as far as it knows; null for never. */
  readonly last_current_at: string | null
  /** Changes that were received since the start. */
  readonly received: number
  readonly failures: number
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
  /** Changes of the follower that the leader lacked, and got from it since the start. */
  readonly merged?: number
}

/** A follower, as its leader sees it. */
export interface FollowerStatus {
  /** The id of its node. */
  readonly node: string
  /** It had everything when it asked last. */
  readonly is_current: boolean
  readonly last_seen_at: string
}

/** A page of what a follower reads. */
export interface ReplicaPage {
  /** Changes, one a line. */
  readonly lines: string
  /** The id of the leader's node. */
  readonly node: string
  readonly next: string
  readonly at_end: boolean
  readonly term: number
  /** The ids of the nodes that the leader follows itself. */
  readonly leaders: readonly string[]
  /** Which writes of other nodes have come to the leader. */
  readonly knows: string
}

/** What became of a promotion. */
export interface PromoteResult {
  /** The id of the node that is the leader now. */
  readonly node: string
  readonly term: number
  /** Null if there was none, or the server was a leader before. */
  readonly former_leader: {
    readonly url: string
    /** It takes no writes any more. */
    readonly is_demoted: boolean
    readonly failure: string | null
  } | null
  /** How far it was as a follower; null if it was none. */
  readonly before: LeaderStatus | null
}

export interface DemoteResult {
  /** The id of the node that was demoted. */
  readonly node: string
  readonly role: NodesStatus['role']
  readonly term: number
}

/** The state of an origin of a cache node. */
export interface OriginStatus {
  readonly url: string
  /**
   * `followed`: requests go there, and its changes are read. `passing`: they go there, but its changes cannot be read, so that
   * nothing is held. `idle`: they go to another origin. `down`: it does not respond.
   */
  readonly state: 'followed' | 'passing' | 'idle' | 'down'
  /** The id of its node; null unless it is followed. */
  readonly node: string | null
  readonly failures: number
  readonly last_error: { readonly detail: string; readonly at: string } | null
}

/** How far a target of a mirror has come. */
export interface TargetStatus {
  readonly url: string
  /** `filling`: it gets everything for the first time. `retrying`: the last attempt failed. */
  readonly state: 'filling' | 'sending' | 'current' | 'retrying'
  /** The id of its node; null until it has responded. */
  readonly node: string | null
  /** Changes that it lacks; null until it has had everything once since the start. */
  readonly lag_changes: number | null
  /** The age of the oldest change that it lacks. */
  readonly lag_seconds: number
  /** Changes that were sent to it since the start. */
  readonly sent: number
  readonly failures: number
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
  readonly last_success_at: string | null
  /** How often it had less than before, as after it was put back from an older copy. */
  readonly setbacks: number
  /** What was compared and mended; null without `--heal-every`. */
  readonly heal: HealStatus | null
}

/** Comparisons with a target since the start, and what they mended there. */
export interface HealStatus {
  readonly is_running: boolean
  readonly runs: number
  readonly failures: number
  /** Members that were mended. */
  readonly mended: number
  /** Of the last run: members that only one of the two has, and that the other may have deleted and forgotten. */
  readonly undecided: number
  readonly last_run_at: string | null
  /** The last failure; null for none. */
  readonly last_error: { readonly detail: string; readonly at: string } | null
}

/** What a node holds of members that it was asked for, in their order; null for what it does not hold. */
export interface LookedUp {
  /** The id of the node. */
  readonly node: string
  readonly versions: readonly (LookedUpVersion | null)[]
}

export type LookedUpVersion = LookedUpMember | LookedUpTombstone

/** A member. Its value is missing if it is larger than was asked for. */
export interface LookedUpMember {
  readonly type: 'put'
  readonly origin: Origin
  readonly created_at: string
  readonly expires_at: string | null
  readonly content_type: string
  readonly flags: number
  readonly value_bytes: number
  /** JSON as it is stored, which is text. */
  readonly value_text?: string
  readonly value_base64?: string
}

/** What is left of a member that was deleted, or has expired. */
export interface LookedUpTombstone {
  readonly type: 'delete' | 'expire'
  readonly origin: Origin
}

/** A version that was lost because two nodes wrote the same member apart. */
export interface Conflict {
  readonly collection: string
  readonly key: string
  readonly seen_at: string
  readonly lost: LostVersion
  /** The version that stayed. */
  readonly kept: { readonly origin: Origin; readonly written_at: string }
}

/** The lost version. What follows `revision` is missing for a delete, and where it is not known any more. */
export interface LostVersion {
  readonly type: 'put' | 'delete'
  readonly origin: Origin
  readonly written_at: string
  /** The revision that the version had on this server; null if it was not stored there. */
  readonly revision: number | null
  readonly created_at?: string
  readonly expires_at?: string | null
  readonly content_type?: string
  readonly flags?: number
  /** The length of the value. One of more than 16 KiB is not kept. */
  readonly bytes?: number
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** A page of conflicts, the latest lost version first. */
export interface ConflictsPage {
  readonly conflicts: readonly Conflict[]
  /** Conflicts that are not listed, because there were too many; null for a token that does not grant `read` on `*`. */
  readonly unlisted: number | null
  /** The cursor of the next page; null after the last one. */
  readonly next: string | null
}

/** What became of the changes that were sent to a node. */
export interface ReplicationSummary {
  /** The id of the receiving node. */
  readonly node: string
  readonly applied: number
  /** Changes that were not newer than what it has. */
  readonly superseded: number
  readonly failed: readonly ImportFailure[]
  /** Further failures, which are not named. */
  readonly failed_more?: number
  /** How far the receiving node had come before, if the sender said where it comes to; null for not known. */
  readonly position?: string | null
}
