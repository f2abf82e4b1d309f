import type { ErrorCode } from './errors.ts'
import type { ExpiryFields } from './types.ts'

/** Batches of operations, and their results. */

/** A condition of a batch. */
export interface BatchCheck {
  readonly collection: string
  readonly key: string
  /** The expected revision; null: the member must not exist. */
  readonly revision: number | null
}

export interface BatchPut extends ExpiryFields {
  readonly op: 'put'
  readonly collection: string
  readonly key: string
  /** JSON or bytes; under a type that is not JSON a string is stored as text. */
  readonly value: unknown
  readonly content_type?: string | undefined
  /** The number that memcached clients store beside a value; 0 is the default. */
  readonly flags?: number | undefined
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
  /** The expiry if the increment creates the member. */
  readonly if_created?: ExpiryFields | undefined
}

/** Changes only the expiry. */
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
      /** The revision of the member; 0 for a delete or a touch of a member that did not exist. */
      readonly revision: number
    }

/** The results of the operations of a batch, in their order. */
export type BatchResults<Operations extends readonly BatchOperation[]> = {
  readonly [Index in keyof Operations]: BatchResult<Operations[Index]>
}

/** An operation of a batch that is not atomic, which failed; the others do not depend on it. */
export interface FailedOperation {
  readonly error: { readonly code: ErrorCode; readonly detail: string }
  readonly revision?: undefined
  readonly value?: undefined
}

/** The results of a batch that is not atomic. */
export type SeparateResults<Operations extends readonly BatchOperation[]> = {
  readonly [Index in keyof Operations]:
    | (BatchResult<Operations[Index]> & { readonly error?: undefined })
    | FailedOperation
}
