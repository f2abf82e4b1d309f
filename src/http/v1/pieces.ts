import type { RequestContext } from '../context.ts'
import { streamed } from '../response.ts'
import type { StreamedBody } from '../wire/response.ts'

/**
 * Text in pieces that are made while they are sent. A page of large values as one text would be in memory beside the values
 * that it is made from.
 */

/** The length of a piece, about; what is no longer is made at once. */
export const pieceChars = 256 * 1024

/** A body of parts of any lengths. */
export function streamedPieces(parts: Generator<string>, { connection }: RequestContext): StreamedBody {
  async function next(): Promise<string | null> {
    connection.resetTimeout()
    return nextPiece(parts)
  }
  return streamed(next, () => void parts.return(undefined))
}

/** Parts up to the length of a piece; null when there are none left. */
export function nextPiece(parts: Iterator<string>): string | null {
  let text = ''
  while (text.length < pieceChars) {
    const part = parts.next()
    if (part.done) break
    text += part.value
  }
  return text === '' ? null : text
}

/** Entries between what comes before and after them, separated by commas. Each is taken out of the array when it is due. */
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

/** A text cut into pieces, none of them in the middle of a character. */
export function* slices(text: string): Generator<string> {
  for (let from = 0, to = 0; from < text.length; from = to) {
    to = Math.min(from + pieceChars, text.length)
    const isSplit = to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800
    if (isSplit) to--
    yield text.slice(from, to)
  }
}
