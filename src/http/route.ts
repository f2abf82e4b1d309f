import type { Access } from '../auth/authenticate.ts'
import type { MaybePromise, MemberRef } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import type { BindingHeader } from './binding-headers.ts'
import type { RequestContext } from './context.ts'
import type { OperationDocs, Tag } from './operation.ts'
import type { Fields } from './response.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/** The methods that a path with routes responds to, if only with 405. HEAD is not among them: where a path has no route for it, GET serves it. */
export const methods = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof methods)[number] | 'HEAD'

/** What went wrong: the members of a problem document, before they take the shape of an API. */
export interface Problem {
  readonly status: number
  readonly code: string
  readonly [member: string]: unknown
}

/** How an API says that something went wrong. */
export type Refuse = (problem: Problem, fields: Fields) => HttpResponse

/** Rows with a shape of errors of their own. */
export interface Api {
  /** What the paths of all of them begin with, and unknown ones too; empty for the root. */
  readonly mount: string
  readonly refuse: Refuse
  /** Web pages of any origin may use its routes, also without a token (origin-policy.ts). */
  readonly anyOrigin?: boolean
}

/** One route: method, path, access and handler. GET routes serve HEAD too. */
export interface Route {
  readonly method: Method
  /** With `:name` for a segment, and `*` at the end for the rest. */
  readonly path: string
  readonly summary: string
  /** Under which the API's document lists it; missing, it goes by the first part of its path. */
  readonly tag?: Tag
  /** What the document says beyond the above; without it the route is there all the same. */
  readonly docs?: OperationDocs
  /** Missing: errors are problem details. */
  readonly api?: Api
  /** What its sender must be allowed to do. HEAD needs what GET does. */
  readonly access: Access
  /** The binding headers that the handler honours; a request with another is refused (binding-headers.ts). */
  readonly honours?: readonly BindingHeader[]
  /** A page for people: a link on any web page may lead to it. */
  readonly isPage?: true
  /** May throw a KvistError. */
  readonly handle: (request: HttpRequest, context: RequestContext) => Handled
}

/** What a handler comes to: the response, now or later, or the member that it needs first. */
export type Handled = MaybePromise<HttpResponse> | MemberRead

/** A response that needs a member: those that the requests of a tick need are read together (core/read-queue.ts). */
export interface MemberRead {
  readonly ref: MemberRef
  /** The response, given the member. May throw a KvistError. */
  respond(member: Member | null): MaybePromise<HttpResponse>
  /** Reads the member by itself, where it could not be read with others, and responds. */
  readAlone(): MaybePromise<HttpResponse>
}

export function isMemberRead(handled: Handled): handled is MemberRead {
  return 'ref' in handled
}
