import { KvistError } from '../../core/errors.ts'
import { clientNetwork } from '../../net/address.ts'
import type { Share } from '../../net/budget.ts'
import type { Activity, ProtocolConnection } from '../../net/connections.ts'
import { Output } from '../../net/output.ts'
import type { Socket } from '../../net/socket.ts'
import type { BodySource } from './body.ts'
import type { Connection, LongLivedResponse } from './client-connection.ts'
import { Refusal, tlsRefusal } from './head.ts'
import type { HttpRequest } from './request.ts'
import { RequestInput } from './request-input.ts'
import { type MemoryShare, RequestMemory, type ServerMemory } from './request-memory.ts'
import type { HttpResponse, StreamedBody } from './response.ts'
import { isStreamed, sendStreamHead, sendWhole } from './response-writer.ts'
import type { HttpServerState } from './server-state.ts'
import { OutgoingStream, type StreamTarget } from './stream.ts'
import { ConnectionTimeouts } from './timeouts.ts'

/**
 * What a connection is doing:
 *
 *     idle ──▶ responding ──▶ idle          a request arrives, its response is sent
 *                   └──▶ discarding ──▶ idle     response sent before the end of the request body, whose rest is dropped
 *     idle ──▶ lingering                    output is sent, our side is closed; input is dropped until the client closes
 *     any  ──▶ closed                       the socket is gone
 */
type Phase = 'idle' | 'responding' | 'discarding' | 'lingering' | 'closed'

/** The unread rest of a body is dropped up to this size; a longer rest ends the connection. */
const maxDiscardedBytes = 64 * 1024

/**
 * One client. Its requests are served one at a time: the next is parsed when the response to the previous one has been
 * handed to the output. So responses are in order, and each request sees the effects of the one before.
 */
export class HttpConnection implements ProtocolConnection, Connection, BodySource, StreamTarget {
  private readonly server: HttpServerState
  readonly clientSubject: string | null
  private readonly socket: Socket
  private readonly out: Output
  private readonly input: RequestInput
  private readonly timeouts: ConnectionTimeouts

  identity: object | null = null
  private phase: Phase = 'idle'
  /** The request of the phases `responding` and `discarding`. */
  private request: HttpRequest | null = null
  /** The handler has been called and has not returned; buffered input is processed after it returns. */
  private isDispatching = false
  /** The client waits for `100 Continue` before it sends the body. */
  private awaitsContinue = false
  /** The response that is being streamed. */
  private stream: OutgoingStream | null = null
  private longLived: LongLivedResponse | null = null
  private closeListener: (() => void) | null = null
  private readonly ownMemory: RequestMemory
  private ownNetwork: string | undefined

  /** `process` will be called at the end of the tick. */
  private isScheduled = false

  /** A response with a status below 400 was sent. */
  private wasServed = false
  /** The current request is the last one that is served. */
  private isLast = false
  /** The client has closed its side. */
  private isHalfClosed = false
  /** The client half-closed in the middle of the request body, so no response is sent. */
  private isTruncated = false

  constructor(server: HttpServerState, socket: Socket, clientSubject: string | null = null) {
    this.server = server
    this.socket = socket
    this.clientSubject = clientSubject
    this.out = new Output(socket, server.ticks)
    this.input = new RequestInput(socket)
    this.ownMemory = new RequestMemory(server.memory)
    this.timeouts = new ConnectionTimeouts(server.clock, server.timeoutSeconds)
  }

  // Events of the socket and of the listener.

  receive(bytes: Buffer): void {
    if (this.input.isClosed) return
    const { request } = this
    if (request !== null && !request.body.isComplete) {
      this.feed(request, bytes)
      this.advance()
      return
    }
    if (request === null && this.input.isEmpty) this.timeouts.reset()
    this.input.push(bytes)
    if (this.isScheduled) {
      this.updateBackpressure()
      return
    }
    this.isScheduled = true
    this.server.ticks.scheduleInput(this)
  }

  process(): void {
    if (!this.isScheduled || this.isEnding()) return
    this.isScheduled = false
    this.advance()
  }

  drained(): void {
    if (!this.out.isFull) return // a socket with TLS also drains when it had room
    if (!this.isEnding()) this.timeouts.extend()
    this.timeouts.partSent()
    this.out.drained()
    if (this.phase !== 'responding') this.releaseMemory()
    this.resume()
  }

  /**
   * The client has closed its side. Requests that it sent before still get responses. While the timeout is disabled the
   * client can only be waiting for events: it is taken to be gone.
   */
  halfClosed(): void {
    this.isHalfClosed = true
    if (this.timeouts.isDisabled) {
      this.abort()
      return
    }
    this.truncate()
    this.resume()
  }

  close(): void {
    this.socket.end()
    this.release()
  }

  /** The socket is closed. A running handler continues; its response is dropped. */
  closed(): void {
    this.process()
    this.release()
  }

  checkTimeouts(): void {
    const isOverdue = this.timeouts.isExceeded && this.waitsForClient()
    if (!isOverdue && !this.mayBeAbandoned() && !this.isHoldingUp()) return
    if (this.phase === 'lingering') this.socket.end()
    else if (this.isIdle()) this.endOutput()
    else this.abort()
  }

