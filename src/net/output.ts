import type { Socket } from './socket.ts'
import type { TickScheduler } from './tick.ts'

/** The parts of one tick are sent together up to this size; a larger part is sent alone. */
const maxBufferedBytes = 64 * 1024

/** Bytes up to this size wait for the end of the tick; to copy more once more costs more than a system call. */
export const maxWaitingBytes = 16 * 1024

/**
 * A method of Node's and Bun's buffers that their types lack. Unlike `write`, it does not check its arguments first.
 */
interface Utf8Buffer extends Buffer {
  utf8Write(text: string, offset: number): number
}

/** A short text that is written where it is sent from, and never becomes a string. */
export interface Encodable {
  /** Its size. */
  readonly bytes: number
  /** Writes it at an offset of a buffer and its view. */
  write(into: Buffer, view: DataView, at: number): void
}

/**
 * The buffer in which outputs join their parts, shared by all because joining is synchronous. Joining them as strings
 * costs more: each response would leave a string to the garbage collector. It has room for the buffered parts, one more
 * part as large, and its prefixes.
 */
const joined = Buffer.allocUnsafeSlow(4 * maxBufferedBytes) as Utf8Buffer
const joinedView = new DataView(joined.buffer, joined.byteOffset, joined.length)

/**
 * The output to one client, in order. Parts are buffered until the tick ends; what the socket has no room for is queued
 * until it drains.
 */
export class Output {
  private readonly socket: Pick<Socket, 'write'>
  private readonly ticks: TickScheduler
  private readonly parts: (string | Uint8Array | Encodable)[] = []
  private bufferedBytes = 0
  private isScheduled = false
  private readonly queue: Uint8Array[] = []
  private queuedBytes = 0
  private sentBytes = 0

  constructor(socket: Pick<Socket, 'write'>, ticks: TickScheduler) {
    this.socket = socket
    this.ticks = ticks
  }

  /** Whether the socket had no room for all output: callers should wait for `drained` before they send more. */
  get isFull(): boolean {
    return this.queuedBytes > 0
  }

  /** Bytes that wait until the socket drains. */
  get unsentBytes(): number {
    return this.queuedBytes
  }

  /** Returns how many bytes the socket accepted since the last call. */
  takeSentBytes(): number {
    const { sentBytes } = this
    this.sentBytes = 0
    return sentBytes
  }

  /** Sends ASCII text of at most the size of a head, in one piece with the next part. */
  prefix(text: string): void {
    this.parts.push(text)
    this.bufferedBytes += text.length
  }

  /** Sends text as UTF-8. `bytes` is its encoded length; without it the text must be ASCII. */
  text(text: string, bytes: number = text.length): void {
    if (bytes > maxBufferedBytes) this.bytes(Buffer.from(text))
    else this.buffer(text, bytes)
  }

  /** Sends bytes at once, after what is buffered. They must not change while `isFull`. */
  bytes(part: Uint8Array): void {
    const isJoined = this.bufferedBytes > 0 && this.bufferedBytes + part.length <= joined.length
    if (isJoined && this.queuedBytes === 0) this.sendJoined(part)
    else {
      this.flush()
      this.send(part, part.length)
    }
  }

  /**
   * Sends bytes: up to `maxWaitingBytes` together with the text of the tick, more at once. They must not change before the tick
   * ends if they are few, nor while `isFull`.
   */
  value(bytes: Uint8Array): void {
    if (bytes.length > maxWaitingBytes) this.bytes(bytes)
    else this.buffer(bytes, bytes.length)
  }

  encoded(part: Encodable): void {
    this.buffer(part, part.bytes)
  }

  flush(): void {
    this.isScheduled = false
    if (this.bufferedBytes > 0) this.send(joined, this.join())
  }

  /** Copies what is buffered into `joined`; returns where it ends. */
  private join(): number {
    const { parts } = this
    let end = 0
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      if (typeof part === 'string') {
        end += joined.utf8Write(part, end)
      } else if (part instanceof Uint8Array) {
        joined.set(part, end)
        end += part.length
      } else {
        part.write(joined, joinedView, end)
        end += part.bytes
      }
    }
    parts.length = 0
    this.bufferedBytes = 0
    return end
  }

  /** Sends what is buffered and a part together: to copy as much costs less than to send once more. */
  private sendJoined(part: Uint8Array): void {
    this.isScheduled = false
    const start = this.join()
    joined.set(part, start)
    const bytes = start + part.length
    const sent = this.socket.write(joined, 0, bytes)
    if (sent < 0) return
    this.sentBytes += sent
    if (sent < start) this.queue.push(Buffer.from(joined.subarray(sent, start)))
    if (sent < bytes) this.queue.push(part.subarray(Math.max(sent - start, 0)))
    this.queuedBytes += bytes - sent
  }

  /** Sends queued output after the socket has drained. */
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

  /** Drops all output, because the client is gone. */
  discard(): void {
    this.parts.length = 0
    this.bufferedBytes = 0
    this.queue.length = 0
    this.queuedBytes = 0
  }

  private buffer(part: string | Uint8Array | Encodable, bytes: number): void {
    this.parts.push(part)
    this.bufferedBytes += bytes
    if (this.bufferedBytes > maxBufferedBytes) {
      this.flush()
    } else if (!this.isScheduled) {
      this.isScheduled = true
      this.ticks.scheduleFlush(this)
    }
  }

  /**
   * Sends the first `bytes` bytes of a part. Queues what the socket has no room for, copied if the part is `joined`.
   */
  private send(part: Uint8Array, bytes: number): void {
    const sent = this.queuedBytes > 0 ? 0 : this.socket.write(part, 0, bytes)
    // A closed socket will report its close; nothing is queued for it.
    if (sent < 0) return
    this.sentBytes += sent
    if (sent === bytes) return
    const unsent = part.subarray(sent, bytes)
    this.queue.push(part === joined ? Buffer.from(unsent) : unsent)
    this.queuedBytes += bytes - sent
  }
}
