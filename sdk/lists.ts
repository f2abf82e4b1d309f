import { linesOf } from './lines.ts'
import { type Parameters, query, textOf } from './names.ts'
import type { ListOptions, PageOptions, PagesOptions } from './options.ts'
import type { Transport } from './request.ts'
import type { Include, Listed, Page } from './types.ts'
import { type Parse, revive } from './values.ts'

/** Lists the members of a collection: by page, or as one stream of lines. */

export interface ListSource<T> {
  readonly transport: Transport
  /** The path of the collection. */
  readonly path: string
  readonly parse: Parse<T> | null
}

export const linesType = 'application/x-ndjson'
const pageMembers = 1000

export async function readPage<T, I extends Include>(
  source: ListSource<T>,
  options: PageOptions<I>,
): Promise<Page<Listed<T, I>>> {
  const { transport } = source
  const { delimiter, cursor } = options
  const path = source.path + query({ ...listParameters(options), delimiter, cursor })
  const page = await transport.send(
    { method: 'GET', path, retry: 'idempotent', options },
    transport.json<Page<{ readonly key: string }>>,
  )
  return { ...page, members: page.members.map((member) => revive<T, Listed<T, I>>(member, source.parse)) }
}

/** Yields pages and fetches each as the iteration proceeds. */
export async function* iteratePages<T, I extends Include>(
  source: ListSource<T>,
  options: PagesOptions<I>,
): AsyncGenerator<Page<Listed<T, I>>, void, void> {
  let left = options.limit ?? Number.POSITIVE_INFINITY
  let cursor: string | null | undefined
  while (left > 0 && cursor !== null) {
    const page = await readPage<T, I>(source, { ...options, limit: Math.min(left, pageMembers), cursor })
    yield page
    left -= page.members.length + (page.prefixes?.length ?? 0)
    cursor = page.next
  }
}

export async function* iterateMembers<T, I extends Include>(
  source: ListSource<T>,
  options: ListOptions<I>,
): AsyncGenerator<Listed<T, I>, void, void> {
  for await (const { members } of iteratePages(source, options)) yield* members
}

export async function* iterateLines<T, I extends Include>(
  source: ListSource<T>,
  options: ListOptions<I>,
): AsyncGenerator<Listed<T, I>, void, void> {
  for await (const line of linesOf(await openLines(source, options)))
    yield revive<T, Listed<T, I>>(JSON.parse(line), source.parse)
}

export async function openLines(
  { transport, path }: Omit<ListSource<unknown>, 'parse'>,
  options: PagesOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { chunks } = await transport.open({
    method: 'GET',
    path: path + query({ ...listParameters(options), delimiter: options.delimiter }),
    headers: { accept: linesType },
    retry: 'idempotent',
    options,
  })
  return chunks
}

function listParameters(options: ListOptions): Parameters {
  const { prefix, filter, match, from, to, where, order, limit, include } = options
  return { prefix, filter, match, from, to, where: textOf(where), order, limit, include }
}
