import type { FeedCursor, MaybePromise } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import type { FeedPage } from '../../core/feed/pages.ts'
import { type Scope, valueLength } from '../../core/feed/scope.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonResponse, jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
import { parseScope, pointValue, scopeParameters } from './feed-scope.ts'
import { parseLimit } from './limit.ts'
import { listPieces, pieceChars, streamedPieces } from './pieces.ts'
import { changeJson, changeKey, changePieces } from './serializers.ts'
import { waitMsOf, waitWithin } from './wait.ts'
import type { Watching } from './watch.ts'

const parameters = ['since', 'limit', 'include', ...scopeParameters, 'wait'] as const

/**
 * `GET /v1/_changes`: a page of the feed. A page may be short, even empty, while more changes follow; at the end it is
 * empty, and `next` is the `since` that was sent. With `wait` a request at the end waits for the next change, and the page
 * says whether it reaches the end.
 */
export async function getChanges(
  watching: Pick<Watching, 'db' | 'counts'>,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, parameters)
  const limit = parseLimit(given.limit, false)
  const include =
    given.include === undefined ? 'values' : parseChoice('include', given.include, ['all', 'keys'])
  const waitMs = given.wait === undefined ? null : waitMsOf(given.wait)
  const scope = parseScope(given)
  const pages = new ResponsePages(context.connection)
  const { db } = watching
  const since = given.since === 'now' ? headOf(db, scope) : (given.since ?? '')
  const read = () => db.changes(scope, since, limit, pages).catch(throwWithOldest)
  let page = await read()
  if (waitMs !== null && isEmpty(page)) {
    await waitWithin(watching, scope, context, waitMs, async () => {
      page = await read()
      return !isEmpty(page)
    })
  }
  // Who follows the feed must notice another store, which might accept the same cursor.
  const known = waitMs === null ? '' : `,"at_end":${page.atEnd},"node":${JSON.stringify(db.nodeId)}`
  const end = `],"next":${JSON.stringify(pointValue(page.next))}${known}}`
  return pageResponse(page, end, include === 'all' ? db.nodeId : null, include === 'keys', pages, context)
}

/** Returns the cursor of a reader that begins with the next change. */
function headOf(db: Store, scope: Scope): FeedCursor {
  const watcher = db.watch(scope, null, () => {})
  const head = watcher.cursor()
  watcher.close()
  return head
}

/** Whether a page is empty because nothing follows it. An empty page before the end says where to continue. */
function isEmpty({ events, atEnd }: FeedPage): boolean {
  return events.length === 0 && atEnd
}

function pageResponse(
  page: FeedPage,
  end: string,
  nodeId: string | null,
  keysOnly: boolean,
  pages: ResponsePages,
  context: RequestContext,
): MaybePromise<HttpResponse> {
  const { request } = context
  const events = [...page.events]
  const fields = { Vary: 'Accept, Accept-Encoding' }
  if (keysOnly) {
    return compressed(request, jsonTextLine(`${before}${events.map(changeKey).join(',')}${end}`, 200, fields))
  }
  const bytes = events.reduce((sum, { change }) => sum + valueLength(change), 0)
  pages.hold(bytes)
  if (bytes > pieceChars) {
    const parts = listPieces(before, events, (event) => changePieces(event, nodeId), `${end}\n`)
    return compressed(request, jsonResponse(streamedPieces(parts, context), 200, fields))
  }
  const body = events.map((event) => changeJson(event, nodeId)).join(',')
  return compressed(request, jsonTextLine(`${before}${body}${end}`, 200, fields))
}

const before = '{"changes":['

/** Formats the oldest cursor in a `compacted` problem as cursors are formatted elsewhere. */
function throwWithOldest(error: unknown): never {
  if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
  const oldest = pointValue(String(error.extra.oldest))
  throw new KvistError('compacted', error.message, { ...error.extra, oldest }, error.cause)
}