  finish(): void {
    this.longLived?.end()
    this.process()
    this.isLast = true
    this.resume()
  }

  /** A stopping server does not wait for clients to read the rest of long-lived responses. */
  get isFinished(): boolean {
    return this.isEnding() || this.longLived !== null
  }

  get activity(): Activity {
    if (this.phase === 'lingering') return 'idle'
    if (this.out.isFull || this.phase === 'responding') return 'busy'
    return this.wasServed ? 'idle' : 'new'
  }

  get lastActive(): number {
    return this.timeouts.lastActive
  }

  // For handlers.

  get remoteAddress(): string {
    return this.socket.remoteAddress
  }

  get network(): string {
    this.ownNetwork ??= clientNetwork(this.remoteAddress)
    return this.ownNetwork
  }

  resetTimeout(): void {
    this.timeouts.reset()
  }

  disableTimeout(): void {
    this.timeouts.disable()
  }

  abort(): void {
    this.socket.terminate()
    this.release()
  }

  /** Closes the socket if a request is being served or its response is being sent. */
  endRequest(): void {
    if (this.activity === 'busy') this.abort()
  }

  reportError(error: unknown): void {
    if (this.request !== null) this.server.reportError(error, this.request)
  }

  get memory(): ServerMemory {
    return this.server.memory
  }

  hold(share: MemoryShare): void {
    this.ownMemory.hold(share)
  }

  grow(share: Share, bytes: number): Promise<void> | undefined {
    return this.ownMemory.grow(share, bytes)?.then(async () => {
      // When several clients disconnect at once, memory of one must not be granted to another that is gone as well.
      await new Promise((resolve) => setImmediate(resolve))
      if (this.phase === 'closed') throw clientGone()
      this.timeouts.extend()
    })
  }

  register(response: LongLivedResponse): void {
    if (this.server.isStopping) throw new KvistError('closing', 'the server stops')
    this.longLived = response
  }

  unregister(response: LongLivedResponse): void {
    if (this.longLived === response) this.longLived = null
  }

  onClose(listener: (() => void) | null): void {
    this.closeListener = listener
  }

  /** Sends the response to the current request. */
  reply(response: HttpResponse, moreHeaders = ''): void {
    if (this.phase === 'closed' || this.isTruncated) {
      this.finishRequest()
      if (isStreamed(response.body)) response.body.cancel()
    } else {
      this.respond(response, moreHeaders)
    }
    if (!this.isDispatching) this.resume()
  }

  // For the body of the request.

  pull(): void {
    if (!this.awaitsContinue) return
    this.awaitsContinue = false
    this.out.text('HTTP/1.1 100 Continue\r\n\r\n')
    this.out.flush()
  }

  taken(): void {
    this.updateBackpressure()
  }

  // For the streamed response.

  sendPart(part: Uint8Array): boolean {
    this.timeouts.partSent()
    if (this.phase === 'closed') return false
    this.out.bytes(part)
    return !this.out.isFull
  }

  streamEnded(): void {
    this.finishResponse()
    this.resume()
  }

  // Requests.

  private advance(): void {
    while (this.canBegin()) {
      const next = this.input.next(this)
      if (next === null) {
        // The rest of the incomplete head will not arrive.
        if (this.isHalfClosed) this.isLast = true
        break
      }
      if (next instanceof Refusal) this.refuse(next)
      else this.begin(next)
    }
    this.updateBackpressure()
    const isDone = this.isLast || (this.isHalfClosed && this.input.isEmpty)
    if (isDone && this.isIdle()) this.endOutput()
  }

  /** Continues with the stream or the next request, once the client has taken the output. */
  private resume(): void {
    if (this.out.isFull || this.isEnding()) return
    if (this.stream !== null) this.stream.pull()
    else this.advance()
  }

  private isIdle(): boolean {
    return this.phase === 'idle' && !this.out.isFull
  }

  private isEnding(): boolean {
    return this.phase === 'lingering' || this.phase === 'closed'
  }

  private canBegin(): boolean {
    return !this.input.isEmpty && this.isIdle() && !this.isLast && !this.input.isClosed
  }

  private begin(request: HttpRequest): void {
    this.phase = 'responding'
    this.request = request
    this.awaitsContinue = request.expectsContinue
    this.server.openRequests++
    this.timeouts.reset()
    if (!this.input.beginBody(request)) this.endInput()
    if (this.isHalfClosed) this.truncate()
    this.isDispatching = true
    this.server.serve(request, this)
    this.isDispatching = false
  }

  private feed(request: HttpRequest, bytes: Buffer): void {
    if (!this.input.feed(request, bytes)) this.endInput()
    else if (this.phase === 'discarding' && request.body.isComplete) {
      this.endDiscarding()
      this.timeouts.reset()
    }
  }

  /** Ends the input: no request can follow a malformed body. */
  private endInput(): void {
    this.isLast = true
    if (this.phase === 'discarding') this.endDiscarding()
  }

