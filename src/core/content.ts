import type { Written } from './engine.ts'
import type { Value } from './member.ts'

/** The content of a member, without its revision, times and origin. */
export interface Content {
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  /** Null for never. */
  readonly expiresAtMs: number | null
}

/** The expiry that a write requests; null if it requests none and the collection's default applies. */
export type AskedExpiry = number | 'never' | null

/** The content that a client sends. */
export interface NewContent extends Omit<Content, 'expiresAtMs'> {
  readonly expiresAtMs: AskedExpiry
}

/** The outcome of a put, with the expiry that was stored. */
export interface Stored extends Written {
  readonly expiresAtMs: number | null
}

/** The outcome of an operation. */
export interface Outcome extends Stored {
  /**
   * False where nothing had to be written: the other fields then describe the member, with revision 0 if there is none.
   */
  readonly isWritten: boolean
  /** The content type of the member; empty if the member does not exist afterwards. */
  readonly contentType: string
  /** The result of an increment, as JSON text; null for other operations. */
  readonly value: string | null
}
