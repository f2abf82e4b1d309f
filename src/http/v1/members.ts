import { stampToMs } from '../../core/clock.ts'
import type { Condition, Database, Stored } from '../../core/database.ts'
import type { MaybePromise, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import type { Member } from '../../core/member.ts'
import { parseHttpDateMs } from '../../core/time.ts'
import { type Answer, answer } from '../answer.ts'
import { readValue, type SentValue } from '../body.ts'
import { memberOf, parametersOf } from '../path.ts'
import { problemAnswer } from '../problem.ts'
import type { Connection } from '../route.ts'
import { wantsEvents } from '../sse.ts'
import type { HttpRequest } from '../wire/request.ts'
import { parseExpiry } from './expiry.ts'
import { memberLines } from './member-headers.ts'
import { storedJson } from './shapes.ts'
import { parseWait, waitForNews } from './wait.ts'
import { type Watching, watchMember } from './watch.ts'

/** One member: GET, HEAD, PUT, DELETE. */

/** A path that names no member is refused when the request is served. */
export function foreseeMember(db: Database, request: HttpRequest): void {
  try {
    db.foresee(memberOf(request))
  } catch {}
}

/** With `Accept: text/event-stream` a stream of its changes; with `wait`, where the client knows it, its next state. */
export function getMember(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  connection: Connection,
): MaybePromise<Answer> {
  if (wantsEvents(request.header('accept'))) return watchMember(watching, request, ref, connection)
  const found = watching.db.get(ref.collection, ref.key)
  return found instanceof Promise
    ? found.then((member) => answerMember(watching, request, ref, member, connection))
    : answerMember(watching, request, ref, found, connection)
}

function answerMember(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  member: Member | null,
  connection: Connection,
): MaybePromise<Answer> {
  if (!isKnown(request, member)) return presentState(ref, member)
  const waitMs = request.header('if-none-match') === null ? null : parseWait(request)
  if (waitMs === null) return member === null ? presentState(ref, member) : unchanged(member)
  const isStill = (now: Member | null) => isKnown(request, now)
  return waitForNews(watching, request, ref, connection, waitMs, isStill).then((now) =>
    isStill(now) ? unchanged(now) : presentState(ref, now),
  )
}

function presentState(ref: MemberRef, member: Member | null): Answer {
  if (member === null) return problemAnswer(notFound(ref))
  return { status: 200, lines: memberLines(member), body: member.value }
}

function unchanged(member: Member | null): Answer {
  if (member === null) return answer(304, { ETag: `"${noMember}"` })
  return { status: 304, lines: memberLines(member), body: null }
}

/**
 * Whether the client says that it knows this state. RFC 9110, 13.1.2 and 13.1.3: If-Modified-Since counts only where
 * If-None-Match is not sent.
 */
function isKnown(request: HttpRequest, member: Member | null): boolean {
  const ifNoneMatch = request.header('if-none-match')
  if (ifNoneMatch !== null) {
    const tags = parseTags('If-None-Match', ifNoneMatch)
    if (tags === 'any') return member !== null
    return tags.includes(member?.revision ?? noMember)
  }
  if (member === null) return false
  const since = request.header('if-modified-since')
  const sinceMs = since === null ? null : parseHttpDateMs(since)
  return sinceMs !== null && stampToMs(member.clock) < sinceMs + 1000
}

export function putMember(
  db: Database,
  request: HttpRequest,
  ref: MemberRef,
  connection: Connection,
): Promise<Answer> {
  const { expire_in, expire_at } = parametersOf(request, ['expire_in', 'expire_at'])
  const condition = conditionOf(request)
  const put = ({ value, contentType }: SentValue) => {
    const expiresAtMs = parseExpiry(expire_in, expire_at, Date.now())
    const content = { value, contentType, flags: 0, expiresAtMs }
    return db
      .put(ref.collection, ref.key, content, condition)
      .then((written) => storedAnswer(ref.key, written, content))
  }
  const sent = readValue(request, connection)
  return sent instanceof Promise ? sent.then(put) : put(sent)
}

/** 201 for a new member, 200 for one that was there. */
export function storedAnswer(key: string, stored: Stored, content: { contentType: string }): Answer {
  const lines = `Content-Type: application/json\r\nETag: "${stored.revision}"\r\n`
  const body = storedJson(key, stored, content)
  // Nothing but the key can be beyond ASCII.
  const bodyBytes = body.length + Buffer.byteLength(key) - key.length
  return { status: stored.existed ? 200 : 201, lines, body, bodyBytes }
}

export async function deleteMember(db: Database, request: HttpRequest, ref: MemberRef): Promise<Answer> {
  parametersOf(request, [])
  const deleted = await db.delete(ref.collection, ref.key, conditionOf(request))
  if (!deleted) throw notFound(ref)
  return answer(204)
}

function notFound({ collection, key }: MemberRef): KvistError {
  return new KvistError('not_found', `there is no member ${JSON.stringify(key)} in ${collection}`)
}

/** What If-Match and If-None-Match ask for; undefined when neither is sent. */
export function conditionOf(request: HttpRequest): Condition | undefined {
  const ifMatch = request.header('if-match')
  const ifNoneMatch = request.header('if-none-match')
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
