/** Tokens, what they grant, and who a client is to the server. */

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
