/**
 * The shapes of kvist's API, with the wire's own names (snake_case); the document at `/openapi.json` describes the same.
 * Times are RFC 3339. What callers pass in options has JavaScript's names.
 */

/** The position of a reader of the feed: opaque, except that 0 is the beginning. */
export type ResumePoint = string

export interface CollectionInfo {
  readonly name: string
  readonly members: number
  /** Of keys and values. */
  readonly bytes: number
}

export interface CollectionsPage {
  readonly collections: readonly CollectionInfo[]
  /** The `cursor` of the next page; null when this is the last. */
  readonly next: string | null
}

/** A member without its value: what a write resolves with. */
export interface Stored {
  readonly key: string
  /** Grows with every change in the store; this member's is that of its last change. */
  readonly revision: number
  readonly created_at: string
  readonly updated_at: string
  /** Null for never. */
  readonly expires_at: string | null
  readonly content_type: string
}

/** What an increment resolves with. */
export interface Incremented extends Stored {
  /** The number that there is now. */
  readonly value: number
}

/** A value is what JSON.parse made of it; bytes that are not JSON are a Uint8Array. */
export interface Member<T> extends Stored {
  readonly value: T
  /** Of a list with `include: 'all'`: what memcached clients keep beside a value. */
  readonly flags?: number
  /** Of a list with `include: 'all'`: where and when it was written, comparable between nodes. */
  readonly origin?: Origin
}

/** The larger clock is newer; of equal ones the larger node. */
export interface Origin {
  readonly node: string
  readonly clock: number
}

/** Of a list with `include: 'values'`: what storing it again takes. */
export interface MemberValue<T> {
  readonly key: string
  readonly value: T
  /** Unless it is `application/json`. */
  readonly content_type?: string
  /** Null for never. */
  readonly expires_at: string | null
  /** What memcached clients keep beside a value, unless it is 0. */
  readonly flags?: number
}

/** Of a list with `include: 'keys'`. */
export interface MemberKey {
  readonly key: string
}

export type Include = 'all' | 'values' | 'keys'

/** A member as a list shows it, by what `include` asked for. */
export type Listed<T, I extends Include = 'all'> = I extends 'keys'
  ? MemberKey
  : I extends 'values'
    ? MemberValue<T>
    : Member<T>

export interface Page<M> {
  readonly members: readonly M[]
  /** With a `delimiter`: the beginnings of keys, up to and with the delimiter, that several members may share. */
  readonly prefixes?: readonly string[]
  /** The `cursor` of the next page; null when this is the last. */
  readonly next: string | null
}

/** What a read of one member gives beside its value; it comes in the headers of the response. */
export interface Metadata {
  readonly key: string
  readonly revision: number
  /** The first whole second after it was last written; null while that lies ahead. */
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
  /** As it was stored, read as it comes. To stop reading ends the request. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/** The expiry of an item or an operation: at most one of the three. */
export interface ExpiryFields {
  /** Seconds, a text with a unit (`90s`, `15m`, `12h`, `7d`), or `never`. */
  readonly expire_in?: number | string | undefined
  /** Null is never. */
  readonly expire_at?: Date | string | null | undefined
  /** The same as `expire_at`, as lists show it. */
  readonly expires_at?: Date | string | null | undefined
}

/** What to store of an import. What a list shows of a member can be given back as it is. */
export interface ImportItem<T> extends ExpiryFields {
  readonly key: string
  readonly value: T
  readonly content_type?: string | undefined
  readonly flags?: number | undefined
}

export interface ImportFailure {
  /** Which of the lines, or items, it is, from 1. */
  readonly line: number
  readonly code: string
  readonly detail: string
}

export interface ImportSummary {
  readonly stored: number
  /** The bad ones; the first 1,000 of them. */
  readonly failed: readonly ImportFailure[]
  /** How many more there were. */
  readonly failed_more?: number
}

/** What is set for a collection; null, or false, where nothing is. */
export interface Settings {
  /** What members go through before they are stored, in this order. */
  readonly processes: readonly string[] | null
  /** For members that are stored without an expiry: seconds, or to be set a text with a unit such as `7d`. */
  readonly default_ttl: number | string | null
  /** A read lets a member that expires live on for the default time. False where nothing is said; needs a `default_ttl`. */
  readonly sliding: boolean
}

/** Which member of which collection. */
export interface MemberRef {
  readonly collection: string
  readonly key: string
}

/** A condition of a batch. */
export interface BatchCheck {
  readonly collection: string
  readonly key: string
  /** Null: the member must not exist. */
  readonly revision: number | null
}

export interface BatchPut extends ExpiryFields {
  readonly op: 'put'
  readonly collection: string
  readonly key: string
  /** JSON or bytes; a string under a type that is not JSON is stored as that text. */
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
  /** The expiry, only when the increment creates the member. */
  readonly if_created?: ExpiryFields | undefined
}

/** Changes the expiry alone. */
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
      /** That of the member; 0 for a delete or a touch of a member that did not exist. */
      readonly revision: number
    }

/** The results of the operations of a batch, in their order. */
export type BatchResults<Operations extends readonly BatchOperation[]> = {
  readonly [Index in keyof Operations]: BatchResult<Operations[Index]>
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
  /** Of changes with `include: 'all'`. */
  readonly origin?: Origin
}

/** The latest state of a member at its revision. */
export type Change<T> = PutChange<T> | EndChange

export interface ChangesPage<T> {
  readonly changes: readonly Change<T>[]
  /** What to give as `since` to go on. */
  readonly next: ResumePoint
}

/**
 * The feed does not reach back to the resume point: what the watcher knows may be stale, and is to be discarded.
 * Everything that exists follows, as puts.
 */
export interface WatchReset {
  readonly type: 'reset'
  readonly oldest: ResumePoint
}

/** A later watch goes on after the resume point of an event. */
export type WatchEvent<T> = (PutChange<T> | EndChange | WatchReset) & { readonly resumePoint: ResumePoint }

/** A merge patch (RFC 7396): what is null goes, objects are merged, everything else replaces what was there. */
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
