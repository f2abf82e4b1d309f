import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import type { ListQuery, Page } from '../../core/list.ts'
import type { PageMemory } from '../../core/page-memory.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { isNamed } from '../entity-tags.ts'
import { isNdjson } from '../media-types.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { type Fields, jsonResponse, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
import { findMembers, findParameters, isFind } from './find.ts'
import { parseInclude } from './include.ts'
import { parseLimit } from './limit.ts'
import {
  type ListPart,
  linkTo,
  listHeaders,
  listTag,
  membersStart,
  pageResponse,
  streamLines,
} from './list-responses.ts'
import { MemberWriter } from './member-writer.ts'
import { parseSelection } from './selection.ts'
import type { Include } from './serializers.ts'

/** `GET /v1/{collection}`: a page of members, or all of them as NDJSON; with a delimiter, one level of their keys. */

const listParameters = [...findParameters, 'delimiter'] as const
type Given = { readonly [N in (typeof listParameters)[number]]?: string }

export async function listMembers(
  db: Store,
  request: HttpRequest,
  collection: string,
  type: string,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, listParameters)
  if (isFind(given)) {
    const { delimiter, ...query } = given
    if (delimiter !== undefined) {
      throw new KvistError(
        'invalid_parameter',
        'delimiter does not go with where, fields, count, explain or an order of fields',
      )
    }
    return findMembers(db, request, collection, type, query, context)
  }
  const include = parseInclude(given.include)
  const shape = { include, nodeId: db.nodeId }
  const isStreamed = isNdjson(type)
  const question = questionOf(collection, given)
  const query = parseListQuery(given, include, isStreamed, question)
  const tag = await listTag(db, collection, query, isStreamed)
  if (isNamed(request, 'If-None-Match', tag ?? '', false)) return responseOf(304, listHeaders(tag))
  const headers = listHeaders(tag)
  const pages = new ResponsePages(context.connection)
  if (isStreamed) {
    const parts = partsOf(db, collection, query, pages)
    const lines = streamLines(parts, query, shape, pages, context)
    return compressed(request, responseOf(200, { 'Content-Type': type, ...headers }, lines))
  }
  if (include === 'metadata') {
    const visited = visitedPage(db, collection, query, given, question, headers, pages)
    if (visited !== null) return compressed(request, visited)
  }
  const { members, prefixes, next } = await db.page(collection, query, { memory: pages })
  const cursor = next === null ? null : encodeCursor(question, next)
  const level = query.delimiter === null ? '' : `"prefixes":${JSON.stringify(prefixes)},`
  const end = `],${level}"next":${JSON.stringify(cursor)}}`
  const link = linkTo(collection, given, cursor)
  return pageResponse(members, end, shape, { ...headers, ...link }, pages, context)
}

/** Returns the response with a page whose members were copied as bytes; null for a page that has to be read. */
function visitedPage(
  db: Store,
  collection: string,
  query: ListQuery,
  given: Given,
  question: Question,
  headers: Fields,
  pages: ResponsePages,
): HttpResponse | null {
  const writer = new MemberWriter(membersStart)
  const visited = db.visitPage(collection, query, writer)
  if (visited === null) return null
  const cursor = visited.next === null ? null : encodeCursor(question, visited.next)
  pages.hold(writer.valueBytes)
  const body = writer.end(`],"next":${JSON.stringify(cursor)}}\n`, pages.connection)
  return jsonResponse(body, 200, { ...headers, ...linkTo(collection, given, cursor) })
}

/** Yields all that a query selects, in parts. The caller applies the limit. */
async function* partsOf(
  db: Store,
  collection: string,
  query: ListQuery,
  memory: PageMemory,
): AsyncGenerator<ListPart> {
  if (query.delimiter === null) {
    for await (const members of db.all(collection, query, memory)) yield { members, prefixes: [] }
    return
  }
  let cursor: string | null = null
  do {
    const part: ListQuery = { ...query, limit: streamedEntries, cursor }
    const page: Page = await db.page(collection, part, { memory, isPart: true })
    yield page
    cursor = page.next
  } while (cursor !== null)
}

/** The number of entries in one part of a streamed level. */
const streamedEntries = 500

/** Returns what a cursor belongs to: all parameters that determine which entries are listed, and in which order. */
function questionOf(collection: string, given: Given): Question {
  const { prefix = '', filter, match, from, to, order = 'asc', delimiter } = given
  return [
    collection,
    order,
    prefix,
    filter ?? null,
    match ?? null,
    from ?? null,
    to ?? null,
    delimiter ?? null,
  ]
}

function parseListQuery(
  given: Given,
  include: Include,
  streamed: boolean,
  question: Question,
): ListQuery & { readonly delimiter: string | null } {
  if (streamed && given.cursor !== undefined) {
    throw new KvistError('invalid_parameter', 'cursor does not go with NDJSON, which streams everything')
  }
  return {
    ...parseSelection(given),
    order: parseChoice('order', given.order, ['asc', 'desc'] as const),
    limit: parseLimit(given.limit, streamed),
    cursor: given.cursor === undefined ? null : decodeCursor(question, given.cursor),
    keysOnly: include === 'keys',
    delimiter: given.delimiter === undefined ? null : parseDelimiter(given.delimiter),
  }
}

/** Parses a delimiter: any text that a key may contain. */
function parseDelimiter(text: string): string {
  if (text === '') throw new KvistError('invalid_parameter', 'delimiter is empty')
  return parseKey(text)
}
