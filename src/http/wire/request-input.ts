import { InputPause } from '../../net/input-pause.ts'
import type { Socket } from '../../net/socket.ts'
import type { BodySource } from './body.ts'
import { parseHead, Refusal } from './head.ts'
import { HttpRequest } from './request.ts'

/** A body that its handler reads more slowly than it comes in is buffered up to this. */
const maxBufferedBodyBytes = 256 * 1024
/** Requests that come before those ahead of them have their responses are buffered up to this. */
const maxPipelinedBytes = 64 * 1024

const nothing = Buffer.alloc(0)

/** What a client sends, cut into requests and their bodies. */
export class RequestInput {
  private readonly pause: InputPause
  /** What came in and was not parsed yet. */
  private bytes: Buffer = nothing
  /** What still comes in is dropped: it cannot be parsed, or the connection is ending. */
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

  /** The request that the input begins with; null while its head is incomplete. */
  next(source: BodySource): HttpRequest | Refusal | null {
    const head = parseHead(this.bytes)
    return head === null || head instanceof Refusal ? head : new HttpRequest(head, source)
  }

  /** Gives a request what of its body came with its head. False as `feed`. */
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
   * Gives a request more of its body. False when the body is malformed: its handler gets the error, and nothing more is read,
   * for where the next request would begin cannot be known.
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

  /** Reads from the socket while there is room; always when the connection is closed. */
  updateBackpressure(request: HttpRequest | null, isConnectionClosed: boolean): void {
    const buffered = request?.body.heldBytes ?? 0
    const isFull = buffered > maxBufferedBodyBytes || this.bytes.length > maxPipelinedBytes
    this.pause.setPaused(isFull && !isConnectionClosed)
  }

  /** The bytes of bodies that came in since the last call. */
  takeBodyBytes(): number {
    const taken = this.bodyBytes
    this.bodyBytes = 0
    return taken
  }
}
