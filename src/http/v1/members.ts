import { stampToMs } from '../../core/clock.ts'
import type { Condition, Database, Stored } from '../../core/database.ts'
import type { Maybe, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import type { Member } from '../../core/member.ts'
import { parseHttpDateMs } from '../../core/time.ts'
import { readValue } from '../body.ts'
import { parametersOf } from '../path.ts'
import { problemResponse } from '../problem.ts'
import type { Connection } from '../route.ts'
import { wantsEvents } from '../sse.ts'
import { parseExpiry } from './expiry.ts'
import { memberHeaders } from './member-headers.ts'
import { storedJson } from './shapes.ts'
import { parseWait, waitForNews } from './wait.ts'
import { type Watching, watchMember } from './watch.ts'

/** One member: GET, HEAD, PUT, DELETE. */

/** With `Accept: text/event-stream` a stream of its changes; with `wait`, where the client knows it, its next state. */
export function getMember(
  watching: Watching,
  request: Request,
  ref: MemberRef,
  connection: Connection,
): Maybe<Response> {
  if (wantsEvents(request.headers.get('accept'))) return watchMember(watching, request, ref, connection)
  const found = watching.db.get(ref.collection, ref.key)
  return found instanceof Promise
    ? found.then((member) => answerMember(watching, request, ref, member, connection))
    : answerMember(watching, request, ref, found, connection)
}

function answerMember(
  watching: Watching,
  request: Request,
  ref: MemberRef,
  member: Member | null,
  connection: Connection,
): Maybe<Response> {
  const { headers } = request
  if (!isKnown(headers, member)) return presentState(ref, member)
  const waitMs = headers.has('if-none-match') ? parseWait(request) : null
  if (waitMs === null) return member === null ? presentState(ref, member) : unchanged(member)
  const isStill = (now: Member | null) => isKnown(headers, now)
  return waitForNews(watching, request, ref, connection, waitMs, isStill).then((now) =>
    isStill(now) ? unchanged(now) : presentState(ref, now),
  )
}

function presentState(ref: MemberRef, member: Member | null): Response {
  if (member === null) return problemResponse(notFound(ref))
  return new Response(member.value, memberHeaders(member))
}

function unchanged(member: Member | null): Response {
  const headers = member === null ? { etag: `"${noMember}"` } : memberHeaders(member).headers
  return new Response(null, { status: 304, headers })
}

/**
 * Whether the client says that it knows this state. RFC 9110, 13.1.2 and 13.1.3: If-Modified-Since counts only where
 * If-None-Match is not sent.
 */
function isKnown(headers: Headers, member: Member | null): boolean {
  const ifNoneMatch = headers.get('if-none-match')
  if (ifNoneMatch !== null) {
    const tags = parseTags('If-None-Match', ifNoneMatch)
    if (tags === 'any') return member !== null
    return tags.includes(member?.revision ?? noMember)
  }
  if (member === null) return false
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
  const { value, contentType } = await readValue(request, connection)
  const expiresAtMs = parseExpiry(expire_in, expire_at, Date.now())
  const content = { value, contentType, flags: 0, expiresAtMs }
  const written = await db.put(collection, key, content, condition)
  return storedAnswer(key, written, content)
}

/** Response copies it: one for all costs half a microsecond less than one for each. */
const storedHeaders = new Headers({ 'content-type': 'application/json' })

/** 201 for a new member, 200 for one that was there. */
export function storedAnswer(key: string, stored: Stored, content: { contentType: string }): Response {
  storedHeaders.set('etag', `"${stored.revision}"`)
  return new Response(storedJson(key, stored, content), {
    status: stored.existed ? 200 : 201,
    headers: storedHeaders,
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
/** In place of a revision, says that there is no member. */
const noMember = 0

/** Revisions of a list of entity tags, or `any` for `*` (RFC 9110, 8.8.3). Weak tags match as strong ones do. */
function parseTags(header: string, text: string): number[] | 'any' {
  if (text.trim() === '*') return 'any'
  const tags = /^\s*(?:W\/)?"[\x21\x23-\x7e]*"(?:\s*,\s*(?:W\/)?"[\x21\x23-\x7e]*")*\s*$/
  if (!tags.test(text))
    throw new KvistError('invalid_request', `${header} is not a list of tags such as "12", nor *`)
  return Array.from(text.matchAll(/"([^"]*)"/g), ([, tag = '']) =>
    /^(?:0|[1-9]\d{0,15})$/.test(tag) ? Number(tag) : noRevision,
  )
}
