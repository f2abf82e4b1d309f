import { KvistError } from '../../core/errors.ts'
import type { Share } from '../../net/budget.ts'
import type { Activity, ProtocolConnection } from '../../net/connections.ts'
import { Output } from '../../net/output.ts'
import type { Socket } from '../../net/socket.ts'
import type { BodySource } from './body.ts'
import type { Connection, LongLivedResponse } from './client-connection.ts'
import { Refusal } from './head.ts'
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
 *     idle ──▶ responding ──▶ idle          a request has come, its response is sent
 *                   └──▶ discarding ──▶ idle     sent before the rest of the request's body, which is dropped
 *     idle ──▶ lingering                    all is sent and our side is closed; input is dropped until the client closes
 *     any  ──▶ closed                       the socket is gone
 */
type Phase = 'idle' | 'responding' | 'discarding' | 'lingering' | 'closed'

/** The rest of a body that no handler reads is dropped up to this; a longer one ends the connection. */
const maxDiscardedBytes = 64 * 1024

/**
 * One client. Its requests are served one after the other: the next is parsed when the response to the one before is on
 * its way, so that responses are in order and each request sees what the one before it did.
 */
export class HttpConnection implements ProtocolConnection, Connection, BodySource, StreamTarget {
  private readonly server: HttpServerState
  private readonly socket: Socket
  private readonly out: Output
  private readonly input: RequestInput
  private readonly timeouts: ConnectionTimeouts

  private phase: Phase = 'idle'
  /** The request of the phases `responding` and `discarding`. */
  private request: HttpRequest | null = null
  /** The handler has been called and has not returned: what follows is processed when it has. */
  private isDispatching = false
  /** The client waits for `100 Continue` before it sends the body. */
  private awaitsContinue = false
  /** The response that is being streamed. */
  private stream: OutgoingStream | null = null
  private longLived: LongLivedResponse | null = null
  private closeListener: (() => void) | null = null
  private readonly ownMemory: RequestMemory

  /** `process` will be called when the tick ends. */
  private isScheduled = false

  /** A response was sent that says no error. */
  private wasServed = false
  /** No request is served after the one that is being served. */
  private isLast = false
  /** The client has closed its side. */
  private isHalfClosed = false
  /** It did so in the middle of a request, which therefore gets no response. */
  private isTruncated = false

  constructor(server: HttpServerState, socket: Socket) {
    this.server = server
    this.socket = socket
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
    if (!this.isEnding()) this.timeouts.extend()
    this.timeouts.partSent()
    this.out.drained()
    if (this.phase !== 'responding') this.releaseMemory()
    this.resume()
  }

  /** What the client has sent still gets its responses. One that can only be watching is gone. */
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

  /** A handler that is at work goes on; its response is dropped. */
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

  /** The server does not wait for clients to take the rest of long-lived responses. */
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
      // When several clients disconnect at once, the memory of one must not be given to another that is gone as well.
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

  /** Takes the response to the request that is being served. */
  reply(response: HttpResponse): void {
    if (this.phase === 'closed' || this.isTruncated) {
      this.finishRequest()
      if (isStreamed(response.body)) response.body.cancel()
    } else {
      this.respond(response)
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
        // The rest of what has begun will not come.
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

  /** Goes on after whatever the connection waited for. */
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

  /** No request can follow a body that is malformed. */
  private endInput(): void {
    this.isLast = true
    if (this.phase === 'discarding') this.endDiscarding()
  }

  /** The rest of the request will not come: its body fails, and no response is sent to half a request. */
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
    const response = this.server.refuse(refusal)
    if (!isStreamed(response.body))
      sendWhole(this.server.startLines, this.out, response, response.body, 'GET', closeLine)
  }

  // Responses.

  private respond(response: HttpResponse): void {
    const { body } = response
    const { method, isHttp10, closes } = this.request!
    if (closes || this.isBodyLost()) this.isLast = true
    if (response.status < 400) this.wasServed = true
    this.timeouts.extend()
    if (isStreamed(body)) {
      this.respondStreamed(response, body)
    } else {
      sendWhole(this.server.startLines, this.out, response, body, method, this.connectionLine(isHttp10))
      this.finishResponse()
    }
  }

  private respondStreamed(response: HttpResponse, body: StreamedBody): void {
    const { method, isHttp10 } = this.request!
    // Without chunks only the end of the connection says where the body ends.
    if (isHttp10) this.isLast = true
    sendStreamHead(this.server.startLines, this.out, response, !isHttp10, this.connectionLine(isHttp10))
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

  /** More of the body may come than is worth waiting for, or the client waits for `100 Continue`. */
  private isBodyLost(): boolean {
    const { body } = this.request!
    return !body.isComplete && (this.awaitsContinue || body.comingBytes > maxDiscardedBytes)
  }

  /** All of the response is sent, or waits only for the client to take it. */
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

  /** Releases what the response held, once the client has taken it or is gone. */
  private releaseMemory(): void {
    if (!this.out.isFull) this.ownMemory.release()
  }

  /** Requests wait for memory that this client holds, and it neither sends nor takes enough to give it back. */
  private isHoldingUp(): boolean {
    const movedBytes = this.input.takeBodyBytes() + this.out.takeSentBytes()
    return this.ownMemory.isHoldingUp(this.server.clock.seconds, movedBytes) && this.waitsForClient()
  }

  /** Nothing can happen until the client sends something, or takes something. */
  private waitsForClient(): boolean {
    if (this.ownMemory.isWaiting) return false
    if (this.out.isFull || this.phase !== 'responding') return true
    const { body } = this.request!
    return !body.isComplete && body.heldBytes === 0
  }

  /** The client may not be there any more to take what is streamed. */
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
