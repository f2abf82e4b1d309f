import type { Condition } from '../../core/condition.ts'
import { KvistError } from '../../core/errors.ts'
import type { Member } from '../../core/member.ts'
import { parseHttpDateMs } from '../../core/time.ts'
import type { BindingHeader } from '../binding-headers.ts'
import type { RequestContext } from '../context.ts'
import { parseEntityTags } from '../entity-tags.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import { lastModifiedMs } from './member-headers.ts'

/** Conditions of requests for a member (RFC 9110, 13). Its entity tag is its revision. */

export const readConditions = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
] as const satisfies readonly BindingHeader[]

/** If-Modified-Since is for reading alone: with anything else it is refused. */
export const writeConditions = [
  'if-match',
  'if-none-match',
  'if-unmodified-since',
] as const satisfies readonly BindingHeader[]

const readBits = headerBits(readConditions)
const writeBits = headerBits(writeConditions)

/** What conditions ask about. */
export type MemberVersion = Pick<Member, 'revision' | 'clock'>

/** What to respond with: the member as it is, that it is as the client knows it, or that a condition does not hold. */
export type ReadVerdict = 'send' | 'unchanged' | 'failed'

/**
 * Evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2. Where there is no member the response is 404
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
 * Whether the client knows this state. If-Modified-Since counts only where If-None-Match is not sent, and its date has
 * come: until then a write can still follow that the date would cover.
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

/** What must hold of a member for a write to go ahead; undefined when the request says nothing. */
export function conditionOf(request: HttpRequest, context: RequestContext): Condition | undefined {
  if ((request.present & writeBits) === 0) return undefined
  const ifMatch = revisionsOf(request, 'If-Match')
  const ifNoneMatch = revisionsOf(request, 'If-None-Match')
  // RFC 9110, 13.2.2: If-Match goes before it.
  const sinceMs = ifMatch === undefined ? unmodifiedSinceMs(request, context.now()) : undefined
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
    // Last-Modified is the first whole second after the write.
    ...(sinceMs === undefined ? {} : { unmodifiedSinceMs: sinceMs - 1 }),
  }
}

/** Throws where the date is none: ignored, as a cache may do with it, it would let every write through. */
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

/** A tag that kvist never gave names a revision that no member has. */
const noRevision = -1
/** In place of a revision, says that there is no member. */
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
