import type { Socket } from './socket.ts'
import type { TickScheduler } from './tick.ts'

/** The parts of one tick are sent together, up to this; larger ones are sent by themselves. */
const maxBufferedBytes = 64 * 1024

/** Buffers of Node and Bun have this method, their types do not; `write` checks its other arguments first. */
interface Utf8Buffer extends Buffer {
  utf8Write(text: string, offset: number): number
}

/**
 * Where all outputs join their parts, one after the other. To join them as strings costs more: each response would leave a
 * string to the garbage collector. It has room for what is buffered, a part as large, and its prefixes.
 */
const joined = Buffer.allocUnsafeSlow(4 * maxBufferedBytes) as Utf8Buffer

/**
 * What is sent to one client, in order. Parts are buffered until the tick ends, and what the socket has no room for is
 * queued until it drains.
 */
export class Output {
  private readonly socket: Pick<Socket, 'write'>
  private readonly ticks: TickScheduler
  private readonly parts: (string | Uint8Array)[] = []
  private bufferedBytes = 0
  private isScheduled = false
  private readonly queue: Uint8Array[] = []
  private queuedBytes = 0
  private sentBytes = 0

  constructor(socket: Pick<Socket, 'write'>, ticks: TickScheduler) {
    this.socket = socket
    this.ticks = ticks
  }

  /** The socket had no room for all that was sent: more should wait until `drained` was called. */
  get isFull(): boolean {
    return this.queuedBytes > 0
  }

  /** What the socket had no room for. */
  get unsentBytes(): number {
    return this.queuedBytes
  }

  /** How many bytes the socket has taken since this was last called. */
  takeSentBytes(): number {
    const { sentBytes } = this
    this.sentBytes = 0
    return sentBytes
  }

  /** Sends ASCII, no more than a head has, in one piece with the part that is sent next. */
  prefix(text: string): void {
    this.parts.push(text)
    this.bufferedBytes += text.length
  }

  /** Sends text as UTF-8, of which `bytes` is the length; without it the text must be ASCII. */
  text(text: string, bytes: number = text.length): void {
    if (bytes > maxBufferedBytes) this.bytes(Buffer.from(text))
    else this.buffer(text, bytes)
  }

  /** Sends bytes, which must not change while `isFull`. */
  bytes(part: Uint8Array): void {
    this.flush()
    this.send(part, part.length)
  }

  /** Sends bytes together with the text of the tick, if they are few; they must not change before it ends, nor while `isFull`. */
  value(bytes: Uint8Array): void {
    if (bytes.length > maxBufferedBytes) this.bytes(bytes)
    else this.buffer(bytes, bytes.length)
  }

  flush(): void {
    this.isScheduled = false
    if (this.bufferedBytes === 0) return
    const { parts } = this
    let end = 0
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      if (typeof part === 'string') {
        end += joined.utf8Write(part, end)
      } else {
        joined.set(part, end)
        end += part.length
      }
    }
    parts.length = 0
    this.bufferedBytes = 0
    this.send(joined, end)
  }

  /** The socket has room again. */
  drained(): void {
    const { queue } = this
    while (queue.length > 0) {
      const part = queue[0]!
      const sent = this.socket.write(part)
      if (sent <= 0) return
      this.sentBytes += sent
      this.queuedBytes -= sent
      if (sent < part.length) {
        queue[0] = part.subarray(sent)
        return
      }
      queue.shift()
    }
  }

  /** The client is gone: nothing of it will be sent. */
  discard(): void {
    this.parts.length = 0
    this.bufferedBytes = 0
    this.queue.length = 0
    this.queuedBytes = 0
  }

  private buffer(part: string | Uint8Array, bytes: number): void {
    this.parts.push(part)
    this.bufferedBytes += bytes
    if (this.bufferedBytes > maxBufferedBytes) {
      this.flush()
    } else if (!this.isScheduled) {
      this.isScheduled = true
      this.ticks.scheduleFlush(this)
    }
  }

  /** Sends the first so many of these bytes. What there is no room for is queued, as a copy if the bytes are `joined`. */
  private send(part: Uint8Array, bytes: number): void {
    const sent = this.queuedBytes > 0 ? 0 : this.socket.write(part, 0, bytes)
    // A closed socket is about to report that it is: nothing is kept for it.
    if (sent < 0) return
    this.sentBytes += sent
    if (sent === bytes) return
    const unsent = part.subarray(sent, bytes)
    this.queue.push(part === joined ? Buffer.from(unsent) : unsent)
    this.queuedBytes += bytes - sent
  }
}