  /** The client half-closed in the middle of a body: fails the body, and sends no response. */
  private truncate(): void {
    const { request } = this
    if (request === null || request.body.isComplete) return
    this.isLast = true
    this.isTruncated = this.phase === 'responding'
    if (this.phase === 'discarding') this.endDiscarding()
    request.body.fail(clientGone())
  }

  private refuse(refusal: Refusal): void {
    this.isLast = true
    this.input.close()
    if (refusal === tlsRefusal) this.server.onTlsClient(this.remoteAddress)
    const response = this.server.refuse(refusal)
    if (!isStreamed(response.body))
      sendWhole(this.server.startLines, this.out, response, response.body, 'GET', closeLine)
  }

  // Responses.

  private respond(response: HttpResponse, moreHeaders: string): void {
    const { body } = response
    const { method, isHttp10, closes } = this.request!
    if (closes || this.isBodyLost()) this.isLast = true
    if (response.status < 400) this.wasServed = true
    this.timeouts.extend()
    if (isStreamed(body)) {
      this.respondStreamed(response, body, moreHeaders)
    } else {
      const lastLines = moreHeaders + this.connectionLine(isHttp10)
      sendWhole(this.server.startLines, this.out, response, body, method, lastLines)
      this.finishResponse()
    }
  }

  private respondStreamed(response: HttpResponse, body: StreamedBody, moreHeaders: string): void {
    const { method, isHttp10 } = this.request!
    // Without the chunked coding the end of the connection marks the end of the body.
    if (isHttp10) this.isLast = true
    const lastLines = moreHeaders + this.connectionLine(isHttp10)
    sendStreamHead(this.server.startLines, this.out, response, !isHttp10, lastLines)
    this.stream = new OutgoingStream(body, this, !isHttp10)
    this.timeouts.partSent()
    if (method === 'HEAD') {
      this.stream.cancel()
      this.finishResponse()
    } else {
      this.stream.pull()
    }
  }

  private connectionLine(isHttp10: boolean): string {
    if (this.isLast) return closeLine
    return isHttp10 ? keepAliveLine : ''
  }

  /** Whether the rest of the body is too long to drop, or will not come because the client waits for `100 Continue`. */
  private isBodyLost(): boolean {
    const { body } = this.request!
    return !body.isComplete && (this.awaitsContinue || body.comingBytes > maxDiscardedBytes)
  }

  /** Ends the request after its whole response went to the output. Discards the rest of the request's body. */
  private finishResponse(): void {
    const { request } = this
    this.finishRequest()
    this.timeouts.reset()
    if (request === null || request.body.isComplete || this.isLast) return
    request.body.ignore()
    this.request = request
    this.phase = 'discarding'
  }

  private finishRequest(): void {
    if (this.phase === 'responding') this.phase = 'idle'
    this.request = null
    this.stream = null
    this.closeListener = null
    this.server.openRequests--
    this.releaseMemory()
  }

  private endDiscarding(): void {
    this.phase = 'idle'
    this.request = null
  }

  // The end.

  private endOutput(): void {
    this.out.flush()
    if (this.out.isFull) return
    this.phase = 'lingering'
    this.input.close()
    this.timeouts.linger()
    this.socket.shutdown()
    this.updateBackpressure()
  }

  private release(): void {
    if (this.phase === 'closed') return
    const isAtWork = this.phase === 'responding'
    this.phase = 'closed'
    this.input.close()
    this.out.discard()
    const { request, stream } = this
    request?.body.fail(clientGone())
    this.ownMemory.cancel(clientGone())
    if (!isAtWork) this.releaseMemory()
    this.closeListener?.()
    if (stream === null) return
    this.finishRequest()
    stream.cancel()
  }

  /** Releases the memory of the response, once the client has taken it or is gone. */
  private releaseMemory(): void {
    if (!this.out.isFull) this.ownMemory.release()
  }

  /**
   * Whether other requests wait for memory that this client holds while it neither sends nor reads enough to release
   * it.
   */
  private isHoldingUp(): boolean {
    const movedBytes = this.input.takeBodyBytes() + this.out.takeSentBytes()
    return this.ownMemory.isHoldingUp(this.server.clock.seconds, movedBytes) && this.waitsForClient()
  }

  /** Whether the connection can only continue when the client sends or reads something. */
  private waitsForClient(): boolean {
    if (this.ownMemory.isWaiting) return false
    if (this.out.isFull || this.phase !== 'responding') return true
    const { body } = this.request!
    return !body.isComplete && body.heldBytes === 0
  }

  /** Whether a half-closed client may be gone: nothing has been streamed to it lately that would show it. */
  private mayBeAbandoned(): boolean {
    if (!this.isHalfClosed || this.stream === null || this.out.isFull) return false
    return this.timeouts.isStreamSilent
  }

  private updateBackpressure(): void {
    this.input.updateBackpressure(this.request, this.phase === 'closed')
  }
}

const closeLine = 'Connection: close\r\n'
const keepAliveLine = 'Connection: keep-alive\r\n'

function clientGone(): Error {
  return new DOMException('the client has gone', 'AbortError')
}
