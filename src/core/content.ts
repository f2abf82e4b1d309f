import type { Written } from './engine.ts'
import type { Value } from './member.ts'

/** The stored content of a member, without what the store adds. */
export interface Content {
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  /** Null for never. */
  readonly expiresAtMs: number | null
}

/** The expiry that a write asks for; null when not given: the default of the collection applies. */
export type AskedExpiry = number | 'never' | null

/** The content that a client sends. */
export interface NewContent extends Omit<Content, 'expiresAtMs'> {
  readonly expiresAtMs: AskedExpiry
}

/** The outcome of a put, and the expiry of the member. */
export interface Stored extends Written {
  readonly expiresAtMs: number | null
}

/** The outcome of an operation. */
export interface Outcome extends Stored {
  /** False where nothing had to be written: the rest says what the member is, with 0 as the revision of none. */
  readonly isWritten: boolean
  /** That the member has; empty where none is left. */
  readonly contentType: string
  /** The number that an increment came to, as JSON text; null for all else. */
  readonly value: string | null
}
