import { parseFieldLines } from '../wire/fields.ts'

/** Header fields of a response, in lower case. */
export type ResponseFields = Record<string, string | string[]>

export interface ResponseTarget {
  /** `hasBody` is false when the response ends with its head. */
  onHead(status: number, fields: ResponseFields, hasBody: boolean): void
  onInterim(status: number): void
  onBody(part: Buffer): void
  onEnd(): void
}

/** Fields of HTTP/1.1 that HTTP/2 does not have (RFC 9113, 8.2.2). */
const ofConnection: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding'])

/**
 * Parses what `HttpConnection` writes (response-writer.ts), in whatever pieces it comes: one response, whose body has a
 * length or comes in chunks.
 */
export class ResponseParser {
  private readonly isHead: boolean
  private readonly target: ResponseTarget
  private state: 'head' | 'body' | 'chunk size' | 'chunk' | 'chunk end' | 'done' = 'head'
  /** Bytes of a line or head that is incomplete. */
  private rest: Buffer = Buffer.alloc(0)
  /** Bytes of the body, or of the chunk, that are still to come. */
  private leftBytes = 0

  constructor(method: string, target: ResponseTarget) {
    this.isHead = method === 'HEAD'
    this.target = target
  }

  get isDone(): boolean {
    return this.state === 'done'
  }

  push(bytes: Buffer): void {
    let left = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    this.rest = Buffer.alloc(0)
    while (left.length > 0 && this.state !== 'done') {
      const next = this.step(left)
      if (next === null) {
        this.rest = left
        return
      }
      left = next
    }
  }

  /** Returns what follows the next element; null when that is incomplete. */
  private step(bytes: Buffer): Buffer | null {
    switch (this.state) {
      case 'head':
        return this.take(bytes, '\r\n\r\n', (text) => this.parseHead(text))
      case 'chunk size':
        return this.take(bytes, '\r\n', (text) => this.beginChunk(Number.parseInt(text, 16)))
      case 'chunk end':
        return this.take(bytes, '\r\n', () => {
          this.state = 'chunk size'
        })
      default:
        return this.takeBody(bytes)
    }
  }

  private take(bytes: Buffer, end: string, use: (text: string) => void): Buffer | null {
    const at = bytes.indexOf(end)
    if (at === -1) return null
    use(bytes.toString('latin1', 0, at))
    return bytes.subarray(at + end.length)
  }

  private takeBody(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.leftBytes)
    this.leftBytes -= part.length
    this.target.onBody(part)
    if (this.leftBytes === 0) {
      if (this.state === 'chunk') this.state = 'chunk end'
      else this.finish()
    }
    return bytes.subarray(part.length)
  }

  private parseHead(text: string): void {
    const status = Number(text.slice(9, 12))
    if (status < 200) {
      this.target.onInterim(status)
      return
    }
    const start = text.indexOf('\r\n')
    const parsed = start === -1 ? [] : parseFieldLines(`${text.slice(start + 2)}\r\n`, 0)
    if (typeof parsed === 'string') throw new Error(`a response ${parsed}`)
    const fields: ResponseFields = {}
    let isChunked = false
    for (let i = 0; i < parsed.length; i += 2) {
      const [name, value] = [parsed[i]!, parsed[i + 1]!]
      if (name === 'transfer-encoding') isChunked = true
      if (ofConnection.has(name)) continue
      const before = fields[name]
      fields[name] = before === undefined ? value : [before, value].flat()
    }
    this.leftBytes = Number(fields['content-length'] ?? 0)
    const mayHaveBody = !this.isHead && status !== 204 && status !== 304
    const hasBody = mayHaveBody && (isChunked || this.leftBytes > 0)
    this.state = isChunked ? 'chunk size' : 'body'
    this.target.onHead(status, fields, hasBody)
    if (!hasBody) this.finish()
  }

  private beginChunk(bytes: number): void {
    this.leftBytes = bytes
    if (bytes > 0) this.state = 'chunk'
    else this.finish()
  }

  private finish(): void {
    this.state = 'done'
    this.target.onEnd()
  }
}
