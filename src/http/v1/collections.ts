import type { Database } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import type { ListQuery, Selection } from '../../core/list.ts'
import type { Member } from '../../core/member.ts'
import { compilePattern } from '../../core/pattern.ts'
import { readValue } from '../body.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import { parametersOf } from '../path.ts'
import type { Connection } from '../route.ts'
import { parseExpiry } from './expiry.ts'
import { parseLimit } from './limit.ts'
import { type Include, memberJson, memberLine, storedJson } from './shapes.ts'

/** Collections: lists, new members under an id of their own, and dropping. */

const json = { 'content-type': 'application/json' }
const selectionParameters = ['prefix', 'filter', 'match', 'from', 'to'] as const
const listParameters = [...selectionParameters, 'order', 'limit', 'cursor', 'include'] as const
type Given = { readonly [N in (typeof listParameters)[number]]?: string }

export async function listCollections(db: Database, request: Request): Promise<Response> {
  parametersOf(request, [])
  const collections = await db.collections()
  return new Response(JSON.stringify({ collections }), { headers: json })
}

export async function listMembers(
  db: Database,
  request: Request,
  collection: string,
  connection: Connection,
): Promise<Response> {
  const given = parametersOf(request, listParameters)
  const include = parseChoice('include', given.include, ['all', 'values', 'keys'] as const)
  const streamed = request.headers.get('accept')?.includes('application/x-ndjson') ?? false
  const query = parseListQuery(given, include, streamed)
  if (streamed) return streamLines(db.all(collection, query), include, query.limit, connection)

  const { members, next } = await db.page(collection, query)
  const cursor = next === null ? null : encodeCursor(next)
  const body = members.map((member) => memberJson(member, include)).join(',')
  return new Response(`{"members":[${body}],"next":${JSON.stringify(cursor)}}`, {
    headers:
      cursor === null ? json : { ...json, link: `<${nextPath(collection, given, cursor)}>; rel="next"` },
  })
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
  connection: Connection,
): Response {
  let left = limit
  async function next(): Promise<Member[] | null> {
    try {
      const part = await parts.next()
      return part.done ? null : part.value
    } catch (error) {
      connection.failed(error)
      throw error
    }
  }
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      let members: Member[] = []
      while (members.length === 0) {
        connection.renew()
        const part = left > 0 ? await next() : null
        if (part === null) return controller.close()
        members = part.slice(0, left)
      }
      left -= members.length
      controller.enqueue(Buffer.from(`${members.map((member) => memberLine(member, include)).join('\n')}\n`))
    },
    async cancel() {
      await parts.return(undefined)
    },
  })
  return new Response(stream, { headers: { 'content-type': 'application/x-ndjson' } })
}

export async function postMember(
  db: Database,
  request: Request,
  collection: string,
  connection: Connection,
): Promise<Response> {
  const { expire_in, expire_at } = parametersOf(request, ['expire_in', 'expire_at'])
  const sent = await readValue(request, connection)
  const content = { ...sent, flags: 0, expiresAtMs: parseExpiry(expire_in, expire_at, Date.now()) }
  const key = Bun.randomUUIDv7()
  const written = await db.put(collection, key, content)
  const location = `/v1/${encodeURIComponent(collection)}/${key}`
  return new Response(storedJson(key, written, content), {
    status: 201,
    headers: { ...json, location, etag: `"${written.revision}"` },
  })
}

export async function dropMembers(
  db: Database,
  request: Request,
  collection: string,
  connection: Connection,
): Promise<Response> {
  const selection = parseSelection(parametersOf(request, selectionParameters))
  const deleted = await db.drop(collection, selection, () => connection.renew())
  return new Response(JSON.stringify({ deleted }), { headers: json })
}

function parseListQuery(given: Given, include: Include, streamed: boolean): ListQuery {
  if (streamed && given.cursor !== undefined) {
    throw new KvistError('invalid_parameter', 'cursor does not go with NDJSON, which streams everything')
  }
  return {
    ...parseSelection(given),
    order: parseChoice('order', given.order, ['asc', 'desc'] as const),
    limit: parseLimit(given.limit, streamed),
    cursor: given.cursor === undefined ? null : decodeCursor(given.cursor),
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
