import type { CallOptions } from './request.ts'
import type { Include, ResumePoint } from './types.ts'

/** What calls can be told. */

/** Under which condition a write is done; it rejects with a KvistPreconditionError when that does not hold. */
export interface ConditionOptions extends CallOptions {
  /** Only over this revision; `any`: only where there is something. */
  readonly ifRevision?: number | 'any' | undefined
  /** Only where there is nothing. */
  readonly create?: boolean | undefined
}

export interface ExpiryOptions {
  /** A number of seconds, or a text with a unit: `90s`, `15m`, `12h`, `7d`. */
  readonly expireIn?: number | string | undefined
  /** RFC 3339. */
  readonly expireAt?: string | undefined
}

export interface AddOptions extends ExpiryOptions, CallOptions {
  /** Of bytes `application/octet-stream` where nothing is said, of everything else `application/json`. */
  readonly contentType?: string | undefined
}

export interface PutOptions extends AddOptions, ConditionOptions {}

/** Without a new expiry the member keeps the one that it has. */
export interface PatchOptions extends ExpiryOptions, ConditionOptions {}

export interface IncrementOptions extends PatchOptions {
  /** JSON pointer to the number; without it the value itself. */
  readonly path?: string | undefined
}

/** Which members of a collection. */
export interface Selection {
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one. */
  readonly filter?: string | undefined
  /** The same wildcards, on any top-level value of the member's JSON. */
  readonly match?: string | undefined
  /** The first key, inclusive. */
  readonly from?: string | undefined
  /** The first key past the end. */
  readonly to?: string | undefined
}

export interface ListOptions<I extends Include = Include> extends Selection, CallOptions {
  /** By the bytes of the key. */
  readonly order?: 'asc' | 'desc' | undefined
  /** What to show of each member: `all` where nothing is said. */
  readonly include?: I | undefined
  /** Of members in all; without it every one. */
  readonly limit?: number | undefined
}

export interface PageOptions<I extends Include = Include> extends ListOptions<I> {
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

/** Of which members one wants to hear. */
export interface ScopeOptions {
  readonly prefix?: string | undefined
  /** Wildcards on the key: `*` is any run of characters, `?` is one. */
  readonly filter?: string | undefined
}

export interface ChangesOptions extends ScopeOptions, CallOptions {
  /** After which point; without it from the beginning. */
  readonly since?: ResumePoint | number | undefined
  /** Of changes of a page. */
  readonly limit?: number | undefined
}
