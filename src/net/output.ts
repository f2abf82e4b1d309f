import type { Socket } from './socket.ts'
import type { TickScheduler } from './tick.ts'

/** Text of one tick is sent together, up to this; larger parts are sent by themselves. */
const maxBufferedBytes = 64 * 1024

/**
 * What is sent to one client, in order. Text is buffered until the tick ends, bytes are sent at once, and what the socket
 * has no room for is queued until it drains.
 */
export class Output {
  private readonly socket: Pick<Socket, 'write'>
  private readonly ticks: TickScheduler
  private buffered = ''
  private bufferedBytes = 0
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

  /** Sends text as UTF-8, of which `bytes` is the length; without it the text must be ASCII. */
  text(text: string, bytes: number = text.length): void {
    if (bytes > maxBufferedBytes) {
      this.bytes(Buffer.from(text))
      return
    }
    const isFirst = this.bufferedBytes === 0
    this.buffered += text
    this.bufferedBytes += bytes
    if (isFirst) this.ticks.scheduleFlush(this)
    else if (this.bufferedBytes > maxBufferedBytes) this.flush()
  }

  /** Sends bytes, which must not change while `isFull`. */
  bytes(part: Uint8Array): void {
    this.flush()
    this.send(part, part.length)
  }

  flush(): void {
    if (this.bufferedBytes === 0) return
    const text = this.buffered
    const bytes = this.bufferedBytes
    this.buffered = ''
    this.bufferedBytes = 0
    this.send(text, bytes)
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
    this.buffered = ''
    this.bufferedBytes = 0
    this.queue.length = 0
    this.queuedBytes = 0
  }

  private send(part: string | Uint8Array, bytes: number): void {
    const sent = this.queuedBytes > 0 ? 0 : this.socket.write(part)
    // A closed socket is about to tell that it is: nothing is kept for it.
    if (sent < 0) return
    this.sentBytes += sent
    if (sent === bytes) return
    const unsent = (typeof part === 'string' ? Buffer.from(part) : part).subarray(sent)
    this.queue.push(unsent)
    this.queuedBytes += unsent.length
  }
}
