import type { Output } from '../../net/output.ts'
import type { Answer, AnswerBody, StreamedBody } from '../answer.ts'
import { lengthLine, mayHaveBody, type StartLines } from './writing.ts'

/**
 * Responses as they are sent (RFC 9112, 4 and 6). `method` is that of the request, for HEAD gets no body;
 * `connectionLine` is the header line that says whether the connection stays open, empty where that goes without saying.
 */

/** A larger body is not joined with its head, which would copy it. */
const maxJoinedBytes = 64 * 1024

export function isStreamed(body: AnswerBody): body is StreamedBody {
  return body !== null && typeof body === 'object' && 'pull' in body
}

/** Sends a response whose body is there whole, or that has none. */
export function sendWhole(
  startLines: StartLines,
  out: Output,
  { status, lines, bodyBytes }: Answer,
  body: string | Uint8Array | null,
  method: string,
  connectionLine: string,
): void {
  const start = `${startLines(status)}${lines}${connectionLine}`
  if (!mayHaveBody(status)) out.text(`${start}\r\n`)
  else if (body === null) out.text(start + lengthLine(0))
  else if (typeof body === 'string') sendText(out, start, body, bodyBytes ?? Buffer.byteLength(body), method)
  else sendBytes(out, start, body, method)
}

/** The text of a response with which a connection ends that has not been asked for anything. */
export function wholeText(startLines: StartLines, { status, lines, body }: Answer): string {
  const text = typeof body === 'string' ? body : ''
  return `${startLines(status)}${lines}Connection: close\r\n${lengthLine(Buffer.byteLength(text))}${text}`
}

/** Sends the head of a response whose body follows in parts: in chunks, or else up to the end of the connection. */
export function sendStreamHead(
  startLines: StartLines,
  out: Output,
  { status, lines }: Answer,
  isChunked: boolean,
  connectionLine: string,
): void {
  const start = `${startLines(status)}${lines}${connectionLine}`
  out.text(isChunked ? `${start}Transfer-Encoding: chunked\r\n\r\n` : `${start}\r\n`)
}

function sendText(out: Output, start: string, body: string, bodyBytes: number, method: string): void {
  const length = lengthLine(bodyBytes)
  if (method === 'HEAD') {
    out.text(start + length)
  } else if (bodyBytes <= maxJoinedBytes) {
    out.text(`${start}${length}${body}`, start.length + length.length + bodyBytes)
  } else {
    out.text(start + length)
    out.bytes(Buffer.from(body))
  }
}

function sendBytes(out: Output, start: string, body: Uint8Array, method: string): void {
  out.text(start + lengthLine(body.length))
  if (method !== 'HEAD' && body.length > 0) out.bytes(body)
}
