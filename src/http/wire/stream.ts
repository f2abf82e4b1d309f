import type { BodyWriter, StreamedBody } from './response.ts'
import { chunkOf, lastChunk } from './writing.ts'

/** Callbacks of a stream to its connection. */
export interface StreamTarget {
  /** Sends a part; returns whether there is room for more. */
  sendPart(part: Uint8Array): boolean
  streamEnded(): void
  /** Logs an error: a response that has begun can only be broken off. */
  reportError(error: unknown): void
  abort(): void
}

/** The body of a response that is being streamed. */
export class OutgoingStream implements BodyWriter {
  private readonly body: StreamedBody
  private readonly target: StreamTarget
  /** Uses the chunked coding; otherwise the end of the connection ends the body. */
  private readonly isChunked: boolean
  private hasEnded = false

  constructor(body: StreamedBody, target: StreamTarget, isChunked: boolean) {
    this.body = body
    this.target = target
    this.isChunked = isChunked
  }

  /** Asks the body for more, when the client has taken the output. */
  pull(): void {
    if (!this.hasEnded) this.body.pull(this)
  }

  write(part: string | Uint8Array): boolean {
    if (this.hasEnded) return false
    if (part.length === 0) return true
    const bytes = this.isChunked ? chunkOf(part) : typeof part === 'string' ? Buffer.from(part) : part
    return this.target.sendPart(bytes)
  }

  end(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    if (this.isChunked) this.target.sendPart(lastChunk)
    this.target.streamEnded()
  }

  abort(error: unknown): void {
    if (this.hasEnded) return
    this.target.reportError(error)
    this.target.abort()
  }

  /** Cancels the body, because the client is gone. */
  cancel(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.body.cancel()
  }
}
