import { KvistError } from '../../core/errors.ts'
import { isNodeId } from '../../core/origin.ts'
import type { PageMemory } from '../../core/page-memory.ts'
import type { Store } from '../../core/store.ts'
import { formatTime } from '../../core/time.ts'
import { parsedJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine, responseOf } from '../response.ts'
import type { LongLivedResponse } from '../wire/client-connection.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asObject, type JsonFields, refuseOthers } from './fields.ts'
import { waitMsOf } from './wait.ts'

/** A leader and its followers: what followers read, promotion and demotion. */

export interface ReplicaPages {
  page(
    question: {
      readonly node: string
      readonly since: string
      readonly isFilling: boolean
      readonly patience: Promise<unknown> | null
    },
    memory: PageMemory,
  ): Promise<{
    readonly lines: string
    readonly next: string
    readonly isAtEnd: boolean
    readonly knows: string
  }>
  followers(): readonly { readonly node: string; readonly isCurrent: boolean; readonly lastSeenMs: number }[]
}

type Failure = { readonly detail: string; readonly atMs: number } | null

interface FollowerState {
  readonly url: string
  readonly state: string
  readonly node: string | null
  readonly lastCurrentMs: number | null
  readonly received: number
  readonly failures: number
  readonly lastError: Failure
}

export interface LeadershipControl {
  status(): {
    readonly role: string
    readonly term: number
    readonly following: FollowerState | null
    readonly sending: { readonly applied: number } | null
    readonly leader: string | null
  }
  leaders(): readonly string[]
  promote(asked: { readonly url: string | null; readonly force: boolean }): Promise<{
    readonly term: number
    readonly before: FollowerState | null
    readonly former: {
      readonly url: string
      readonly isDemoted: boolean
      readonly failure: string | null
    } | null
  }>
  demote(asked: {
    readonly node: string
    readonly url: string | null
    readonly term: number
    readonly of: string | null
  }): Promise<{ readonly role: string; readonly term: number }>
}

export interface LeaderOptions {
  readonly pages: ReplicaPages
  readonly leadership: LeadershipControl
}

/** `GET /v1/_replicate`: a page of changes as lines, and a last line that says how to go on. */
export async function getReplica(
  db: Store,
  { pages, leadership }: LeaderOptions,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const { since = '', fill, wait } = parametersOf(request, ['since', 'fill', 'wait'])
  const node = request.header('kvist-node')
  if (node === null || !isNodeId(node))
    throw new KvistError('invalid_request', 'the header Kvist-Node is the id of the follower')
  if (fill !== undefined && fill !== 'true')
    throw new KvistError('invalid_parameter', 'fill is true, or left out')
  const waitMs = wait === undefined ? null : waitMsOf(wait)
  const memory = new ResponsePages(context.connection)
  const question = { node, since, isFilling: fill === 'true' }
  const page =
    waitMs === null
      ? await pages.page({ ...question, patience: null }, memory)
      : await waiting(context, waitMs, (patience) => pages.page({ ...question, patience }, memory))
  memory.hold(page.lines.length)
  const end = {
    node: db.nodeId,
    next: page.next,
    at_end: page.isAtEnd,
    term: leadership.status().term,
    leaders: leadership.leaders(),
    knows: page.knows,
  }
  const fields = { 'Content-Type': 'application/x-ndjson' }
  return responseOf(200, fields, `${page.lines}${JSON.stringify(end)}\n`)
}

/** Does work that may wait for a change, until the time is up, the client disconnects or the server stops. */
async function waiting<Result>(
  context: RequestContext,
  waitMs: number,
  work: (patience: Promise<unknown>) => Promise<Result>,
): Promise<Result> {
  const { connection } = context
  const patience = Promise.withResolvers<void>()
  const long: LongLivedResponse = { end: () => patience.resolve() }
  connection.register(long)
  connection.disableTimeout()
  connection.onClose(long.end)
  const timer = setTimeout(long.end, waitMs)
  const startedMs = context.elapsedMs()
  try {
    return await work(patience.promise)
  } finally {
    context.waitedMs += context.elapsedMs() - startedMs
    clearTimeout(timer)
    connection.onClose(null)
    connection.unregister(long)
    connection.resetTimeout()
  }
}

const promoteFields: ReadonlySet<string> = new Set(['url', 'force'])

export async function postPromote(
  db: Store,
  { leadership }: LeaderOptions,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const body = await bodyOf(request, context, promoteFields)
  const { force = false } = body
  if (typeof force !== 'boolean') throw new KvistError('invalid_request', '"force" is true or false')
  const url = parseUrl(body.url)
  context.connection.disableTimeout()
  const { term, before, former } = await leadership.promote({ url, force })
  const was = former && { url: former.url, is_demoted: former.isDemoted, failure: former.failure }
  return jsonTextLine(
    JSON.stringify({ node: db.nodeId, term, former_leader: was, before: before && followingJson(before) }),
  )
}

const demoteFields: ReadonlySet<string> = new Set(['node', 'url', 'term', 'of'])

export async function postDemote(
  db: Store,
  { leadership }: LeaderOptions,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const body = await bodyOf(request, context, demoteFields)
  const { node, term, of = null } = body
  if (typeof node !== 'string' || (of !== null && typeof of !== 'string'))
    throw new KvistError('invalid_request', '"node" and "of" are ids of nodes')
  if (typeof term !== 'number' || !Number.isSafeInteger(term) || term < 1)
    throw new KvistError('invalid_request', '"term" is a number from 1')
  const { role, term: known } = await leadership.demote({ node, url: parseUrl(body.url), term, of })
  return jsonTextLine(JSON.stringify({ node: db.nodeId, role, term: known }))
}

async function bodyOf(
  request: HttpRequest,
  context: RequestContext,
  known: ReadonlySet<string>,
): Promise<JsonFields> {
  const body = asObject(parsedJson(await readBody(request, 4096, context)), 'the body')
  refuseOthers(body, known, 'the body')
  return body
}

function parseUrl(given: unknown): string | null {
  if (given === undefined || given === null) return null
  if (
    typeof given === 'string' &&
    given.length <= 512 &&
    /^https?:\/\//i.test(given) &&
    URL.canParse(given)
  ) {
    const { href, username, password, search, hash } = new URL(given)
    if (username + password + search + hash === '') return href.replace(/\/+$/, '')
  }
  throw new KvistError('invalid_request', '"url" is the http or https URL of a server')
}

/** Returns what `/v1/_nodes` says of the leader and the followers of this node. */
export function leaderStatusJson({ pages, leadership }: LeaderOptions) {
  const { role, term, following, sending, leader } = leadership.status()
  return {
    role,
    term,
    leader:
      following === null
        ? leader === null
          ? null
          : { url: leader }
        : { ...followingJson(following), merged: sending?.applied ?? 0 },
    followers: pages.followers().map(({ node, isCurrent, lastSeenMs }) => ({
      node,
      is_current: isCurrent,
      last_seen_at: formatTime(lastSeenMs),
    })),
  }
}

function followingJson({ url, state, node, lastCurrentMs, received, failures, lastError }: FollowerState) {
  return {
    url,
    state,
    node,
    last_current_at: lastCurrentMs === null ? null : formatTime(lastCurrentMs),
    received,
    failures,
    last_error: lastError === null ? null : { detail: lastError.detail, at: formatTime(lastError.atMs) },
  }
}
