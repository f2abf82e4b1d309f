import { KvistError } from '../../core/errors.ts'
import type { Answer, AnswerBody, StreamedBody } from '../answer.ts'
import type { Connection, LongLivedResponse } from '../route.ts'
import type { BodySource } from './body.ts'
import { parseHead, Refusal } from './head.ts'
import { Output, type Sink } from './output.ts'
import { HttpRequest } from './request.ts'
import { OutgoingStream, type StreamTarget } from './stream.ts'
import type { Turn } from './turn.ts'
import { dateLine, mayHaveBody, statusLine } from './writing.ts'

/** What a connection needs of a socket; Bun's has it. */
export interface Wire extends Sink {
  readonly remoteAddress: string
  /** No more will be sent; what comes is still read. */
  shutdown(): void
  /** Lets go of it; what was sent is on its way. */
  end(): unknown
  terminate(): void
  pause(): void
  resume(): void
}

/** What the connections of a server share. */
export interface Port {
  /** A client that is waited for in vain is cut after so many. */
  readonly timeoutTicks: number
  readonly turn: Turn
  /** Answers that last. */
  readonly longLived: Set<LongLivedResponse>
  /** Goes up once a second. */
  tick: number
  isStopping: boolean
  openRequests: number
  /** Makes ready what can be for a request that is served a little later. Must not throw. */
  readonly foresee: (request: HttpRequest) => void
  /** Sees to it that the connection is given one answer, now or later. Must not throw. */
  readonly serve: (request: HttpRequest, connection: HttpConnection) => void
  /** The answer to what cannot be read. */
  readonly refuse: (refusal: Refusal) => Answer
  readonly report: (error: unknown, request: HttpRequest) => void
}

/** A body that is read more slowly than it comes in is held up to this. */
const maxHeldBytes = 256 * 1024
/** Requests that come before those ahead of them are answered are held up to this. */
const maxWaitingBytes = 64 * 1024
/** What is left of a body that nobody wants is passed over up to this; beyond it, the connection ends. */
const maxIgnoredBytes = 64 * 1024
/** How long nothing may be streamed to a client that has ended its side of the connection. */
const silentTicks = 2
/** How long a client may take to close when all is said. */
const lingerTicks = 5

const never = Number.POSITIVE_INFINITY
const nothing = Buffer.alloc(0)

/**
 * One client. Its requests are taken one after the other: the next one is looked at when the answer to the one before it
 * is on its way, so that the answers are in order and each request sees what the one before it did.
 */
export class HttpConnection implements Connection, BodySource, StreamTarget {
  private readonly port: Port
  private readonly wire: Wire
  private readonly out: Output

  /** What came in and was not looked at yet. */
  private input: Buffer = nothing
  /** It will be looked at when the turn ends. */
  private hasNews = false
  /** The request that it begins with, where it was looked at so far. */
  private foreseen: HttpRequest | null = null
  /** The request that is being answered. */
  private request: HttpRequest | null = null
  /** What serves the request has not returned yet: what comes next is looked at when it has. */
  private isServing = false
  /** It waits for us to say that the body may come. */
  private owesContinue = false
  /** A request that is answered, while what is left of its body is passed over. */
  private ignored: HttpRequest | null = null
  private stream: OutgoingStream | null = null
  private goneListener: (() => void) | null = null

  /** After this tick the client has been silent for too long. */
  private deadlineTick: number
  /** When a part of a streamed answer was last sent. */
  private sentTick = 0
  private isPaused = false
  /** The client will send no more. */
  private inputEnded = false
  /** The request that is being served did not come in whole. */
  private isHalf = false
  /** What comes in cannot be understood, or is not wanted any more. */
  private isDeaf = false
  /** No request is taken after the one that is being answered. */
  private isLast = false
  /** Everything is said. */
  isEnded = false
  private isGone = false

  constructor(port: Port, wire: Wire) {
    this.port = port
    this.wire = wire
    this.out = new Output(wire, port.turn)
    this.deadlineTick = port.tick + port.timeoutTicks
  }

  get remoteAddress(): string {
    return this.wire.remoteAddress
  }

  // What the socket tells.

  /** What the client has sent. The bytes must not change afterwards. */
  receive(bytes: Buffer): void {
    if (this.isDeaf) return
    const reading = this.request ?? this.ignored
    if (reading !== null && !reading.body.isComplete) {
      this.feed(reading, bytes)
      this.advance()
      return
    }
    if (reading === null && this.input.length === 0) this.resetTimeout()
    this.input = this.input.length === 0 ? bytes : Buffer.concat([this.input, bytes])
    if (this.hasNews) return
    this.hasNews = true
    this.port.turn.hasInput(this)
  }

  foresee(): void {
    if (!this.hasNews || !this.mayBegin()) return
    const next = this.next()
    if (!(next instanceof HttpRequest)) return
    this.foreseen = next
    this.port.foresee(next)
  }

  /** The turn ends, or the connection does: what came in is looked at. */
  look(): void {
    if (!this.hasNews || this.isEnded) return
    this.hasNews = false
    this.advance()
  }

