import type { Turn } from './turn.ts'

/** What of a socket sending needs. */
export interface Sink {
  /** Sends as much as there is room for and says how many bytes that was; less than 0 when nobody is there any more. */
  write(part: string | Uint8Array): number
}

/** Text of a turn goes out together, up to this; larger bodies go out by themselves. */
const maxGatheredBytes = 64 * 1024

/** What goes out on a connection: text at the end of the turn, and kept where the socket has no room for it. */
export class Output {
  private readonly sink: Sink
  private readonly turn: Turn
  private gathered = ''
  private gatheredBytes = 0
  private backlog: Buffer | null = null

  constructor(sink: Sink, turn: Turn) {
    this.sink = sink
    this.turn = turn
  }

  /** The socket has no room: `drained` comes when it has. */
  get isFull(): boolean {
    return this.backlog !== null
  }

  /** So many bytes in UTF-8; of ASCII, as many as it has characters. */
  text(text: string, bytes: number = text.length): void {
    if (bytes > maxGatheredBytes) {
      this.bytes(Buffer.from(text))
      return
    }
    const isFirst = this.gatheredBytes === 0
    this.gathered += text
    this.gatheredBytes += bytes
    if (isFirst) this.turn.hasOutput(this)
    else if (this.gatheredBytes > maxGatheredBytes) this.flush()
  }

  bytes(part: Uint8Array): void {
    this.flush()
    this.send(part, part.length)
  }

  flush(): void {
    if (this.gatheredBytes === 0) return
    const text = this.gathered
    const bytes = this.gatheredBytes
    this.gathered = ''
    this.gatheredBytes = 0
    this.send(text, bytes)
  }

  /** There is room for more. */
  drained(): void {
    const rest = this.backlog
    if (rest === null) return
    this.backlog = null
    this.send(rest, rest.length)
  }

  /** Nobody will take any of it. */
  drop(): void {
    this.gathered = ''
    this.gatheredBytes = 0
    this.backlog = null
  }

  private send(part: string | Uint8Array, bytes: number): void {
    if (this.backlog !== null) {
      this.backlog = Buffer.concat([this.backlog, bytesOf(part)])
      return
    }
    const sent = this.sink.write(part)
    // Of a socket that is closed its end is heard of next.
    if (sent >= 0 && sent < bytes) this.backlog = bytesOf(part).subarray(sent)
  }
}

function bytesOf(part: string | Uint8Array): Buffer {
  if (typeof part === 'string') return Buffer.from(part)
  return Buffer.from(part.buffer, part.byteOffset, part.length)
}
