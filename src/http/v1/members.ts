import { stampToMs } from '../../core/clock.ts'
import type { Condition, Database, Stored } from '../../core/database.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatHttpDate, formatTime, parseHttpDateMs } from '../../core/time.ts'
import { readValue } from '../body.ts'
import { parametersOf } from '../path.ts'
import { problemResponse } from '../problem.ts'
import type { Connection } from '../route.ts'
import { parseExpiry } from './expiry.ts'
import { storedJson } from './shapes.ts'

/** One member: GET, HEAD, PUT, DELETE. */

export function getMember(db: Database, request: Request, ref: MemberRef): Response | Promise<Response> {
  const found = db.get(ref.collection, ref.key)
  return found instanceof Promise
    ? found.then((member) => answerMember(request, ref, member))
    : answerMember(request, ref, found)
}

function answerMember({ headers }: Request, ref: MemberRef, member: Member | null): Response {
  if (member === null) return problemResponse(notFound(ref))
  const answer = answerHeaders(member)
  if (isNotModified(headers, member)) return new Response(null, { status: 304, headers: answer })
  return new Response(member.value, { headers: answer })
}

/**
 * Response copies the headers that it is given, so one object serves for all members that need the same three: setting
 * what differs in it costs half of making another.
 */
const usualHeaders = new Headers({ 'content-type': jsonContentType })
let usualModifiedAt = ''

function answerHeaders(member: Member): Headers {
  const modifiedAt = formatHttpDate(stampToMs(member.clock))
  if (member.contentType === jsonContentType && member.expiresAtMs === null) {
    usualHeaders.set('etag', `"${member.revision}"`)
    if (modifiedAt !== usualModifiedAt) usualHeaders.set('last-modified', modifiedAt)
    usualModifiedAt = modifiedAt
    return usualHeaders
  }
  const answer = new Headers({
    'content-type': member.contentType,
    etag: `"${member.revision}"`,
    'last-modified': modifiedAt,
  })
  if (member.expiresAtMs !== null) answer.set('kvist-expires-at', formatTime(member.expiresAtMs))
  return answer
}

/** RFC 9110, 13.1.2 and 13.1.3: If-Modified-Since counts only where If-None-Match is not sent. */
function isNotModified(headers: Headers, member: Member): boolean {
  const ifNoneMatch = headers.get('if-none-match')
  if (ifNoneMatch !== null) {
    const tags = parseTags('If-None-Match', ifNoneMatch)
    return tags === 'any' || tags.includes(member.revision)
  }
  const since = headers.get('if-modified-since')
  const sinceMs = since === null ? null : parseHttpDateMs(since)
  return sinceMs !== null && stampToMs(member.clock) < sinceMs + 1000
}

export async function putMember(
  db: Database,
  request: Request,
  { collection, key }: MemberRef,
  connection: Connection,
): Promise<Response> {
  const { expire_in, expire_at } = parametersOf(request, ['expire_in', 'expire_at'])
  const condition = conditionOf(request.headers)
  const sent = await readValue(request, connection)
  const expiresAtMs = parseExpiry(expire_in, expire_at, Date.now())
  const content = { ...sent, flags: 0, expiresAtMs }
  const written = await db.put(collection, key, content, condition)
  return storedAnswer(key, written, content)
}

/** 201 for a new member, 200 for one that was there. */
export function storedAnswer(key: string, stored: Stored, content: { contentType: string }): Response {
  return new Response(storedJson(key, stored, content), {
    status: stored.existed ? 200 : 201,
    headers: { 'content-type': 'application/json', etag: `"${stored.revision}"` },
  })
}

export async function deleteMember(db: Database, request: Request, ref: MemberRef): Promise<Response> {
  parametersOf(request, [])
  const deleted = await db.delete(ref.collection, ref.key, conditionOf(request.headers))
  if (!deleted) throw notFound(ref)
  return new Response(null, { status: 204 })
}

function notFound({ collection, key }: MemberRef): KvistError {
  return new KvistError('not_found', `there is no member ${JSON.stringify(key)} in ${collection}`)
}

/** What If-Match and If-None-Match ask for; undefined when neither is sent. */
export function conditionOf(headers: Headers): Condition | undefined {
  const ifMatch = headers.get('if-match')
  const ifNoneMatch = headers.get('if-none-match')
  if (ifMatch === null && ifNoneMatch === null) return undefined
  return {
    ...(ifMatch === null ? {} : { ifMatch: parseTags('If-Match', ifMatch) }),
    ...(ifNoneMatch === null ? {} : { ifNoneMatch: parseTags('If-None-Match', ifNoneMatch) }),
  }
}

/** A tag that kvist never gave names a revision that no member has. */
const noRevision = -1

/** Revisions of a list of entity tags, or `any` for `*` (RFC 9110, 8.8.3). Weak tags match as strong ones do. */
function parseTags(header: string, text: string): number[] | 'any' {
  if (text.trim() === '*') return 'any'
  const tags = /^\s*(?:W\/)?"[\x21\x23-\x7e]*"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e]*")*\s*$/
  if (!tags.test(text))
    throw new KvistError('invalid_request', `${header} is not a list of tags such as "12", nor *`)
  return Array.from(text.matchAll(/"([^"]*)"/g), ([, tag = '']) =>
    /^[1-9]\d{0,15}$/.test(tag) ? Number(tag) : noRevision,
  )
}
