/** Answers as they are written (RFC 9112, 4 and 7.1). */

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  204: 'No Content',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  422: 'Unprocessable Content',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
  507: 'Insufficient Storage',
}

const lines: string[] = []

export function statusLine(status: number): string {
  const known = lines[status]
  if (known !== undefined) return known
  const line = `HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n`
  lines[status] = line
  return line
}

let dateAtMs = 0
let date = ''

/** The Date of an answer, which has seconds: made once in each. */
export function dateLine(): string {
  const nowMs = Date.now()
  if (nowMs - dateAtMs >= 1000 || nowMs < dateAtMs) {
    dateAtMs = nowMs - (nowMs % 1000)
    date = `Date: ${new Date(nowMs).toUTCString()}\r\n`
  }
  return date
}

/** Whether an answer can have a body (RFC 9110, 6.4.1), if only one that HEAD leaves out. */
export function mayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304
}

export const lastChunk = Buffer.from('0\r\n\r\n')

/** A part of a body, which must not be empty, in the chunked coding. */
export function chunkOf(part: string | Uint8Array): Buffer {
  const bytes = typeof part === 'string' ? Buffer.byteLength(part) : part.length
  const size = `${bytes.toString(16)}\r\n`
  const chunk = Buffer.allocUnsafe(size.length + bytes + 2)
  chunk.write(size, 'latin1')
  if (typeof part === 'string') chunk.write(part, size.length)
  else chunk.set(part, size.length)
  chunk.write('\r\n', size.length + bytes)
  return chunk
}
