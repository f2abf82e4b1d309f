import { KvistError } from '../../core/errors.ts'
import { valueLength } from '../../core/feed/scope.ts'
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
import { changeJson, changePieces } from './serializers.ts'

/**
 * `GET /v1/_changes`: a page of the feed. A page may be short, even empty, while more changes follow; at the end it is
 * empty, and `next` is the `since` that was sent.
 */
export async function getChanges(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, ['since', 'limit', 'include', ...scopeParameters])
  const limit = parseLimit(given.limit, false)
  const isWhole = given.include !== undefined && parseChoice('include', given.include, ['all']) === 'all'
  const pages = new ResponsePages(context.connection)
  const page = await db.changes(parseScope(given), given.since ?? '', limit, pages).catch(throwWithOldest)
  const changes = page.events.map(({ change }) => change)
  const bytes = changes.reduce((sum, change) => sum + valueLength(change), 0)
  pages.hold(bytes)
  const nodeId = isWhole ? db.nodeId : null
  const after = `],"next":${JSON.stringify(pointValue(page.next))}}`
  const fields = { Vary: 'Accept, Accept-Encoding' }
  if (bytes > pieceChars) {
    const parts = listPieces(before, changes, (change) => changePieces(change, nodeId), `${after}\n`)
    return compressed(request, jsonResponse(streamedPieces(parts, context), 200, fields))
  }
  const body = changes.map((change) => changeJson(change, nodeId)).join(',')
  return compressed(request, jsonTextLine(`${before}${body}${after}`, 200, fields))
}

const before = '{"changes":['

/** Formats the oldest cursor in a `compacted` problem as cursors are formatted elsewhere. */
function throwWithOldest(error: unknown): never {
  if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
  const oldest = pointValue(String(error.extra.oldest))
  throw new KvistError('compacted', error.message, { ...error.extra, oldest }, error.cause)
}
