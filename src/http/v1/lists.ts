import { KvistError } from '../../core/errors.ts'
import { compareKeys, parseKey } from '../../core/keys.ts'
import type { ListQuery, Page } from '../../core/list.ts'
import type { Member } from '../../core/member.ts'
import type { PageMemory } from '../../core/page-memory.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { isNamed } from '../entity-tags.ts'
import { isNdjson } from '../media-types.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { type Fields, jsonResponse, responseOf, streamed } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse, StreamedBody } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
import { parseLimit } from './limit.ts'
import { listPieces, nextPiece, pieceChars, streamedPieces } from './pieces.ts'
import { parseSelection, selectionParameters } from './selection.ts'
import {
  type Include,
  joinedMembers,
  linePieces,
  type MemberShape,
  memberLine,
  memberPieces,
} from './serializers.ts'

/** `GET /v1/{collection}`: a page of members, or all of them as NDJSON; with a delimiter, one level of their keys. */

const listParameters = [...selectionParameters, 'delimiter', 'order', 'limit', 'cursor', 'include'] as const
type Given = { readonly [N in (typeof listParameters)[number]]?: string }

export async function listMembers(
  db: Store,
  request: HttpRequest,
  collection: string,
  type: string,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, listParameters)
  const include: Include =
    given.include === undefined
      ? 'metadata'
      : parseChoice('include', given.include, ['all', 'values', 'keys'])
  const shape = { include, nodeId: db.nodeId }
  const isStreamed = isNdjson(type)
  const question = questionOf(collection, given)
  const query = parseListQuery(given, include, isStreamed, question)
  const tag = await tagOf(db, collection, query, isStreamed)
  if (isNamed(request, 'If-None-Match', tag ?? '', false)) return responseOf(304, fieldsOf(tag))
  const fields = fieldsOf(tag)
  const pages = new ResponsePages(context.connection)
  if (isStreamed) {
    const parts = partsOf(db, collection, query, pages)
    const lines = streamLines(parts, query, shape, pages, context)
    return compressed(request, responseOf(200, { 'Content-Type': type, ...fields }, lines))
  }
  const { members, prefixes, next } = await db.page(collection, query, { memory: pages })
  const bytes = bytesOf(members)
  pages.hold(bytes)
  const cursor = next === null ? null : encodeCursor(question, next)
  const level = query.delimiter === null ? '' : `"prefixes":${JSON.stringify(prefixes)},`
  const after = `],${level}"next":${JSON.stringify(cursor)}}`
  const link = cursor === null ? {} : { Link: `<${nextPath(collection, given, cursor)}>; rel="next"` }
  if (bytes > pieceChars) {
    const parts = listPieces(before, members, (member) => memberPieces(member, shape), `${after}\n`)
    return compressed(request, jsonResponse(streamedPieces(parts, context), 200, { ...fields, ...link }))
  }
  const body = joinedMembers(before, members, shape, `${after}\n`)
  return compressed(request, jsonResponse(body, 200, { ...fields, ...link }))
}

const before = '{"members":['

function bytesOf(members: readonly Member[]): number {
  return members.reduce((sum, { value }) => sum + value.length, 0)
}

/**
 * Returns the entity tag of a collection's lists, which changes with every change in the collection; null when there is
 * none. Pages and lines have different tags, because they are different representations. Rejects with `forbidden` if the
 * list is: a stream could only break off.
 */
async function tagOf(
  db: Store,
  collection: string,
  query: ListQuery,
  isStreamed: boolean,
): Promise<string | null> {
  const version = await db.collectionVersion(collection, query)
  return version === null ? null : `${version}${isStreamed ? '-lines' : ''}`
}

/**
 * The tag is weak, because compression changes the bytes of a list. It varies by Accept: other types are lines, or
 * events.
 */
function fieldsOf(tag: string | null): Fields {
  return { Vary: 'Accept, Accept-Encoding', ...(tag === null ? {} : { ETag: `W/"${tag}"` }) }
}

function nextPath(collection: string, given: Given, cursor: string): string {
  const query = new URLSearchParams({ ...given, cursor })
  return `/v1/${encodeURIComponent(collection)}?${query}`
}

type Part = Pick<Page, 'members' | 'prefixes'>

/** Yields all that a query selects, in parts. The caller applies the limit. */
async function* partsOf(
  db: Store,
  collection: string,
  query: ListQuery,
  memory: PageMemory,
): AsyncGenerator<Part> {
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

/** Streams one entry per line, as fast as the client reads. */
function streamLines(
  parts: AsyncGenerator<Part>,
  { order, limit }: ListQuery,
  shape: MemberShape,
  pages: ResponsePages,
  { connection }: RequestContext,
): StreamedBody {
  let left = limit
  /** The pieces of the part that is being sent. */
  let pieces: Iterator<string> | null = null
  async function next(): Promise<string | null> {
    for (;;) {
      connection.resetTimeout()
      const piece = pieces === null ? null : nextPiece(pieces)
      if (piece !== null) return piece
      pages.hold(0)
      if (left <= 0) return null
      const part = await parts.next()
      if (part.done) return null
      pages.hold(bytesOf(part.value.members))
      pieces = partPieces(part.value, order, shape, left)
      left -= part.value.members.length + part.value.prefixes.length
    }
  }
  return streamed(next, () => void parts.return(undefined))
}

/** Yields the lines of a part, at most `left`. A large value is yielded alone, in pieces. */
function* partPieces(part: Part, order: ListQuery['order'], shape: MemberShape, left: number) {
  if (bytesOf(part.members) > pieceChars && part.prefixes.length === 0) {
    for (const member of part.members.slice(0, left)) {
      yield* linePieces(member, shape)
      yield '\n'
    }
    return
  }
  const lines = linesOf(part, order, shape).slice(0, left)
  if (lines.length > 0) yield `${lines.join('\n')}\n`
}

/** Returns the lines of members and prefixes in the order of their keys. */
function linesOf({ members, prefixes }: Part, order: ListQuery['order'], shape: MemberShape): string[] {
  const lines = members.map((member) => memberLine(member, shape))
  if (prefixes.length === 0) return lines
  const sign = order === 'asc' ? 1 : -1
  const entries = [
    ...members.map(({ key }, i) => ({ key, line: lines[i]! })),
    ...prefixes.map((prefix) => ({ key: prefix, line: `{"prefix":${JSON.stringify(prefix)}}` })),
  ]
  return entries.sort((a, b) => sign * compareKeys(a.key, b.key)).map(({ line }) => line)
}

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
