import type { Point } from '../../core/archive.ts'
import type { Stored } from '../../core/content.ts'
import { encodedTextOf, withEncodedText } from '../../core/encoded-text.ts'
import type { MaybePromise, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { smallBytes } from '../../core/limits.ts'
import type { Member } from '../../core/member.ts'
import type { Store } from '../../core/store.ts'
import { readValue, type SentValue } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { eventStream, negotiation } from '../media-types.ts'
import { parametersOf } from '../path.ts'
import { problemResponse } from '../problem.ts'
import { inertHeaders, responseOf } from '../response.ts'
import type { Handled, MemberRead } from '../route.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { conditionOf, noMember, type ReadVerdict, readVerdict } from './conditions.ts'
import { expiryParameters, parameterExpiry } from './expiry.ts'
import { archiveFor, pointOf } from './history.ts'
import { memberHeaders } from './member-headers.ts'
import { asksForRange, partOfLargeValue, rangeOfMember } from './ranges.ts'
import { storedJson } from './serializers.ts'
import { isShort, StoredBody } from './stored-body.ts'
import { parseWait, waitForNews } from './wait.ts'
import { type Watching, watchMember } from './watch.ts'

/** Handlers of one member: GET, HEAD, PUT, DELETE. */

const chooseType = negotiation('*', [eventStream])

/**
 * Responds with the member; with `Accept: text/event-stream`, with a stream of its changes; with `wait`, if the client
 * knows its state, with the next one.
 */
export function getMember(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Handled {
  if (chooseType(request.header('accept')) === eventStream)
    return watchMember(watching, request, ref, context)
  const point = pointOf(request)
  if (point !== null) return memberAtPoint(watching, request, ref, point)
  const waitMs = parseWait(request)
  if (request.method === 'HEAD') return headMember(watching, request, ref, waitMs, context)
  if (asksForRange(request) && waitMs === null) return getRange(watching, request, ref, context)
  const get = new MemberGet(watching, request, ref, waitMs, context)
  return watching.values.fits(ref, context.connection) ? get : get.readAlone()
}

/** Responds with what the member was at a point in time. */
async function memberAtPoint(
  { db, archive }: Watching,
  request: HttpRequest,
  ref: MemberRef,
  point: Point,
): Promise<HttpResponse> {
  const { member, timeMs } = await archiveFor(db, archive, ref).at(ref, point)
  const response = stateResponse(request, ref, member, readVerdict(request, member, timeMs), timeMs)
  if (request.method !== 'HEAD' || member === null || response.status !== 200) return response
  return { ...response, body: '', bodyBytes: Buffer.byteLength(member.value) }
}

/** Responds with a part of the value, and reads no more of a large value than that. */
async function getRange(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<HttpResponse> {
  const part = await partOfLargeValue(watching, request, ref, context)
  return part ?? new MemberGet(watching, request, ref, null, context).readAlone()
}

/** A class rather than closures, because one is created for each GET and takes less memory. */
class MemberGet implements MemberRead {
  private readonly watching: Watching
  private readonly request: HttpRequest
  readonly ref: MemberRef
  private readonly waitMs: number | null
  private readonly context: RequestContext

  constructor(
    watching: Watching,
    request: HttpRequest,
    ref: MemberRef,
    waitMs: number | null,
    context: RequestContext,
  ) {
    this.watching = watching
    this.request = request
    this.ref = ref
    this.waitMs = waitMs
    this.context = context
  }

  respond(member: Member | null): MaybePromise<HttpResponse> {
    const isLarge = member !== null && member.value.length > smallBytes
    return this.responseTo(
      isLarge ? this.watching.values.join(this.ref, member, this.context.connection) : member,
    )
  }

  readAlone(): MaybePromise<HttpResponse> {
    const found = this.watching.values.get(this.ref, this.context.connection)
    return found instanceof Promise ? found.then((member) => this.responseTo(member)) : this.responseTo(found)
  }

  private responseTo(member: Member | null): MaybePromise<HttpResponse> {
    return memberResponse(this.watching, this.request, this.ref, member, this.waitMs, this.context)
  }
}

function memberResponse(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  member: Member | null,
  waitMs: number | null,
  context: RequestContext,
): MaybePromise<HttpResponse> {
  const verdict = readVerdict(request, member, context.now())
  const waits = verdict === 'unchanged' && waitMs !== null && request.header('if-none-match') !== null
  if (!waits) return stateResponse(request, ref, member, member === null ? 'send' : verdict, context.now())
  return waitUntilChanged(watching, request, ref, context, waitMs)
    .then(() => watching.values.get(ref, context.connection))
    .then((now) => stateResponse(request, ref, now, readVerdict(request, now, context.now()), context.now()))
}

function waitUntilChanged(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
  waitMs: number,
): Promise<void> {
  return waitForNews(
    watching,
    ref,
    context,
    waitMs,
    (now) => readVerdict(request, now, context.now()) === 'unchanged',
  )
}

/** Responds to HEAD as `getMember` does to GET, without reading the value. */
async function headMember(
  watching: Watching,
  request: HttpRequest,
  ref: MemberRef,
  waitMs: number | null,
  context: RequestContext,
): Promise<HttpResponse> {
  const read = () => watching.db.getHead(ref.collection, ref.key)
  let head = await read()
  if (
    waitMs !== null &&
    request.header('if-none-match') !== null &&
    readVerdict(request, head, context.now()) === 'unchanged'
  ) {
    await waitUntilChanged(watching, request, ref, context, waitMs)
    head = await read()
  }
  const nowMs = context.now()
  if (head === null) return stateResponse(request, ref, null, readVerdict(request, null, nowMs), nowMs)
  const { valueBytes, ...member } = head
  const response = stateResponse(
    request,
    ref,
    { ...member, value: '' },
    readVerdict(request, head, nowMs),
    nowMs,
  )
  return response.status === 200 ? { ...response, bodyBytes: valueBytes } : response
}

function stateResponse(
  request: HttpRequest,
  ref: MemberRef,
  member: Member | null,
  verdict: ReadVerdict,
  nowMs: number,
): HttpResponse {
  if (verdict === 'unchanged') return unchanged(member, nowMs)
  if (verdict === 'send' || member === null) return presentState(request, ref, member, nowMs)
  const { revision } = member
  throw new KvistError('precondition_failed', `the member is at revision ${revision}`, { revision })
}

function presentState(
  request: HttpRequest,
  ref: MemberRef,
  member: Member | null,
  nowMs: number,
): HttpResponse {
  if (member === null) return problemResponse(notFound(ref), { Vary: 'Accept' })
  const part = asksForRange(request) ? rangeOfMember(request, member, nowMs) : null
  if (part !== null) return part
  return { status: 200, headerBlock: memberHeaders(member, nowMs), body: member.value }
}

function unchanged(member: Member | null, nowMs: number): HttpResponse {
  if (member === null) return responseOf(304, { ETag: `"${noMember}"`, Vary: 'Accept' })
  return { status: 304, headerBlock: memberHeaders(member, nowMs), body: null }
}

export function putMember(
  db: Store,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, expiryParameters)
  const condition = conditionOf(request, context)
  const put = (sent: SentValue) => {
    const { contentType } = sent
    const expiresAtMs = parameterExpiry(given, context.now())
    const encoded = encodedTextOf(sent)
    const content =
      encoded === undefined
        ? { value: sent.value, contentType, flags: 0, expiresAtMs }
        : withEncodedText({ contentType, flags: 0, expiresAtMs }, encoded)
    return db.put(ref.collection, ref.key, content, condition).then((written) => {
      context.wrote(written.revision)
      return storedResponse(ref.key, written, content)
    })
  }
  const sent = readValue(request, context)
  return sent instanceof Promise ? sent.then(put) : put(sent)
}

const storedHeaders = `${inertHeaders}Content-Type: application/json\r\nETag: "`

/** Returns 201 for a new member, 200 for an existing one. `value` is the result of an increment, as JSON text. */
export function storedResponse(
  key: string,
  stored: Stored,
  content: { contentType: string },
  value?: string | null,
): HttpResponse {
  const headerBlock = `${storedHeaders}${stored.revision}"\r\n`
  if (value === undefined && isShort(key, stored, content)) {
    return { status: stored.existed ? 200 : 201, headerBlock, body: new StoredBody(key, stored) }
  }
  const body = `${storedJson(key, stored, content, value)}\n`
  // Only the key can have characters beyond ASCII.
  const bodyBytes = body.length + Buffer.byteLength(key) - key.length
  return { status: stored.existed ? 200 : 201, headerBlock, body, bodyBytes }
}

export async function deleteMember(
  db: Store,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const revision = await db.delete(ref.collection, ref.key, conditionOf(request, context))
  if (revision === 0) throw notFound(ref)
  context.wrote(revision)
  return responseOf(204)
}

export function notFound({ collection, key }: MemberRef): KvistError {
  return new KvistError('not_found', `there is no member ${JSON.stringify(key)} in ${collection}`)
}
