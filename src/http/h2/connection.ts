import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { Duplex } from 'node:stream'
import { maxHeadBytes, maxHttp2Streams } from '../../core/limits.ts'
import { type Activity, lingerSeconds, type ProtocolConnection } from '../../net/connections.ts'
import type { Socket } from '../../net/socket.ts'
import type { HttpServerState } from '../wire/server-state.ts'
import { requestHead } from './request-head.ts'
import { Http2Stream } from './stream.ts'

const { NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_FLAG_END_STREAM } = constants

/** Without paths, so that the runtime needs no server of its own. */
const sessionOptions = {
  settings: { maxConcurrentStreams: maxHttp2Streams, maxHeaderListSize: maxHeadBytes, enablePush: false },
}

/**
 * One client that speaks HTTP/2. The runtime has the protocol (`node:http2`) over a stream that is fed from the socket;
 * each of its streams becomes a connection of HTTP/1.1 with one request (stream.ts).
 */
export class Http2Connection implements ProtocolConnection {
  private readonly server: HttpServerState
  private readonly socket: Socket
  private readonly clientSubject: string | null
  private readonly transport: Transport
  private readonly session: ServerHttp2Session
  private readonly streams = new Set<Http2Stream>()
  lastActive: number
  private wasServed = false
  private isEnding = false
  /** The client has closed its side: it gets the responses that it waits for. */
  private isHalfClosed = false

  constructor(server: HttpServerState, socket: Socket, clientSubject: string | null) {
    this.server = server
    this.socket = socket
    this.clientSubject = clientSubject
    this.lastActive = server.clock.seconds
    this.transport = new Transport(socket)
    this.session = performServerHandshake(this.transport, sessionOptions)
    this.session.on('error', () => {}) // errors of the protocol are the client's; the session closes
    this.session.on('close', () => this.socket.end())
    this.session.on('stream', (stream, _headers, flags, fields) => this.begin(stream, flags, fields))
  }

  // Events of the socket and of the listener.

  receive(bytes: Buffer): void {
    this.lastActive = this.server.clock.seconds
    this.transport.received(bytes)
  }

  drained(): void {
    this.lastActive = this.server.clock.seconds
    this.transport.drained()
  }

  halfClosed(): void {
    this.isHalfClosed = true
    this.transport.received(null)
    if (this.streams.size === 0) this.socket.end()
  }

  closed(): void {
    this.isEnding = true
    this.transport.destroy()
    this.session.destroy()
    for (const stream of this.streams) stream.closed()
    this.streams.clear()
  }

  /** A client without streams is idle; streams have time limits of their own. */
  checkTimeouts(): void {
    for (const { connection } of this.streams) connection.checkTimeouts()
    const { clock, timeoutSeconds } = this.server
    const silentSeconds = clock.seconds - this.lastActive
    const isStuck = this.transport.isStuck && silentSeconds > timeoutSeconds
    if (isStuck || (this.streams.size === 0 && silentSeconds > timeoutSeconds + lingerSeconds)) {
      this.socket.terminate()
    } else if (this.streams.size === 0 && silentSeconds > timeoutSeconds) {
      this.session.close()
    }
  }

  finish(): void {
    if (this.isEnding) return
    this.isEnding = true
    for (const { connection } of this.streams) connection.finish()
    this.session.close()
  }

  get isFinished(): boolean {
    for (const { connection } of this.streams) if (!connection.isFinished) return false
    return true
  }

  get activity(): Activity {
    if (this.streams.size > 0) return 'busy'
    return this.wasServed ? 'idle' : 'new'
  }

  close(): void {
    this.socket.terminate()
  }

  /** The connections of its streams. */
  get requests(): Iterable<Http2Stream['connection']> {
    return Array.from(this.streams, ({ connection }) => connection)
  }

  private begin(stream: ServerHttp2Stream, flags: number, fields: readonly string[]): void {
    const hasBody = (flags & NGHTTP2_FLAG_END_STREAM) === 0
    const head = requestHead(fields, hasBody)
    if (head === null || this.isEnding) {
      stream.on('error', () => {})
      // A refused request may be sent again, to another server.
      stream.close(head === null ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_REFUSED_STREAM)
      return
    }
    const { remoteAddress } = this.socket
    const { clientSubject } = this
    const served = new Http2Stream(this.server, { remoteAddress, clientSubject }, stream, head, hasBody)
    this.streams.add(served)
    stream.on('close', () => {
      if (!this.streams.delete(served)) return
      this.wasServed = true
      this.lastActive = this.server.clock.seconds
      served.closed()
      if (this.isHalfClosed && this.streams.size === 0) this.socket.end()
    })
  }
}

/** The bytes of the connection, as the stream of Node that a session reads and writes. */
class Transport extends Duplex {
  private readonly socket: Socket
  /** What the socket had no room for, and whom to tell when it is written. */
  private unsent: { bytes: Buffer; readonly done: () => void } | null = null

  constructor(socket: Socket) {
    super()
    this.socket = socket
    this.on('error', () => {})
  }

  /** The client does not take what is sent to it. */
  get isStuck(): boolean {
    return this.unsent !== null
  }

  /** Null: the client has closed its side. */
  received(bytes: Buffer | null): void {
    if (!this.destroyed && !this.push(bytes) && bytes !== null) this.socket.pause()
  }

  drained(): void {
    const { unsent } = this
    if (unsent === null) return
    const sent = this.socket.write(unsent.bytes)
    if (sent < unsent.bytes.length) {
      unsent.bytes = unsent.bytes.subarray(Math.max(sent, 0))
      return
    }
    this.unsent = null
    unsent.done()
  }

  override _read(): void {
    this.socket.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const sent = this.socket.write(bytes)
    if (sent === bytes.length) done()
    else this.unsent = { bytes: bytes.subarray(Math.max(sent, 0)), done }
  }

  override _final(done: () => void): void {
    this.socket.shutdown()
    done()
  }
}
