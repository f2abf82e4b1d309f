import type { CallOptions, Fetch } from './request.ts'
import type { Include, ResumePoint } from './types.ts'
import type { Parse } from './values.ts'

/** The options of a server, of a collection, and of calls. An option that does not exist, or with a bad value, is a KvistInputError before anything is sent. */

export interface KvistOptions {
  /** Sent as a bearer token. */
  readonly token?: string | undefined
  /** Overrides the runtime's own. */
  readonly fetch?: Fetch | undefined
  /**
   * How long each try may take until its whole response is there, or the next part of one that is read as it comes.
   * 30,000 is the default, 0 is without a limit.
   */
  readonly timeoutMs?: number | undefined
  /**
   * How often a call that failed is sent again, where that is safe; 4 is the default. Reads, and writes without a
   * condition, are also sent again when there was no response; other writes only when the server has done nothing.
   */
  readonly retries?: number | undefined
}

export interface CollectionOptions<T> {
  /** Called on every value that is read, so that it is what T says. What it throws comes as a KvistValueError. */
  readonly parse?: Parse<T> | undefined
}

/** The condition of a write, which rejects with a KvistPreconditionError when it does not hold. */
export interface ConditionOptions extends CallOptions {
  /**
   * Only over this revision; `any`: only over a member that exists. `undefined` is refused, so that what was meant as a
   * condition does not become a write without one.
   */
  readonly ifRevision?: number | 'any'
  /** Only where there is no such member. */
  readonly create?: boolean | undefined
}

/**
 * At most one of the two. Without either a put takes the default of the collection, or else never expires, and other writes
 * leave the expiry as it is.
 */
export interface ExpiryOptions {
  /** A number of seconds, a text with a unit (`90s`, `15m`, `12h`, `7d`), or `never`. */
  readonly expireIn?: number | string | undefined
  /** A text is RFC 3339; null is never. */
  readonly expireAt?: Date | string | null | undefined
}

/** A touch changes the expiry, so one of the two must be given. */
export type TouchOptions = ConditionOptions &
  (
    | { readonly expireIn: number | string; readonly expireAt?: undefined }
    | { readonly expireAt: Date | string | null; readonly expireIn?: undefined }
  )

export interface AddOptions extends ExpiryOptions, CallOptions {
  /**
   * The default is `application/octet-stream` for bytes and `application/json` for everything else. Under a type that is
   * not JSON a string is stored as that text.
   */
  readonly contentType?: string | undefined
}

export interface PutOptions extends AddOptions, ConditionOptions {}

export interface PutTextOptions extends PutOptions {
  /** `text/plain; charset=utf-8` is the default. */
  readonly contentType?: string | undefined
}

/** Options of `putRaw`, which is given the content type apart. */
export interface PutRawOptions extends ExpiryOptions, ConditionOptions {}

export interface PatchOptions extends ExpiryOptions, ConditionOptions {}

export interface IncrementOptions extends PatchOptions {
  /** JSON pointer to the number; the default, the empty one, is the value itself. */
  readonly path?: string | undefined
  /** The expiry, only when the increment creates the member: a window of fixed length. */
  readonly ifCreated?: ExpiryOptions | undefined
}

/** Which members of a collection. */
export interface Selection {
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one; a backslash before one takes it as it is. */
  readonly filter?: string | undefined
  /** The same wildcards, on any top-level value of the member's JSON. */
  readonly match?: string | undefined
  /** The first key, inclusive. */
  readonly from?: string | undefined
  /** The first key past the end. */
  readonly to?: string | undefined
}

/** A selector that is `undefined` or empty is refused: it would select every member. */
export interface DropOptions extends CallOptions {
  readonly prefix?: string
  readonly filter?: string
  readonly match?: string
  readonly from?: string
  readonly to?: string
}

export interface ListOptions<I extends Include = Include> extends Selection, CallOptions {
  /** By the bytes of the key; `asc` is the default. */
  readonly order?: 'asc' | 'desc' | undefined
  /** What to show of each member; `all` is the default. */
  readonly include?: I | undefined
  /** The most members in all; the default is every one. */
  readonly limit?: number | undefined
}

/** Of a page, or of page after page. */
export interface PagesOptions<I extends Include = Include> extends ListOptions<I> {
  /**
   * Shows one level of keys, as of folders with `/`: keys that have the delimiter after `prefix` are not listed, but their
   * beginnings up to and with it, in `prefixes`.
   */
  readonly delimiter?: string | undefined
}

export interface PageOptions<I extends Include = Include> extends PagesOptions<I> {
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

export interface CollectionsOptions extends CallOptions {
  /** Only names that begin with this. */
  readonly prefix?: string | undefined
}

export interface CollectionsPageOptions extends CollectionsOptions {
  /** 1,000 is the default. */
  readonly limit?: number | undefined
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

/** Which members' changes. */
export interface ScopeOptions {
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one; a backslash before one takes it as it is. */
  readonly filter?: string | undefined
}

export interface ChangesOptions extends ScopeOptions, CallOptions {
  /** The changes after this resume point; the default is the beginning. */
  readonly since?: ResumePoint | number | undefined
  /** The most changes of one page. */
  readonly limit?: number | undefined
  /** `all`: with `flags` and `origin`, so that another store can have members exactly as they are. */
  readonly include?: 'all' | undefined
}

export interface WaitOptions extends CallOptions {
  /** How long to wait for a change: at most 5 minutes, 30,000 by default. */
  readonly waitMs?: number | undefined
}
