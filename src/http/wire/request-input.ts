import { InputPause } from '../../net/input-pause.ts'
import type { Socket } from '../../net/socket.ts'
import type { BodySource } from './body.ts'
import { parseHead, Refusal } from './head.ts'
import { HttpRequest } from './request.ts'

/** Limit of a body's buffered bytes: beyond it the socket is paused until the handler has read them. */
const maxBufferedBodyBytes = 256 * 1024
/** Limit of pipelined input: beyond it the socket is paused until the requests before it have their responses. */
const maxPipelinedBytes = 64 * 1024

const nothing = Buffer.alloc(0)

/** The input of a connection, split into requests and their bodies. */
export class RequestInput {
  private readonly pause: InputPause
  /** Input that is not parsed yet. */
  private bytes: Buffer = nothing
  /** Further input is dropped: it cannot be parsed, or the connection is ending. */
  isClosed = false
  private bodyBytes = 0

  constructor(socket: Socket) {
    this.pause = new InputPause(socket)
  }

  get isEmpty(): boolean {
    return this.bytes.length === 0
  }

  push(bytes: Buffer): void {
    this.bytes = this.bytes.length === 0 ? bytes : Buffer.concat([this.bytes, bytes])
  }

  /** Parses the request at the start of the input; null while its head is incomplete. */
  next(source: BodySource): HttpRequest | Refusal | null {
    const head = parseHead(this.bytes)
    return head === null || head instanceof Refusal ? head : new HttpRequest(head, source)
  }

  /** Passes the request the part of its body that arrived with its head. Returns false as `feed` does. */
  beginBody(request: HttpRequest): boolean {
    const { bytes } = this
    const { body, headBytes } = request
    const end = headBytes + (body.declaredBytes ?? Number.POSITIVE_INFINITY)
    this.bytes = nothing
    if (end <= bytes.length) {
      if (end > headBytes) body.set(bytes, headBytes, end)
      if (end < bytes.length) this.bytes = bytes.subarray(end)
      return true
    }
    return bytes.length === headBytes || this.feed(request, bytes.subarray(headBytes))
  }

  /**
   * Passes the request more of its body. Returns false when the body is malformed: its handler gets the error, and the
   * connection reads no more, because the start of the next request is unknown.
   */
  feed({ body }: HttpRequest, bytes: Buffer): boolean {
    this.bodyBytes += bytes.length
    try {
      this.bytes = body.feed(bytes)
      return true
    } catch {
      this.close()
      return false
    }
  }

  close(): void {
    this.isClosed = true
    this.bytes = nothing
  }

  /** Pauses the socket while a buffer is over its limit, and resumes it otherwise or when the connection is closed. */
  updateBackpressure(request: HttpRequest | null, isConnectionClosed: boolean): void {
    const buffered = request?.body.heldBytes ?? 0
    const isFull = buffered > maxBufferedBodyBytes || this.bytes.length > maxPipelinedBytes
    this.pause.setPaused(isFull && !isConnectionClosed)
  }

  /** Returns how many bytes of bodies arrived since the last call. */
  takeBodyBytes(): number {
    const taken = this.bodyBytes
    this.bodyBytes = 0
    return taken
  }
}
