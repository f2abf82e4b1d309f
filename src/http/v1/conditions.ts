import type { Condition } from '../../core/condition.ts'
import { KvistError } from '../../core/errors.ts'
import type { MemberVersion } from '../../core/member.ts'
import { parseHttpDateMs } from '../../core/time.ts'
import type { BindingHeader } from '../binding-headers.ts'
import type { RequestContext } from '../context.ts'
import { parseEntityTags } from '../entity-tags.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import { lastModifiedMs } from './member-headers.ts'

/** Evaluates the conditions of requests for a member (RFC 9110, 13). The entity tag of a member is its revision. */

export const readConditions = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
] as const satisfies readonly BindingHeader[]

/** If-Modified-Since is valid for reads only: a write with it is refused. */
export const writeConditions = [
  'if-match',
  'if-none-match',
  'if-unmodified-since',
] as const satisfies readonly BindingHeader[]

const readBits = headerBits(readConditions)
const writeBits = headerBits(writeConditions)

/**
 * The result of the conditions: send the member, respond 304 because the client knows it, or 412 because a condition
 * failed.
 */
export type ReadVerdict = 'send' | 'unchanged' | 'failed'

/**
 * Evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2. For a missing member the response is 404
 * whatever they are (13.2.1), unless they are malformed.
 */
export function readVerdict(request: HttpRequest, member: MemberVersion | null, nowMs: number): ReadVerdict {
  if ((request.present & readBits) === 0) return 'send'
  const known = isKnown(request, member, nowMs)
  if (!isAsRequired(request, member, nowMs) && member !== null) return 'failed'
  return known ? 'unchanged' : 'send'
}

function isAsRequired(request: HttpRequest, member: MemberVersion | null, nowMs: number): boolean {
  const tags = revisionsOf(request, 'If-Match')
  if (tags !== undefined) return tags === 'any' || tags.includes(member?.revision ?? noRevision)
  const sinceMs = unmodifiedSinceMs(request, nowMs)
  return sinceMs === undefined || member === null || lastModifiedMs(member) <= sinceMs
}

/**
 * Whether the client knows this state. If-Modified-Since counts only without If-None-Match, and only if its date is not
 * in the future: a later write could still fall before that date.
 */
function isKnown(request: HttpRequest, member: MemberVersion | null, nowMs: number): boolean {
  const tags = revisionsOf(request, 'If-None-Match')
  if (tags === 'any') return member !== null
  if (tags !== undefined) return tags.includes(member?.revision ?? noMember)
  if (member === null) return false
  const since = request.header('if-modified-since')
  const sinceMs = since === null ? null : parseHttpDateMs(since, nowMs)
  return sinceMs !== null && sinceMs <= nowMs && lastModifiedMs(member) <= sinceMs
}

/** Returns the condition of a write; undefined when the request has none. */
export function conditionOf(request: HttpRequest, context: RequestContext): Condition | undefined {
  if ((request.present & writeBits) === 0) return undefined
  const ifMatch = revisionsOf(request, 'If-Match')
  const ifNoneMatch = revisionsOf(request, 'If-None-Match')
  // RFC 9110, 13.2.2: If-Match takes precedence.
  const sinceMs = ifMatch === undefined ? unmodifiedSinceMs(request, context.now()) : undefined
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
    // Last-Modified is the first whole second after the write.
    ...(sinceMs === undefined ? {} : { unmodifiedSinceMs: sinceMs - 1 }),
  }
}

/**
 * Returns the date of If-Unmodified-Since. Throws `invalid_request` when it is malformed: ignoring it, as caches may,
 * would let every write through.
 */
function unmodifiedSinceMs(request: HttpRequest, nowMs: number): number | undefined {
  const text = request.header('if-unmodified-since')
  if (text === null) return undefined
  const sinceMs = parseHttpDateMs(text, nowMs)
  if (sinceMs !== null) return sinceMs
  throw new KvistError(
    'invalid_request',
    'If-Unmodified-Since is not a date such as Sun, 06 Nov 1994 08:49:37 GMT',
  )
}

/** The revision for tags that kvist never issued; no member has it. */
const noRevision = -1
/** The revision of a missing member. */
export const noMember = 0

function revisionsOf(
  request: HttpRequest,
  header: 'If-Match' | 'If-None-Match',
): number[] | 'any' | undefined {
  const text = request.header(header.toLowerCase())
  if (text === null) return undefined
  const tags = parseEntityTags(header, text)
  return tags === 'any'
    ? tags
    : tags.map((tag) => (/^(?:0|[1-9]\d{0,15})$/.test(tag) ? Number(tag) : noRevision))
}
