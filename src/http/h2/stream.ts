import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from '../../net/socket.ts'
import { HttpConnection } from '../wire/connection.ts'
import type { HttpServerState } from '../wire/server-state.ts'
import { chunkOf, lastChunk } from '../wire/writing.ts'
import type { RequestHead } from './request-head.ts'
import { type ResponseFields, ResponseParser, type ResponseTarget } from './response-parser.ts'

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = constants

/** At most so much of a response is in the buffers of its stream. */
const maxBufferedBytes = 16 * 1024

/** The client of a stream, as its connection of HTTP/1.1 needs it. */
export interface StreamClient {
  readonly remoteAddress: string
  readonly clientSubject: string | null
}

/**
 * One stream of HTTP/2, as the socket of a connection of HTTP/1.1 that serves one request. So its deadlines,
 * backpressure, memory and limits are those of such a connection, and there is one implementation of them.
 */
export class Http2Stream implements Socket, ResponseTarget {
  readonly remoteAddress: string
  readonly connection: HttpConnection
  private readonly stream: ServerHttp2Stream
  private readonly parser: ResponseParser
  private readonly declaredBytes: number | null
  private receivedBytes = 0
  private isInputComplete: boolean
  /** The stream has no room until it drains. */
  private isFull = false
  private readonly patienceSeconds: number
  private lateSeconds = 0

  constructor(
    server: HttpServerState,
    { remoteAddress, clientSubject }: StreamClient,
    stream: ServerHttp2Stream,
    head: RequestHead,
    hasBody: boolean,
  ) {
    this.remoteAddress = remoteAddress
    this.stream = stream
    this.patienceSeconds = server.timeoutSeconds
    this.declaredBytes = head.bodyBytes
    this.isInputComplete = !hasBody
    this.parser = new ResponseParser(head.method, this)
    this.connection = new HttpConnection(server, this, clientSubject)
    stream.on('error', () => {}) // its close follows
    stream.on('drain', () => {
      this.isFull = false
      this.connection.drained()
    })
    stream.on('data', (part: Buffer) => this.receive(part))
    stream.on('end', () => this.endInput())
    this.connection.receive(Buffer.from(head.text, 'latin1'))
  }

  /** The stream is closed. */
  closed(): void {
    this.isFull = true
    this.connection.closed()
  }

  // The body of the request.

  private receive(part: Buffer): void {
    if (this.isInputComplete || part.length === 0) return
    if (this.declaredBytes === null) {
      this.connection.receive(chunkOf(part))
      return
    }
    this.receivedBytes += part.length
    // What is beyond the declared length would be taken for another request.
    if (this.receivedBytes > this.declaredBytes) this.reset(NGHTTP2_PROTOCOL_ERROR)
    else this.connection.receive(part)
  }

  /** The stream of Node ends also where the client resets it or leaves; then the body is not whole, and its close follows. */
  private endInput(): void {
    const { stream } = this
    if (this.isInputComplete || stream.aborted || stream.rstCode !== 0 || stream.state.remoteClose !== 1)
      return
    this.isInputComplete = true
    if (this.declaredBytes === null) this.connection.receive(lastChunk)
    else if (this.receivedBytes < this.declaredBytes) this.reset(NGHTTP2_PROTOCOL_ERROR)
  }

  // The socket.

  write(part: string | Uint8Array, offset = 0, length = part.length): number {
    if (this.stream.destroyed || this.stream.closed) return -1
    if (this.isFull) return 0
    const taken = Math.min(length, maxBufferedBytes)
    // The stream holds it after this call, and outputs reuse their buffer.
    const bytes =
      typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.subarray(offset, offset + taken))
    this.parser.push(bytes)
    if (taken < length && !this.isFull) setImmediate(() => this.connection.drained())
    return taken
  }

  shutdown(): void {
    if (!this.parser.isDone) this.reset(NGHTTP2_CANCEL)
  }

  /** Called each second when the client has had its time to read the end of the response; it gets some more. */
  end(): void {
    if (!this.parser.isDone || ++this.lateSeconds > this.patienceSeconds) this.reset(NGHTTP2_CANCEL)
  }

  terminate(): void {
    this.reset(this.stream.headersSent ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL)
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }

  // The response.

  onHead(status: number, fields: ResponseFields, hasBody: boolean): void {
    this.stream.respond({ ':status': status, ...fields }, { endStream: !hasBody })
  }

  onInterim(status: number): void {
    this.stream.additionalHeaders({ ':status': status })
  }

  onBody(part: Buffer): void {
    if (!this.stream.write(part)) this.isFull = true
  }

  onEnd(): void {
    // After the response the rest of the request is not needed (RFC 9113, 8.1).
    this.stream.end(() => {
      if (!this.isInputComplete) this.reset(NGHTTP2_NO_ERROR)
    })
  }

  private reset(code: number): void {
    if (!this.stream.destroyed) this.stream.close(code)
  }
}
