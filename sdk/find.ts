import { KvistError } from './errors.ts'
import { jsonOf } from './json.ts'
import { type ListSource, linesType } from './lists.ts'
import { type Parameters, query, textOf } from './names.ts'
import type { Selection } from './options.ts'
import type { Call, CallOptions } from './request.ts'
import type { Include, Listed, Page } from './types.ts'
import { jsonType, type Parse, revive } from './values.ts'
import type { Field } from './where.ts'

/** Finds members by what is in their values: docs/find.md. */

/** One field or several: `-@.population`, a list of them, or what `field` returns. */
export type Fields = string | Field | readonly (string | Field)[]

export interface FindOptions<I extends Include = Include> extends Selection, CallOptions {
  /** Fields, with a minus descending: `-@.population,@.name`; `asc` and `desc` are by key. */
  readonly order?: Fields | undefined
  /** Only these fields of each value, in an object. */
  readonly fields?: Fields | undefined
  /** What to return of each member; the default is `all`. */
  readonly include?: I | undefined
  /** The maximum number of members in total; unlimited by default. */
  readonly limit?: number | undefined
}

/** Selects what is counted. */
export interface CountOptions extends Selection, CallOptions {}

export interface FindPageOptions<I extends Include = Include> extends FindOptions<I> {
  /** `next` of the page before. */
  readonly cursor?: string | undefined
  /** Also counts all that match, whatever the limit. */
  readonly count?: boolean | undefined
  /** Also says how the page was found. */
  readonly explain?: boolean | undefined
}

/** How a page was found. */
export interface Explanation {
  /** The index that served; null for none. */
  readonly index: string | null
  /** Members that were read. */
  readonly examined: number
  readonly returned: number
  readonly sorted_in_memory: boolean
}

export interface FoundPage<M> extends Page<M> {
  /** False where the page, or its count, ended before all was examined. */
  readonly complete: boolean
  /** Members that match; at least so many, if the page is not complete. */
  readonly count?: number
  readonly explain?: Explanation
}

const pageMembers = 1000
/** Longer ones are sent as a body. */
const maxQueryChars = 4000

export async function findPage<T, I extends Include>(
  source: ListSource<T>,
  collection: string,
  options: FindPageOptions<I>,
): Promise<FoundPage<Listed<T, I>>> {
  const { transport } = source
  const call = findCall(source.path, collection, options)
  const page = await transport.send(call, transport.json<FoundPage<{ readonly key: string }>>)
  // What `fields` selects is not what the parser of the collection expects.
  const parse: Parse<T> | null = options.fields === undefined ? source.parse : null
  return { ...page, members: page.members.map((member) => revive<T, Listed<T, I>>(member, parse)) }
}

/** Sends a search in its URL or, if it is too long for one, in its body. */
function findCall(path: string, collection: string, options: FindPageOptions, accept?: string): Call {
  const { count, explain, cursor } = options
  const parameters = findParameters(options)
  const accepts = accept === undefined ? {} : { accept }
  // That makes it a search, also where nothing is selected.
  const flags =
    accept === undefined ? { count: String(count === true), explain: explain ? 'true' : undefined } : {}
  const inUrl = query({ ...parameters, cursor, ...flags })
  if (inUrl.length <= maxQueryChars) {
    return { method: 'GET', path: path + inUrl, headers: accepts, retry: 'idempotent', options }
  }
  const body = jsonOf({ collection, ...parameters, cursor, count, explain }, 'the query')
  const headers = { 'content-type': jsonType, ...accepts }
  return { method: 'POST', path: '/v1/_query', headers, body, retry: 'idempotent', options }
}

export async function openFound(
  { transport, path }: ListSource<unknown>,
  collection: string,
  options: FindOptions,
): Promise<AsyncIterable<Uint8Array>> {
  return (await transport.open(findCall(path, collection, options, linesType))).chunks
}

export async function explainFound(
  source: ListSource<unknown>,
  collection: string,
  options: FindOptions,
): Promise<Explanation> {
  const { explain } = await findPage(source, collection, { ...options, explain: true })
  if (explain === undefined) throw new KvistError('', 'the server did not say how it found the page')
  return explain
}

/** Returns the parameters of a search, as text. */
export function findParameters(options: FindOptions): Parameters {
  const { prefix, filter, match, from, to, where, order, fields, limit, include } = options
  return {
    ...{ prefix, filter, match, from, to, limit, include },
    where: textOf(where),
    order: joined(order),
    fields: joined(fields),
  }
}

function joined(fields: Fields | undefined): string | undefined {
  if (fields === undefined) return undefined
  return Array.isArray(fields) ? fields.join() : String(fields)
}

export async function* iterateFound<T, I extends Include>(
  source: ListSource<T>,
  collection: string,
  options: FindOptions<I>,
): AsyncGenerator<Listed<T, I>, void, void> {
  let left = options.limit ?? Number.POSITIVE_INFINITY
  let cursor: string | null | undefined
  while (left > 0 && cursor !== null) {
    const limit = Math.min(left, pageMembers)
    const page: FoundPage<Listed<T, I>> = await findPage<T, I>(source, collection, {
      ...options,
      limit,
      cursor,
    })
    yield* page.members
    left -= page.members.length
    cursor = page.next
  }
}

/** Counts what matches. What one request cannot count is counted by pages of keys. */
export async function countFound(
  source: ListSource<unknown>,
  collection: string,
  options: CountOptions,
): Promise<number> {
  const asked = { ...options, limit: 1, include: 'keys', count: true } as const
  const { complete, count } = await findPage(source, collection, asked)
  if (complete && count !== undefined) return count
  let found = 0
  let cursor: string | null | undefined
  while (cursor !== null) {
    const page: FoundPage<unknown> = await findPage(source, collection, {
      ...{ ...options, limit: pageMembers, include: 'keys', order: 'asc' },
      cursor,
    })
    found += page.members.length
    cursor = page.next
  }
  return found
}
