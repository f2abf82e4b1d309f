import type { CallOptions, Fetch } from './request.ts'
import type { TlsOptions } from './tls.ts'
import type { Include, ResumePoint } from './types.ts'
import type { Parse } from './values.ts'
import type { Where } from './where.ts'

/**
 * The options of a server, of a collection, and of calls. An unknown option, or a bad value, is a KvistInputError
 * before anything is sent.
 */

export interface KvistOptions {
  /** Sent as a bearer token. */
  readonly token?: string | undefined
  /** Certificates for https, in Bun and Deno; a KvistInputError in Node and browsers (README.md says what they have). */
  readonly tls?: TlsOptions | undefined
  /** Replaces the runtime's `fetch`. */
  readonly fetch?: Fetch | undefined
  /**
   * Time limit in milliseconds for each try until the whole response has arrived or, if it is streamed, until its next
   * part. The default is 30,000; 0 is without a limit.
   */
  readonly timeoutMs?: number | undefined
  /**
   * How often a failed call is sent again, where that is safe; the default is 4. Reads, and writes without a condition,
   * are also sent again if there was no response; other writes only if the server has done nothing.
   */
  readonly retries?: number | undefined
}

export interface CollectionOptions<T> {
  /**
   * Called on every value that is read, to check that it is a T. An error that it throws is wrapped in a
   * KvistValueError.
   */
  readonly parse?: Parse<T> | undefined
}

/** The condition of a write, which rejects with a KvistPreconditionError if the condition fails. */
export interface ConditionOptions extends CallOptions {
  /**
   * Writes only over this revision; `any`: only over an existing member. `undefined` is refused, so that an intended
   * condition does not become an unconditional write.
   */
  readonly ifRevision?: number | 'any'
  /** Writes only if there is no such member. */
  readonly create?: boolean | undefined
}

/** The condition of a write of settings. */
export interface SettingsOptions extends CallOptions {
  /**
   * Replaces only the settings of this revision; null: only if none are stored. Otherwise the call rejects with a
   * KvistPreconditionError. `undefined` is refused, as in `ConditionOptions`.
   */
  readonly ifRevision?: number | null
}

/**
 * At most one of the two may be given. Without either a put uses the default of the collection, or never expires, and
 * other writes leave the expiry unchanged.
 */
export interface ExpiryOptions {
  /** A number of seconds, a text with a unit (`90s`, `15m`, `12h`, `7d`), or `never`. */
  readonly expireIn?: number | string | undefined
  /** A Date or an RFC 3339 text; null is never. */
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
   * The default is `application/octet-stream` for bytes and `application/json` for other values. Under a type that is
   * not JSON a string is stored as text.
   */
  readonly contentType?: string | undefined
}

export interface PutOptions extends AddOptions, ConditionOptions {}

export interface PutTextOptions extends PutOptions {
  /** `text/plain; charset=utf-8` is the default. */
  readonly contentType?: string | undefined
}

/** Options of `putRaw`, whose content type is a parameter. */
export interface PutRawOptions extends ExpiryOptions, ConditionOptions {}

export interface PatchOptions extends ExpiryOptions, ConditionOptions {}

export interface IncrementOptions extends PatchOptions {
  /** JSON pointer to the number; the default, the empty one, is the value itself. */
  readonly path?: string | undefined
  /** The expiry if the increment creates the member, for a window of fixed length. */
  readonly ifCreated?: ExpiryOptions | undefined
}

/** Selects members of a collection. */
export interface Selection {
  /** A filter on the value: the text of one, or what the tag `where` returns. */
  readonly where?: string | Where | undefined
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
  readonly where?: string | Where
  readonly prefix?: string
  readonly filter?: string
  readonly match?: string
  readonly from?: string
  readonly to?: string
}

export interface ListOptions<I extends Include = Include> extends Selection, CallOptions {
  /** By the bytes of the key; `asc` is the default. */
  readonly order?: 'asc' | 'desc' | undefined
  /** The fields to return of each member; the default is `all`. */
  readonly include?: I | undefined
  /** The maximum number of members in total; unlimited by default. */
  readonly limit?: number | undefined
}

/** Options of lists by page. */
export interface PagesOptions<I extends Include = Include> extends ListOptions<I> {
  /**
   * Lists one level of keys, like folders with `/`: keys that contain the delimiter after `prefix` are not listed;
   * their beginnings up to and including it are, in `prefixes`.
   */
  readonly delimiter?: string | undefined
}

export interface PageOptions<I extends Include = Include> extends PagesOptions<I> {
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

export interface HistoryOptions extends CallOptions {
  /** Only versions before this revision: `next` of the page before. */
  readonly before?: number | undefined
  /** 100 is the default, 1,000 the most. */
  readonly limit?: number | undefined
  /** With `values` the versions have their values. */
  readonly include?: 'metadata' | 'values' | undefined
}

export interface SchemaCheckOptions extends CallOptions {
  /** How many members that break the schema are named: at most 1,000; 100 is the default. */
  readonly limit?: number | undefined
  /** `next` of the part before. */
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

export interface ReplicateOptions extends CallOptions {
  /** Whether the server is asked to pass the changes on to its own targets. */
  readonly bridge?: boolean | undefined
  /** What the sender knows of other nodes, as the header `Kvist-Knows` has it. */
  readonly knows?: string | undefined
  /** Where the sender comes to with these changes: an opaque text of letters, digits and `-._~%`. */
  readonly position?: string | undefined
  /** Where the sender believes the server to be; if left out, the server's position is set whatever it was. */
  readonly after?: string | undefined
}

export interface ConflictsOptions extends CallOptions {
  readonly collection?: string | undefined
  /** 100 is the default. A page with large values has fewer. */
  readonly limit?: number | undefined
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

export interface ReplicaOptions extends CallOptions {
  /** Everything is sent, also what the follower once wrote itself: for one that has not had everything. */
  readonly fill?: boolean | undefined
  /** 0 is the default: the server responds at once. */
  readonly waitMs?: number | undefined
}

export interface PromoteOptions extends CallOptions {
  /** The URL of the server itself, as clients reach it. */
  readonly url?: string | undefined
  readonly force?: boolean | undefined
}

/** Selects the members whose changes are read. */
export interface ScopeOptions {
  /** A filter on the value. A put that does not match it is a `leave`. */
  readonly where?: string | Where | undefined
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one; a backslash before one takes it as it is. */
  readonly filter?: string | undefined
}

export interface ChangesOptions extends ScopeOptions, CallOptions {
  /** The changes after this resume point; the default is the beginning, `now` begins with the next change. */
  readonly since?: ResumePoint | number | undefined
  /** The maximum number of changes in one page. */
  readonly limit?: number | undefined
  /** With `all`, changes have `flags` and `origin`, so that another store can replicate members exactly. */
  readonly include?: 'all' | undefined
  /** Milliseconds for which a page that would be empty waits for a change: at most 300,000 (5 minutes). */
  readonly waitMs?: number | undefined
}

export interface WaitOptions extends CallOptions {
  /** Milliseconds to wait for a change: at most 300,000 (5 minutes), 30,000 by default. */
  readonly waitMs?: number | undefined
}
