/**
 * The commands of a memcached client, classic and meta (doc/protocol.txt), as data.
 *
 * Numbers are as sent: an exptime is not yet a time (see decide.ts), a cas unique is compared with a revision. A cas
 * unique beyond the safe integers becomes `matchesNothing`.
 */
export type Command =
  | Get
  | StoreCommand
  | Delete
  | Count
  | Touch
  | FlushAll
  | Verbosity
  | Version
  | Stats
  | Quit
  | MetaGet
  | MetaStore
  | MetaDelete
  | MetaCount
  | MetaDebug
  | MetaNoop
  | Refused

/** A cas unique that no revision equals. */
export const matchesNothing = -1

/**
 * The storage commands. `cas` stores only if the revision is still the given one; the others are those of the protocol.
 */
export type StoreMode = 'set' | 'add' | 'replace' | 'append' | 'prepend' | 'cas'

/** `get`, `gets`, `gat`, `gats`: one or more keys, in the order of the request; only `gat` and `gats` may have none. */
export interface Get {
  readonly kind: 'get'
  readonly keys: readonly string[]
  readonly withCas: boolean
  /** The new exptime of `gat` and `gats`; null keeps the current one. */
  readonly touch: number | null
}

/** `set`, `add`, `replace`, `append`, `prepend`, `cas`. */
export interface StoreCommand {
  readonly kind: 'store'
  readonly mode: StoreMode
  readonly key: string
  /** 32 bits. */
  readonly flags: number
  readonly exptime: number
  /** For `cas`; null otherwise. */
  readonly casUnique: number | null
  readonly noreply: boolean
  /**
   * Set once, when the whole data block has arrived, before the command is returned. The parser never reuses the
   * buffer.
   */
  value: Uint8Array
}

interface Delete {
  readonly kind: 'delete'
  readonly key: string
  readonly noreply: boolean
}

/** `incr` (up) and `decr`. */
export interface Count {
  readonly kind: 'count'
  readonly key: string
  readonly up: boolean
  /** 64 bits, unsigned. */
  readonly delta: bigint
  readonly noreply: boolean
}

export interface Touch {
  readonly kind: 'touch'
  readonly key: string
  readonly exptime: number
  readonly noreply: boolean
}

export interface FlushAll {
  readonly kind: 'flushAll'
  /** An exptime at which the collection is emptied. Zero and below mean now. */
  readonly delay: number
  readonly noreply: boolean
}

interface Verbosity {
  readonly kind: 'verbosity'
  readonly noreply: boolean
}

interface Version {
  readonly kind: 'version'
}

/** `stats` with its arguments, if any: `settings`, `items`, `reset`, … */
interface Stats {
  readonly kind: 'stats'
  readonly args: readonly string[]
}

/** Respond to pending commands, then close. The parser reads nothing after it. */
interface Quit {
  readonly kind: 'quit'
}

/** The common fields of meta commands with a key. */
interface Meta {
  readonly key: string
  /** The key as sent, in base64, with the `b` flag; null without it. */
  readonly base64Key: string | null
  /**
   * The flags that appear in the response or affect later ones, as letters in the order of the request: `t` before `T`
   * returns the old time to live, after it the new one.
   */
  readonly returns: string
  /** The token of the `O` flag; null when it was not sent. */
  readonly opaque: string | null
  /** The `q` flag: the usual response is suppressed (which one depends on the command, see meta-responses.ts). */
  readonly quiet: boolean
}

/** `mg`. */
export interface MetaGet extends Meta {
  readonly kind: 'metaGet'
  /** The `v` flag. */
  readonly returnsValue: boolean
  /** False with the `u` flag: the access is not recorded for `h` and `l`. */
  readonly recordsAccess: boolean
  /** The exptime of the `T` flag; null when it was not sent. */
  readonly touch: number | null
  /** The exptime of the `N` flag: creates an empty member on a miss; null when it was not sent. */
  readonly vivify: number | null
  /** The exptime of the `R` flag: a client that finds less time left wins the recache; null when it was not sent. */
  readonly recache: number | null
}

/** `ms`. The mode is `cas` when `C` was sent with a set or a replace, which are then the same. */
export interface MetaStore extends Meta {
  readonly kind: 'metaStore'
  readonly mode: StoreMode
  /** The `F` flag; 32 bits. */
  readonly flags: number
  /** The `T` flag; 0 when it was not sent. */
  readonly exptime: number
  /** The `C` flag; null for none. Append and prepend treat 0 as none, as memcached does; add ignores the flag. */
  readonly casUnique: number | null
  /** The `I` flag with mode `cas`: an older cas unique also stores, and marks the member as stale. */
  readonly invalidate: boolean
  /** The exptime of the `N` flag with append and prepend: creates the member on a miss; null when it was not sent. */
  readonly vivify: number | null
  /** As in `StoreCommand`. */
  value: Uint8Array
}

/** `md`. */
export interface MetaDelete extends Meta {
  readonly kind: 'metaDelete'
  readonly casUnique: number | null
  /** The `I` flag: mark the member as stale instead of deleting it. */
  readonly invalidate: boolean
  /** The `x` flag: keep the member with an empty value and without client flags. */
  readonly removeValue: boolean
  /** The exptime of the `T` flag, used only with `I` or `x`; null when it was not sent. */
  readonly touch: number | null
}

/** `ma`. */
export interface MetaCount extends Meta {
  readonly kind: 'metaCount'
  readonly returnsValue: boolean
  readonly up: boolean
  /** The `D` flag, 1 when it was not sent; 64 bits, unsigned. */
  readonly delta: bigint
  readonly casUnique: number | null
  readonly touch: number | null
  /** The exptime of the `N` flag: creates the member on a miss; null when it was not sent. */
  readonly vivify: number | null
  /** The `J` flag: the initial value of a member created on a miss. */
  readonly initial: bigint
}

/** `me`. */
export interface MetaDebug {
  readonly kind: 'metaDebug'
  readonly key: string
  readonly base64Key: string | null
}

/** `mn`. */
interface MetaNoop {
  readonly kind: 'metaNoop'
}

/** A command that is refused, with its error line. */
export interface Refused {
  readonly kind: 'refused'
  /** `ERROR`, `CLIENT_ERROR …` or `SERVER_ERROR …`, without its line end. */
  readonly response: string
  /** No response is sent: the client asked for no reply, and memcached suppresses this error then. */
  readonly silent: boolean
  /** The rest of the input cannot be parsed: respond, then close. The parser reads nothing after it. */
  readonly closes: boolean
  /**
   * The key of a `set` or `ms` whose value was too large; null for any other refusal. As in memcached its member is
   * deleted, because the client meant to replace it and the old value must not be served any more.
   */
  readonly drops: string | null
}
