import type { Output } from '../../net/output.ts'
import type { HttpResponse, ResponseBody, StreamedBody } from './response.ts'
import { lengthLine, mayHaveBody, type StartLines } from './writing.ts'

/**
 * Writes responses (RFC 9112, 4 and 6). `method` is that of the request, because HEAD gets no body; `lastLines` are the
 * header lines that depend on the connection, such as Connection, and empty where none is needed.
 */

/** A body that is sent at once. */
type WholeBody = Exclude<ResponseBody, StreamedBody>

export function isStreamed(body: ResponseBody): body is StreamedBody {
  return body !== null && typeof body === 'object' && 'pull' in body
}

/** Sends a response with its whole body, or without one. */
export function sendWhole(
  startLines: StartLines,
  out: Output,
  { status, headerBlock, bodyBytes }: HttpResponse,
  body: WholeBody,
  method: string,
  lastLines: string,
): void {
  // Written part by part: joining them into one string would double the cost.
  out.prefix(startLines(status))
  out.prefix(headerBlock)
  if (lastLines !== '') out.prefix(lastLines)
  if (!mayHaveBody(status)) {
    out.text('\r\n')
    return
  }
  const length = bodyBytes ?? bytesOf(body)
  if (length === 0 || body === null || method === 'HEAD') {
    out.text(lengthLine(length))
    return
  }
  out.prefix(lengthLine(length))
  if (typeof body === 'string') out.text(body, length)
  else if (body instanceof Uint8Array) out.value(body)
  else out.encoded(body)
}

function bytesOf(body: WholeBody): number {
  if (body === null) return 0
  if (typeof body === 'string') return Buffer.byteLength(body)
  return body instanceof Uint8Array ? body.length : body.bytes
}

/** Returns the text of a response to a connection that is closed before it sent a request. */
export function wholeText(startLines: StartLines, { status, headerBlock, body }: HttpResponse): string {
  const text = typeof body === 'string' ? body : ''
  return `${startLines(status)}${headerBlock}Connection: close\r\n${lengthLine(Buffer.byteLength(text))}${text}`
}

/** Sends the head of a streamed response. Its body is chunked, or ends with the connection. */
export function sendStreamHead(
  startLines: StartLines,
  out: Output,
  { status, headerBlock }: HttpResponse,
  isChunked: boolean,
  lastLines: string,
): void {
  const start = `${startLines(status)}${headerBlock}${lastLines}`
  out.text(isChunked ? `${start}Transfer-Encoding: chunked\r\n\r\n` : `${start}\r\n`)
}
