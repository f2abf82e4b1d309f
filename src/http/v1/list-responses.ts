import type { MaybePromise } from '../../core/engine.ts'
import { compareKeys } from '../../core/keys.ts'
import type { ListQuery, Page, Selection } from '../../core/list.ts'
import type { Member } from '../../core/member.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import type { ResponsePages } from '../page-memory.ts'
import { type Fields, jsonResponse, streamed } from '../response.ts'
import type { HttpResponse, StreamedBody } from '../wire/response.ts'
import { listPieces, nextPiece, pieceChars, streamedPieces } from './pieces.ts'
import { joinedMembers, linePieces, type MemberShape, memberLine, memberPieces } from './serializers.ts'

/** Responses with members: pages, and streams of lines. */

/** Returns a page of members; `end` is the text after them. */
export function pageResponse(
  members: Member[],
  end: string,
  shape: MemberShape,
  headers: Fields,
  pages: ResponsePages,
  context: RequestContext,
): MaybePromise<HttpResponse> {
  const bytes = bytesOf(members)
  pages.hold(bytes)
  if (bytes > pieceChars) {
    const parts = listPieces(membersStart, members, (member) => memberPieces(member, shape), `${end}\n`)
    return compressed(context.request, jsonResponse(streamedPieces(parts, context), 200, headers))
  }
  const body = joinedMembers(membersStart, members, shape, `${end}\n`)
  return compressed(context.request, jsonResponse(body, 200, headers))
}

/** The text before the members of a page. */
export const membersStart = '{"members":['

function bytesOf(members: readonly Member[]): number {
  return members.reduce((sum, { value }) => sum + value.length, 0)
}

/**
 * Returns the entity tag of a collection's lists, which changes with every change in the collection; null when there is
 * none. Pages and lines have different tags, because they are different representations. Rejects with `forbidden` if the
 * list is: a stream could only break off.
 */
export async function listTag(
  db: Store,
  collection: string,
  selection: Selection,
  isStreamed: boolean,
): Promise<string | null> {
  const version = await db.collectionVersion(collection, selection)
  return version === null ? null : `${version}${isStreamed ? '-lines' : ''}`
}

/**
 * The tag is weak, because compression changes the bytes of a list. It varies by Accept: other types are lines, or
 * events.
 */
export function listHeaders(tag: string | null): Fields {
  return { Vary: 'Accept, Accept-Encoding', ...(tag === null ? {} : { ETag: `W/"${tag}"` }) }
}

/** Returns the header that links to the next page; none for the last. */
export function linkTo(
  collection: string,
  given: Readonly<Record<string, string>>,
  cursor: string | null,
): Fields {
  if (cursor === null) return {}
  const query = new URLSearchParams({ ...given, cursor })
  return { Link: `</v1/${encodeURIComponent(collection)}?${query}>; rel="next"` }
}

/** A part of a list that is streamed. */
export type ListPart = Pick<Page, 'members' | 'prefixes'>

/** Streams one entry per line, as fast as the client reads. */
export function streamLines(
  parts: AsyncGenerator<ListPart>,
  { order, limit }: Pick<ListQuery, 'order' | 'limit'>,
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
function* partPieces(part: ListPart, order: ListQuery['order'], shape: MemberShape, left: number) {
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
function linesOf({ members, prefixes }: ListPart, order: ListQuery['order'], shape: MemberShape): string[] {
  const lines = members.map((member) => memberLine(member, shape))
  if (prefixes.length === 0) return lines
  const sign = order === 'asc' ? 1 : -1
  const entries = [
    ...members.map(({ key }, i) => ({ key, line: lines[i]! })),
    ...prefixes.map((prefix) => ({ key: prefix, line: `{"prefix":${JSON.stringify(prefix)}}` })),
  ]
  return entries.sort((a, b) => sign * compareKeys(a.key, b.key)).map(({ line }) => line)
}
