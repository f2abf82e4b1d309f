import type { Access } from '../auth/access.ts'
import type { MaybePromise, MemberRef } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import type { BindingHeader } from './binding-headers.ts'
import type { RequestContext } from './context.ts'
import type { OperationDocs, Tag } from './operation.ts'
import type { Fields } from './response.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/**
 * The methods that a path with routes responds to, some only with 405. HEAD is missing: GET serves it where a path has
 * no route for HEAD.
 */
export const methods = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof methods)[number] | 'HEAD'

/** The members of a problem document, before an API formats them. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly [member: string]: unknown
}

/** Formats a problem as the error response of an API. */
export type Refuse = (problem: Problem, fields: Fields) => HttpResponse

/** A group of routes with its own error format. */
export interface Api {
  /** The prefix of all its paths, also of unknown ones; empty for the root. */
  readonly mount: string
  readonly refuse: Refuse
  /** Web pages of any origin may use its routes, also without a token (origin-policy.ts). */
  readonly anyOrigin?: boolean
}

/** One route: method, path, access and handler. GET routes serve HEAD too. */
export interface Route {
  readonly method: Method
  /** `:name` matches one segment, `*` at the end the rest of the path. */
  readonly path: string
  readonly summary: string
  /** The group in the API's document; missing: the first segment of the path. */
  readonly tag?: Tag
  /** Further documentation; missing: the document lists the route without it. */
  readonly docs?: OperationDocs
  /** Missing: errors are problem details. */
  readonly api?: Api
  /** The permission that the client needs. HEAD needs that of GET. */
  readonly access: Access
  /** The binding headers that the handler honours; a request with another is refused (binding-headers.ts). */
  readonly honours?: readonly BindingHeader[]
  /** A page for people, to which links on any web page may lead. */
  readonly isPage?: true
  /** Requests are not counted by rate limits: whether the server works must be known at any time. */
  readonly isUnlimited?: true
  /** May throw a KvistError. */
  readonly handle: (request: HttpRequest, context: RequestContext) => Handled
}

/** The result of a handler: the response, now or later, or the member that it needs first. */
export type Handled = MaybePromise<HttpResponse> | MemberRead

/** A response that needs a member. Members needed in the same tick are read together (core/read-queue.ts). */
export interface MemberRead {
  readonly ref: MemberRef
  /** Returns the response, given the member. May throw a KvistError. */
  respond(member: Member | null): MaybePromise<HttpResponse>
  /** Reads the member alone, when it could not be read with others, and responds. */
  readAlone(): MaybePromise<HttpResponse>
}

export function isMemberRead(handled: Handled): handled is MemberRead {
  return 'ref' in handled
}