  /** There is room to send more. */
  drained(): void {
    if (this.deadlineTick !== never && !this.isEnded) this.resetTimeout()
    this.sentTick = this.port.tick
    this.out.drained()
    this.goOn()
  }

  /** The client will send no more. What it has sent is answered; where it is only listened to, it is gone. */
  endInput(): void {
    this.inputEnded = true
    if (this.deadlineTick === never) {
      this.terminate()
      return
    }
    this.loseRest()
    this.goOn()
  }

  /** The socket is closed. A handler under way goes on; nobody hears of its answer. */
  gone(): void {
    if (this.isGone) return
    this.isGone = true
    this.isEnded = true
    this.isDeaf = true
    this.out.drop()
    this.input = nothing
    this.foreseen = null
    const { request, stream } = this
    request?.body.fail(clientGone())
    this.goneListener?.()
    if (stream === null) return
    this.forgetRequest()
    stream.cancel()
  }

  // What the server tells.

  terminate(): void {
    this.wire.terminate()
    this.gone()
  }

  /** Called once a second. */
  beat(): void {
    const isOverdue = this.port.tick > this.deadlineTick && this.waitsForClient()
    if (!isOverdue && !this.isLeft()) return
    if (this.isEnded) this.wire.end()
    else if (this.isIdle()) this.endOutput()
    else this.terminate()
  }

  /** No more requests are taken than the one that is being answered. */
  endSoon(): void {
    this.look()
    this.isLast = true
    this.goOn()
  }

  // What handlers ask.

  resetTimeout(): void {
    this.deadlineTick = this.port.tick + this.port.timeoutTicks
  }

  disableTimeout(): void {
    this.deadlineTick = never
  }

  abort(): void {
    this.terminate()
  }

  reportError(error: unknown): void {
    if (this.request !== null) this.port.report(error, this.request)
  }

  register(answer: LongLivedResponse): void {
    if (this.port.isStopping) throw new KvistError('closing', 'the server stops')
    this.port.longLived.add(answer)
  }

  unregister(answer: LongLivedResponse): void {
    this.port.longLived.delete(answer)
  }

  onClose(listener: (() => void) | null): void {
    this.goneListener = listener
  }

  /** The answer to the request that is being served. */
  reply(answer: Answer): void {
    if (this.isGone || this.isHalf) {
      this.forgetRequest()
      if (isStreamed(answer.body)) answer.body.cancel()
    } else {
      this.answer(answer)
    }
    if (!this.isServing) this.goOn()
  }

  // What the body of a request asks.

  wanted(): void {
    if (!this.owesContinue) return
    this.owesContinue = false
    this.out.text('HTTP/1.1 100 Continue\r\n\r\n')
    this.out.flush()
  }

  taken(): void {
    this.regulate()
  }

  // What a streamed answer asks.

  sendPart(part: Uint8Array): boolean {
    this.sentTick = this.port.tick
    if (this.isGone) return false
    this.out.bytes(part)
    return !this.out.isFull
  }

  streamEnded(): void {
    this.finish()
    this.goOn()
  }

  private advance(): void {
    while (this.mayBegin()) {
      const next = this.next()
      if (next === null) {
        // What is begun will not be finished.
        if (this.inputEnded) this.isLast = true
        break
      }
      if (next instanceof Refusal) this.refuse(next)
      else this.begin(next)
    }
    this.regulate()
    if (this.isIdle() && (this.isLast || (this.inputEnded && this.input.length === 0))) this.endOutput()
  }

  /** After whatever held up what comes next. */
  private goOn(): void {
    if (this.out.isFull || this.isEnded) return
    if (this.stream !== null) this.stream.pull()
    else this.advance()
  }

  private isIdle(): boolean {
    return this.request === null && this.ignored === null && !this.out.isFull
  }

  private mayBegin(): boolean {
    return this.input.length > 0 && this.isIdle() && !this.isLast && !this.isDeaf
  }

  /** The request that the input begins with; null when its head is not there whole yet. */
  private next(): HttpRequest | Refusal | null {
    const { foreseen } = this
    if (foreseen !== null) {
      this.foreseen = null
      return foreseen
    }
    const head = parseHead(this.input)
    return head === null || head instanceof Refusal ? head : new HttpRequest(head, this)
  }

  private begin(request: HttpRequest): void {
    this.request = request
    this.owesContinue = request.expectsContinue
    this.port.openRequests++
    this.resetTimeout()
    this.takeBody(request)
    this.isServing = true
    this.port.serve(request, this)
    this.isServing = false
  }

  /** What of the body came with the head. */
  private takeBody({ body, headBytes }: HttpRequest): void {
    const { input } = this
    const end = headBytes + (body.declaredBytes ?? Number.POSITIVE_INFINITY)
    this.input = nothing
    if (end <= input.length) {
      if (end > headBytes) body.set(input, headBytes, end)
      if (end < input.length) this.input = input.subarray(end)
    } else if (input.length > headBytes) {
      this.feed(this.request!, input.subarray(headBytes))
    }
    if (this.inputEnded) this.loseRest()
  }

