/**
 * The shapes of kvist's API, with the wire's own names (snake_case); the document at `/openapi.json` describes the same.
 * Times are RFC 3339. What callers pass in options has JavaScript's names.
 */

/** The position of a reader of the feed: opaque, except that 0 is the beginning. */
export type ResumePoint = string

/** A page of collections, as the server sends it. */
export interface CollectionsPage {
  readonly collections: readonly CollectionInfo[]
  readonly next?: string | null
}

export interface CollectionInfo {
  readonly name: string
  readonly members: number
  /** Of keys and values. */
  readonly bytes: number
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
  /** With `delimiter`: what keys below this level begin with. */
  readonly prefixes?: readonly string[]
  /** The `cursor` of the next page; null when this is the last. */
  readonly next: string | null
}

/** What a read of one member gives beside its value; it comes in the headers of the response. */
export interface Metadata {
  readonly key: string
  readonly revision: number
  /** When it was last written, in whole seconds. */
  readonly modified_at: string
  /** Null for never. */
  readonly expires_at: string | null
  readonly content_type: string
}

export interface Found<T> extends Metadata {
  readonly value: T
}

/** What to store of an import. What a list shows of a member can be given back as it is. */
export interface ImportItem<T> {
  readonly key: string
  readonly value: T
  /** Seconds, or a text with a unit: `90s`, `15m`, `12h`, `7d`. */
  readonly expire_in?: number | string | undefined
  readonly expires_at?: Date | string | null | undefined
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

/** A condition of a batch. */
export interface BatchCheck {
  readonly collection: string
  readonly key: string
  /** Null: the member must not exist. */
  readonly revision: number | null
}

export interface BatchPut {
  readonly op: 'put'
  readonly collection: string
  readonly key: string
  /** JSON; a batch takes no bytes. */
  readonly value: unknown
  readonly expire_in?: number | string | undefined
  readonly expire_at?: Date | string | undefined
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
}

export type BatchOperation = BatchPut | BatchDelete | BatchIncrement

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
