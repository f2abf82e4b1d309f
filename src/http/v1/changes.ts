import type { Database } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { pageMemory } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { type HttpResponse, jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import { parseChoice } from './choice.ts'
import { parseScope, pointValue, scopeParameters } from './feed-scope.ts'
import { parseLimit } from './limit.ts'
import { changeJson } from './shapes.ts'

/**
 * `GET /v1/_changes`: the feed by page. A page may be short, even empty, while there are more; who is at the end gets
 * none, and for `next` the `since` that was sent.
 */
export async function getChanges(
  db: Database,
  request: HttpRequest,
  { connection }: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, ['since', 'limit', 'include', ...scopeParameters])
  const limit = parseLimit(given.limit, false)
  const isWhole = given.include !== undefined && parseChoice('include', given.include, ['all']) === 'all'
  const pages = pageMemory(connection)
  await pages.begin()
  const page = await db.changes(parseScope(given), given.since ?? '', limit).catch(throwWithOldest)
  const changes = page.events.map(({ change }) => changeJson(change, isWhole ? db.nodeId : null)).join(',')
  const text = `{"changes":[${changes}],"next":${JSON.stringify(pointValue(page.next))}}`
  pages.read(text.length)
  return compressed(request, jsonTextLine(text, 200, { Vary: 'Accept, Accept-Encoding' }))
}

/** In the problem the oldest point looks as points do elsewhere. */
function throwWithOldest(error: unknown): never {
  if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
  const oldest = pointValue(String(error.extra.oldest))
  throw new KvistError('compacted', error.message, { ...error.extra, oldest }, error.cause)
}
