import type { MaybePromise } from '../core/engine.ts'
import type { Answer, Fields } from './answer.ts'
import type { Operation, Tag } from './operation.ts'
import type { HttpRequest } from './wire/request.ts'

/** What a path that has routes answers, if only with 405. HEAD is not among them: where it has no row, GET answers it. */
export const methods = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof methods)[number] | 'HEAD'

/** What went wrong: the members of a problem document, before they take the shape of an API. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly [member: string]: unknown
}

/** How an API says that something went wrong. */
export type Refuse = (problem: Problem, fields: Fields) => Answer

/** Rows with a shape of errors of their own. */
export interface Api {
  /** What the paths of all of them begin with, and unknown ones too; empty for the root. */
  readonly mount: string
  readonly refuse: Refuse
}

/** A row of the table that serves the requests. HEAD comes with GET. */
export interface Route {
  readonly method: Method
  /** With `:name` for a segment, and `*` at the end for the rest. */
  readonly path: string
  readonly summary: string
  /** Under which the API's document lists it; missing, it goes by the first part of its path. */
  readonly tag?: Tag
  /** What the document says beyond the above; without it the route is there all the same. */
  readonly docs?: Operation
  /** Missing: errors are problem details. */
  readonly api?: Api
  /** Answers without a token too. */
  readonly open?: true
  /**
   * Told of a request that is served within the turn, as others may be that came in with it: what several need can be looked
   * up together. Must not throw, nor do anything that shows.
   */
  readonly foresee?: (request: HttpRequest) => void
  /** May throw a KvistError. */
  readonly handle: (request: HttpRequest, connection: Connection) => MaybePromise<Answer>
}

/** What a handler can ask of the connection that a request came on. */
export interface Connection {
  /** The address of the client. */
  readonly remoteAddress: string
  /** Gives the client its full time again: a sign of life came, or another part of a long answer goes out. */
  renew(): void
  /** Takes away the limit of time, for answers that wait until something happens. */
  hold(): void
  /** Breaks off: the client does not take what it is sent. */
  cut(): void
  /** Tells of an error after the answer has begun. The answer can only be cut then; the log says why. */
  failed(error: unknown): void
  /** Whom to tell that the client has gone before it was answered; null for nobody any more. */
  onGone(listener: (() => void) | null): void
  /** For an answer that may last as long as the server. Throws `closing` when that stops already. */
  keep(answer: Lasting): void
  /** The answer is over. */
  letGo(answer: Lasting): void
}

/** An answer that lasts: the server does not wait for it when it stops. */
export interface Lasting {
  /** Ends it, and lets go of it when all of it was taken. */
  end(): void
}