  private feed(request: HttpRequest, bytes: Buffer): void {
    try {
      this.input = request.body.feed(bytes)
    } catch {
      // Whoever reads the body hears of it. Where the next request begins nobody knows.
      this.input = nothing
      this.isDeaf = true
      this.isLast = true
      this.ignored = null
    }
    if (this.ignored !== null && request.body.isComplete) {
      this.ignored = null
      this.resetTimeout()
    }
  }

  /** What of a body has not come will not come: nobody answers half a request. */
  private loseRest(): void {
    const reading = this.request ?? this.ignored
    if (reading === null || reading.body.isComplete) return
    this.isLast = true
    this.isHalf = this.request !== null
    this.ignored = null
    reading.body.fail(clientGone())
  }

  private refuse(refusal: Refusal): void {
    this.isLast = true
    this.isDeaf = true
    this.input = nothing
    const { status, lines, body } = this.port.refuse(refusal)
    const start = this.startOf(status, lines)
    if (typeof body === 'string') this.answerText(start, body, 'GET')
  }

  private answer({ status, lines, body, bodyBytes }: Answer): void {
    const { method, isHttp10, closes } = this.request!
    if (closes || this.isBodyLost()) this.isLast = true
    if (this.deadlineTick !== never) this.resetTimeout()
    if (isStreamed(body)) {
      this.answerStreamed(status, lines, body)
      return
    }
    const start = this.startOf(status, lines, isHttp10)
    if (!mayHaveBody(status)) this.out.text(`${start}\r\n`)
    else if (body === null) this.out.text(`${start}Content-Length: 0\r\n\r\n`)
    else if (typeof body === 'string') this.answerText(start, body, method, bodyBytes)
    else this.answerBytes(start, body, method)
    this.finish()
  }

  private answerText(start: string, body: string, method: string, bodyBytes = Buffer.byteLength(body)): void {
    const head = `${start}Content-Length: ${bodyBytes}\r\n\r\n`
    if (method === 'HEAD') this.out.text(head)
    else this.out.text(head + body, head.length + bodyBytes)
  }

  private answerBytes(start: string, body: Uint8Array, method: string): void {
    this.out.text(`${start}Content-Length: ${body.length}\r\n\r\n`)
    if (method !== 'HEAD' && body.length > 0) this.out.bytes(body)
  }

  private answerStreamed(status: number, lines: string, body: StreamedBody): void {
    const { method, isHttp10 } = this.request!
    // Without chunks only the end of the connection says where the body ends.
    if (isHttp10) this.isLast = true
    const start = this.startOf(status, lines, isHttp10)
    this.out.text(isHttp10 ? `${start}\r\n` : `${start}Transfer-Encoding: chunked\r\n\r\n`)
    this.stream = new OutgoingStream(body, this, !isHttp10)
    this.sentTick = this.port.tick
    if (method === 'HEAD') {
      this.stream.cancel()
      this.finish()
    } else {
      this.stream.pull()
    }
  }

  private startOf(status: number, lines: string, isHttp10 = false): string {
    const start = statusLine(status) + dateLine() + lines
    if (this.isLast) return `${start}Connection: close\r\n`
    return isHttp10 ? `${start}Connection: keep-alive\r\n` : start
  }

  /** More of the body may come than is worth waiting for, or the client waits to hear whether it may send it. */
  private isBodyLost(): boolean {
    const { body } = this.request!
    return !body.isComplete && (this.owesContinue || body.comingBytes > maxIgnoredBytes)
  }

  /** The answer is said. */
  private finish(): void {
    const { request } = this
    this.forgetRequest()
    this.resetTimeout()
    if (request === null || request.body.isComplete || this.isLast) return
    request.body.ignore()
    this.ignored = request
  }

  private forgetRequest(): void {
    this.request = null
    this.stream = null
    this.goneListener = null
    this.port.openRequests--
  }

  private endOutput(): void {
    this.out.flush()
    if (this.out.isFull) return
    this.isEnded = true
    this.isDeaf = true
    this.input = nothing
    this.deadlineTick = this.port.tick + lingerTicks
    this.wire.shutdown()
    this.regulate()
  }

  /** Whether something has to come from the client, or go to it, before anything else can happen. */
  private waitsForClient(): boolean {
    if (this.isEnded || this.out.isFull || this.request === null) return true
    const { body } = this.request
    return !body.isComplete && body.heldBytes === 0
  }

  /** Whether nobody may be there any more to take what is streamed: only sending something tells. */
  private isLeft(): boolean {
    if (!this.inputEnded || this.stream === null || this.out.isFull) return false
    return this.port.tick > this.sentTick + silentTicks
  }

  private regulate(): void {
    const heldBytes = this.request?.body.heldBytes ?? 0
    const isFull = !this.isGone && (heldBytes > maxHeldBytes || this.input.length > maxWaitingBytes)
    if (isFull === this.isPaused) return
    this.isPaused = isFull
    if (isFull) this.wire.pause()
    else this.wire.resume()
  }
}

function clientGone(): Error {
  return new DOMException('the client has gone', 'AbortError')
}

function isStreamed(body: AnswerBody): body is StreamedBody {
  return body !== null && typeof body === 'object' && 'pull' in body
}
