/** The parts of a response's head and of its chunks (RFC 9112, 4 and 7.1). */

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  204: 'No Content',
  206: 'Partial Content',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
}

/** Returns the first lines of a response: the status line and the Date, which is formatted once per second. */
export type StartLines = (status: number) => string

export function startLinesBy(now: () => number): StartLines {
  // Lines are joined once and cached as flat strings: most of the cost of writing a response is joining strings.
  const made: (string | undefined)[] = new Array(600).fill(undefined)
  let dateAtMs = Number.NEGATIVE_INFINITY
  let date = ''
  return (status) => {
    const nowMs = now()
    if (nowMs - dateAtMs >= 1000 || nowMs < dateAtMs) {
      dateAtMs = nowMs - (nowMs % 1000)
      date = new Date(nowMs).toUTCString()
      made.fill(undefined)
    }
    const known = made[status]
    if (known !== undefined) return known
    const lines = ['HTTP/1.1 ', status, ' ', reasons[status] ?? '', '\r\nDate: ', date, '\r\n'].join('')
    made[status] = lines
    return lines
  }
}

const lengthLines = Array.from({ length: 4096 }, (_, bytes) => lengthLineOf(bytes))

/** Returns the Content-Length line and the empty line that ends the head. */
export function lengthLine(bodyBytes: number): string {
  return lengthLines[bodyBytes] ?? lengthLineOf(bodyBytes)
}

function lengthLineOf(bodyBytes: number): string {
  return ['Content-Length: ', bodyBytes, '\r\n\r\n'].join('')
}

/** Whether a status allows a body (RFC 9110, 6.4.1), counting the body that HEAD omits. */
export function mayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304
}

export const lastChunk = Buffer.from('0\r\n\r\n')

/** Encodes a part of a body, which must not be empty, as one chunk. */
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
