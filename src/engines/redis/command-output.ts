import { type RedisCommand, runIdArgument } from './resp.ts'

/** Larger arguments are sent from where they are, smaller ones are joined. */
const maxJoinedBytes = 64 * 1024

/** A method of Bun's buffers that their types lack. Unlike `write`, it does not check its arguments first. */
interface Utf8Buffer extends Buffer {
  utf8Write(text: string, offset: number): number
}

/** Shared by all connections, because joining is synchronous. Has room for one more argument than it is filled to. */
const joined = Buffer.allocUnsafeSlow(4 * maxJoinedBytes) as Utf8Buffer

/** Returns how many bytes the socket accepted; less than 0 when it is closed. */
interface Socket {
  write(bytes: Uint8Array, offset: number, length: number): number
}

/**
 * Encodes commands and sends them. What the socket has no room for is kept until it drains; callers encode no further
 * command while `isFull`, so that a server that stops reading costs little memory.
 */
export class CommandOutput {
  private readonly socket: Socket
  private joinedBytes = 0
  private readonly queue: Uint8Array[] = []
  /** Bytes of all commands so far. */
  encodedBytes = 0
  /** Those of them that the socket accepted. */
  sentBytes = 0
  /** What is sent for `runIdArgument`. */
  runId = ''

  constructor(socket: Socket) {
    this.socket = socket
  }

  get isFull(): boolean {
    return this.queue.length > 0
  }

  /** Encodes a command. Its bytes must not change while `isFull`. Call `flush` before the tick ends. */
  add(command: RedisCommand): void {
    this.header(42, command.length)
    for (const argument of command) {
      if (typeof argument === 'string') this.text(argument)
      else if (typeof argument === 'number') this.text(String(argument))
      else if (argument === runIdArgument) this.text(this.runId)
      else this.bytes(argument)
    }
  }

  flush(): void {
    const bytes = this.joinedBytes
    if (bytes === 0) return
    this.joinedBytes = 0
    this.send(joined, bytes)
  }

  /** Sends what is queued after the socket has drained. */
  drained(): void {
    const { queue } = this
    while (queue.length > 0) {
      const part = queue[0]!
      const sent = this.socket.write(part, 0, part.length)
      if (sent <= 0) return
      this.sentBytes += sent
      if (sent < part.length) {
        queue[0] = part.subarray(sent)
        return
      }
      queue.shift()
    }
  }

  discard(): void {
    this.joinedBytes = 0
    this.queue.length = 0
  }

  private text(text: string): void {
    // A character is at most three bytes.
    if (3 * text.length > maxJoinedBytes) {
      this.bytes(Buffer.from(text))
      return
    }
    this.header(36, Buffer.byteLength(text))
    const written = joined.utf8Write(text, this.joinedBytes)
    this.joinedBytes += written
    this.encodedBytes += written
    this.lineEnd()
  }

  private bytes(bytes: Uint8Array): void {
    this.header(36, bytes.length)
    if (bytes.length > maxJoinedBytes) {
      this.flush()
      this.send(bytes, bytes.length)
    } else {
      joined.set(bytes, this.joinedBytes)
      this.joinedBytes += bytes.length
    }
    this.encodedBytes += bytes.length
    this.lineEnd()
  }

  /** A type and a number in a line of their own, after which there is room for an argument. */
  private header(type: number, count: number): void {
    if (this.joinedBytes > 2 * maxJoinedBytes) this.flush()
    let end = this.joinedBytes
    joined[end++] = type
    if (count < 10) joined[end++] = 48 + count
    else end += joined.utf8Write(String(count), end)
    this.encodedBytes += end - this.joinedBytes
    this.joinedBytes = end
    this.lineEnd()
  }

  private lineEnd(): void {
    joined[this.joinedBytes++] = 13
    joined[this.joinedBytes++] = 10
    this.encodedBytes += 2
  }

  private send(part: Uint8Array, bytes: number): void {
    const sent = this.queue.length > 0 ? 0 : this.socket.write(part, 0, bytes)
    // A closed socket will report its close; nothing is queued for it.
    if (sent < 0) return
    this.sentBytes += sent
    if (sent === bytes) return
    const unsent = part.subarray(sent, bytes)
    this.queue.push(part === joined ? Buffer.from(unsent) : unsent)
  }
}
