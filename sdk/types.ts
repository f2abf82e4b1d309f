/**
 * The types of kvist's API, with the names of its JSON (snake_case); `/openapi.json` describes the same. Times are RFC
 * 3339. Options of the client have JavaScript's names.
 */

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

/** Names a member of a collection. */
export interface MemberRef {
  readonly collection: string
  readonly key: string
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

/** With `where`: a member was stored that the filter does not select. It may have been one that it selected. */
export interface LeaveChange {
  readonly type: 'leave'
  readonly revision: number
  readonly collection: string
  readonly key: string
  /** With `include: 'all'`. */
  readonly origin?: Origin
}

/** The latest state of a member: a put, or its end; with `where` also that it is not selected. */
export type Change<T> = PutChange<T> | EndChange | LeaveChange

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
export type WatchEvent<T> = (Change<T> | WatchReset) & { readonly resumePoint: ResumePoint }

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
