import { KvistError } from '../../core/errors.ts'
import { parseFindOrder, parseShownFields, parseWhere } from '../../core/find/expressions.ts'
import type { FindQuery, FoundSummary } from '../../core/find/query.ts'
import type { PageMemory } from '../../core/page-memory.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { isNamed } from '../entity-tags.ts'
import { isNdjson } from '../media-types.ts'
import { ResponsePages } from '../page-memory.ts'
import { type Fields, jsonResponse, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
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
import { parseSelection, selectionParameters } from './selection.ts'
import type { MemberShape } from './serializers.ts'

/**
 * Lists by what is in the values: `GET /v1/{collection}` with a filter on fields, an order by fields, or fields to show;
 * and the same as a body, `POST /v1/_query`.
 */

export const findParameters = [
  ...selectionParameters,
  'order',
  'limit',
  'cursor',
  'include',
  'where',
  'fields',
  'count',
  'explain',
] as const

/** The parameters of a query, as text. */
export type FindGiven = { readonly [N in (typeof findParameters)[number]]?: string }

/** Whether the parameters of a list need the values of its members. */
export function isFind({ where, fields, count, explain, order }: FindGiven): boolean {
  return (
    where !== undefined ||
    fields !== undefined ||
    count !== undefined ||
    explain !== undefined ||
    (order !== undefined && order !== 'asc' && order !== 'desc')
  )
}

/** Responds with a page of what is found, or with all of it as NDJSON. */
export async function findMembers(
  db: Store,
  request: HttpRequest,
  collection: string,
  type: string,
  given: FindGiven,
  context: RequestContext,
): Promise<HttpResponse> {
  const isStreamed = isNdjson(type)
  const question = questionOf(collection, given)
  const { query, shape, isExplained } = parseFind(db, given, isStreamed, question)
  const tag = isExplained ? null : await listTag(db, collection, query, isStreamed)
  const headers = listHeaders(tag)
  if (isNamed(request, 'If-None-Match', tag ?? '', false)) return responseOf(304, headers)
  const pages = new ResponsePages(context.connection)
  if (isStreamed)
    return streamFound(db, collection, query, shape, { 'Content-Type': type, ...headers }, pages, context)

  function around({ next, ...page }: FoundSummary, returned: number): { end: string; headers: Fields } {
    const cursor = next === null ? null : encodeCursor(question, next)
    const link = request.method === 'POST' ? {} : linkTo(collection, given, cursor)
    return { end: endOf(page, cursor, returned, isExplained), headers: { ...headers, ...link } }
  }

  if (shape.include === 'metadata') {
    const writer = new MemberWriter(membersStart)
    const visited = db.visitFound(collection, query, writer)
    if (visited !== null) {
      const { end, headers: all } = around(visited, writer.count)
      pages.hold(writer.valueBytes)
      return compressed(request, jsonResponse(writer.end(`${end}\n`, context.connection), 200, all))
    }
  }
  const page = await db.find(collection, query, { memory: pages })
  const { end, headers: all } = around(page, page.members.length)
  return pageResponse(page.members, end, shape, all, pages, context)
}

/** Responds with lines. The first part is found before the response begins, so that a query that cannot be served is refused. */
async function streamFound(
  db: Store,
  collection: string,
  query: FindQuery,
  shape: MemberShape,
  headers: Fields,
  pages: ResponsePages,
  context: RequestContext,
): Promise<HttpResponse> {
  const parts = foundParts(db, collection, query, pages)
  const first = await parts.next()
  const lines = streamLines(
    withFirst(first, parts),
    { order: 'asc', limit: query.limit },
    shape,
    pages,
    context,
  )
  return compressed(context.request, responseOf(200, headers, lines))
}

async function* foundParts(
  db: Store,
  collection: string,
  query: FindQuery,
  memory: PageMemory,
): AsyncGenerator<ListPart> {
  for await (const members of db.findAll(collection, query, memory)) yield { members, prefixes: [] }
}

async function* withFirst(
  first: IteratorResult<ListPart>,
  parts: AsyncGenerator<ListPart>,
): AsyncGenerator<ListPart> {
  try {
    if (first.done) return
    yield first.value
    yield* parts
  } finally {
    await parts.return(undefined)
  }
}

/** Returns the text after the members of a page. */
function endOf(
  { isComplete, count, explanation }: Omit<FoundSummary, 'next'>,
  next: string | null,
  returned: number,
  isExplained: boolean,
): string {
  const { index, examined, isSortedInMemory } = explanation
  const rest = {
    next,
    complete: isComplete,
    ...(count === null ? {} : { count }),
    ...(isExplained ? { explain: { index, examined, returned, sorted_in_memory: isSortedInMemory } } : {}),
  }
  return `],${JSON.stringify(rest).slice(1)}`
}

/** Returns what a cursor belongs to: all that determines which members are found, and in which order. */
function questionOf(collection: string, given: FindGiven): Question {
  const { prefix = '', filter, match, from, to, where, order } = given
  const optional = [filter, match, from, to, where, order]
  return ['find', collection, prefix, ...optional.map((one) => one ?? null)]
}

interface ParsedFind {
  readonly query: FindQuery
  readonly shape: MemberShape
  readonly isExplained: boolean
}

function parseFind(db: Store, given: FindGiven, isStreamed: boolean, question: Question): ParsedFind {
  if (isStreamed) refuseOfStream(given)
  const include = parseInclude(given.include)
  if (include === 'keys' && given.fields !== undefined) {
    throw new KvistError('invalid_parameter', 'fields does not go with include=keys, which shows no value')
  }
  const query: FindQuery = {
    ...parseSelection(given),
    where: given.where === undefined ? null : parseWhere(given.where),
    order: given.order === undefined ? null : parseFindOrder(given.order),
    fields: given.fields === undefined ? null : parseShownFields(given.fields),
    limit: parseLimit(given.limit, isStreamed),
    cursor: given.cursor === undefined ? null : decodeCursor(question, given.cursor),
    keysOnly: include === 'keys',
    count: parseFlag('count', given.count),
  }
  const shape = { include, nodeId: db.nodeId }
  return { query, shape, isExplained: parseFlag('explain', given.explain) }
}

function parseFlag(name: string, given: string | undefined): boolean {
  return parseChoice(name, given, ['false', 'true']) === 'true'
}

/** Throws for what a stream of lines has no place for. */
function refuseOfStream(given: FindGiven): void {
  for (const name of ['cursor', 'count', 'explain'] as const) {
    if (given[name] === undefined) continue
    throw new KvistError('invalid_parameter', `${name} does not go with NDJSON, which streams members alone`)
  }
}
