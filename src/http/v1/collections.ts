import type { Database } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import type { ListQuery, Selection } from '../../core/list.ts'
import type { Member } from '../../core/member.ts'
import { compilePattern } from '../../core/pattern.ts'
import { type Answer, answer, jsonAnswer, streamed } from '../answer.ts'
import { readValue } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { parametersOf } from '../path.ts'
import type { HttpRequest } from '../wire/request.ts'
import { parseExpiry } from './expiry.ts'
import { parseLimit } from './limit.ts'
import { type Include, memberJson, memberLine, storedJson } from './shapes.ts'

/** Collections: lists, new members under an id of their own, and dropping. */

const selectionParameters = ['prefix', 'filter', 'match', 'from', 'to'] as const
const listParameters = [...selectionParameters, 'order', 'limit', 'cursor', 'include'] as const
type Given = { readonly [N in (typeof listParameters)[number]]?: string }

export async function listCollections(db: Database, request: HttpRequest): Promise<Answer> {
  parametersOf(request, [])
  const collections = await db.collections()
  return jsonAnswer(JSON.stringify({ collections }))
}

export async function listMembers(
  db: Database,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<Answer> {
  const given = parametersOf(request, listParameters)
  const include = parseChoice('include', given.include, ['all', 'values', 'keys'] as const)
  const streamed = request.header('accept')?.includes('application/x-ndjson') ?? false
  const question = questionOf(collection, given)
  const query = parseListQuery(given, include, streamed, question)
  if (streamed) return streamLines(db.all(collection, query), include, query.limit, context)

  const { members, next } = await db.page(collection, query)
  const cursor = next === null ? null : encodeCursor(question, next)
  const body = members.map((member) => memberJson(member, include)).join(',')
  const page = `{"members":[${body}],"next":${JSON.stringify(cursor)}}`
  if (cursor === null) return jsonAnswer(page)
  return jsonAnswer(page, 200, { Link: `<${nextPath(collection, given, cursor)}>; rel="next"` })
}

function nextPath(collection: string, given: Given, cursor: string): string {
  const query = new URLSearchParams({ ...given, cursor })
  return `/v1/${encodeURIComponent(collection)}?${query}`
}

/** Members a line each, as fast as the client reads them and no faster. */
function streamLines(
  parts: AsyncGenerator<Member[]>,
  include: Include,
  limit: number,
  context: RequestContext,
): Answer {
  let left = limit
  async function next(): Promise<string | null> {
    while (left > 0) {
      context.connection.resetTimeout()
      const part = await parts.next()
      if (part.done) return null
      const members = part.value.slice(0, left)
      left -= members.length
      if (members.length > 0) return `${members.map((member) => memberLine(member, include)).join('\n')}\n`
    }
    return null
  }
  const body = streamed(next, () => void parts.return(undefined))
  return answer(200, { 'Content-Type': 'application/x-ndjson' }, body)
}

export async function postMember(
  db: Database,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<Answer> {
  const { expire_in, expire_at } = parametersOf(request, ['expire_in', 'expire_at'])
  const sent = await readValue(request, context)
  const content = { ...sent, flags: 0, expiresAtMs: parseExpiry(expire_in, expire_at, context.now()) }
  const key = Bun.randomUUIDv7()
  const written = await db.put(collection, key, content)
  const location = `/v1/${encodeURIComponent(collection)}/${key}`
  return jsonAnswer(storedJson(key, written, content), 201, {
    Location: location,
    ETag: `"${written.revision}"`,
  })
}

export async function dropMembers(
  db: Database,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<Answer> {
  const given = parametersOf(request, selectionParameters)
  // An unset variable of a script must not drop everything.
  const empty = selectionParameters.find((name) => given[name] === '')
  if (empty !== undefined) {
    throw new KvistError('invalid_parameter', `${empty} is empty; leave it out to drop without it`)
  }
  const selection = parseSelection(given)
  const deleted = await db.drop(collection, selection, () => context.connection.resetTimeout())
  return jsonAnswer(JSON.stringify({ deleted }))
}

/** What a cursor belongs to: all that decides which members there are, and in which order. */
function questionOf(
  collection: string,
  { prefix = '', filter, match, from, to, order = 'asc' }: Given,
): Question {
  return [collection, order, prefix, filter ?? null, match ?? null, from ?? null, to ?? null]
}

function parseListQuery(given: Given, include: Include, streamed: boolean, question: Question): ListQuery {
  if (streamed && given.cursor !== undefined) {
    throw new KvistError('invalid_parameter', 'cursor does not go with NDJSON, which streams everything')
  }
  return {
    ...parseSelection(given),
    order: parseChoice('order', given.order, ['asc', 'desc'] as const),
    limit: parseLimit(given.limit, streamed),
    cursor: given.cursor === undefined ? null : decodeCursor(question, given.cursor),
    keysOnly: include === 'keys',
  }
}

function parseSelection({ prefix = '', filter, match, from, to }: Given): Selection {
  return {
    prefix: prefix === '' ? '' : parseKey(prefix),
    filter: filter === undefined ? null : compilePattern(filter),
    match: match === undefined ? null : compilePattern(match),
    from: from === undefined ? null : parseKey(from),
    to: to === undefined ? null : parseKey(to),
  }
}

function parseChoice<Choice extends string>(
  name: string,
  given: string | undefined,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  if (given === undefined) return choices[0]
  const chosen = choices.find((choice) => choice === given)
  if (chosen === undefined)
    throw new KvistError('invalid_parameter', `${name} is one of ${choices.join(', ')}`)
  return chosen
}
