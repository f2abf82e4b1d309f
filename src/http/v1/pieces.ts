import type { RequestContext } from '../context.ts'
import { streamed } from '../response.ts'
import type { StreamedBody } from '../wire/response.ts'

/**
 * Produces text in pieces while it is sent. A page of large values as one text would be in memory in addition to its
 * values.
 */

/** The approximate length of a piece; shorter text is produced at once. */
export const pieceChars = 256 * 1024

/** Returns a body made of parts of any length. */
export function streamedPieces(parts: Generator<string>, { connection }: RequestContext): StreamedBody {
  async function next(): Promise<string | null> {
    connection.resetTimeout()
    return nextPiece(parts)
  }
  return streamed(next, () => void parts.return(undefined))
}

/** Returns the next parts, joined up to the length of a piece; null at the end. */
export function nextPiece(parts: Iterator<string>): string | null {
  let text = ''
  while (text.length < pieceChars) {
    const part = parts.next()
    if (part.done) break
    text += part.value
  }
  return text === '' ? null : text
}

/**
 * Yields `before`, the entries separated by commas, and `after`. Removes each entry from the array when it is due, so
 * that it can be collected.
 */
export function* listPieces<Entry>(
  before: string,
  entries: Entry[],
  piecesOf: (entry: Entry) => Iterable<string>,
  after: string,
): Generator<string> {
  yield before
  entries.reverse()
  while (entries.length > 0) {
    yield* piecesOf(entries.pop()!)
    if (entries.length > 0) yield ','
  }
  yield after
}

/** Yields a text in pieces that do not split surrogate pairs. */
export function* slices(text: string): Generator<string> {
  for (let from = 0, to = 0; from < text.length; from = to) {
    to = Math.min(from + pieceChars, text.length)
    const isSplit = to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800
    if (isSplit) to--
    yield text.slice(from, to)
  }
}
