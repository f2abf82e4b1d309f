/**
 * Responses of the memcached protocol. Small ones are put one behind the other into a piece of memory, so that thousands
 * of them are sent with one system call; large values are sent from where they are.
 */

/** A value as it is sent: bytes, or text that is sent as UTF-8. */
export type WireValue = Uint8Array | string

/** Where responses go: the output of a connection. */
export interface ResponseSink {
  /** Takes bytes, which must not change while there are unsent ones. */
  bytes(part: Uint8Array): void
  readonly unsentBytes: number
}

/** Values from here on are sent from where they are. */
const largeValueBytes = 16 * 1024
const pieceBytes = 64 * 1024
/** Empty pieces that are kept for later responses. All connections share them, so that an idle one has none. */
const maxRecycled = 16
const recycled: Buffer[] = []

/** Text up to this length is cheaper to copy letter by letter than by a call. */
const shortText = 32
/** `VALUE`, flags, length, cas unique, the spaces between and both ends of line. */
const valueLineBytes = 64

const noPiece = Buffer.alloc(0)

export class Responses {
  private readonly sink: ResponseSink
  private piece: Buffer = noPiece
  /** How much of the piece is filled. */
  private end = 0

  constructor(sink: ResponseSink) {
    this.sink = sink
  }

  /** How much the client has not taken yet. A connection takes no further commands while this is large. */
  get unsentBytes(): number {
    return this.sink.unsentBytes + this.end
  }

  /** Sends what was put so far. */
  flush(): void {
    if (this.end === 0) return
    this.sink.bytes(this.end === this.piece.length ? this.piece : this.piece.subarray(0, this.end))
    // While some of it is unsent the piece is the sink's.
    if (this.sink.unsentBytes === 0) recycle(this.piece)
    this.piece = noPiece
    this.end = 0
  }

  /** A line that is one of the fixed ones, an error, or a number: `STORED`, `ERROR`, `42`. */
  line(text: string): void {
    this.text(text)
    this.endLine()
  }

  /** `VALUE <key> <flags> <bytes> [<cas unique>]` and the data block; `casUnique` null leaves it out. */
  value(key: string, flags: number, value: WireValue, casUnique: number | null): void {
    const bytes = wireBytes(value)
    this.reserve(valueLineBytes + key.length * 3 + (bytes < largeValueBytes ? bytes : 0))
    this.text('VALUE ')
    this.text(key)
    this.text(' ')
    this.number(flags)
    this.text(' ')
    this.number(bytes)
    if (casUnique !== null) {
      this.text(' ')
      this.number(casUnique)
    }
    this.endLine()
    this.block(value, bytes)
  }

  /** What follows the last value of a get, and the last line of `stats`. */
  endOfList(): void {
    this.line('END')
  }

  /** `STAT <name> <value>`. */
  stat(name: string, value: string | number | bigint): void {
    this.line(`STAT ${name} ${value}`)
  }

  /** A value of known length and its end of line. */
  block(value: WireValue, bytes: number): void {
    if (bytes >= largeValueBytes) {
      this.flush()
      this.sink.bytes(typeof value === 'string' ? Buffer.from(value) : value)
    } else if (typeof value === 'string') {
      this.text(value)
    } else {
      this.reserve(bytes + 2)
      this.piece.set(value, this.end)
      this.end += bytes
    }
    this.endLine()
  }

  text(text: string): void {
    const length = text.length
    this.reserve(length * 3 + 2)
    if (length > shortText) {
      this.end += this.piece.write(text, this.end)
      return
    }
    const { piece, end } = this
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) {
        this.end += piece.write(text, end)
        return
      }
      piece[end + i] = code
    }
    this.end = end + length
  }

  /** Text of which each character is one byte, as the parser gives the tokens of flags. */
  latin1(text: string): void {
    this.reserve(text.length)
    this.end += this.piece.write(text, this.end, 'latin1')
  }

  /** A safe integer, not negative. */
  number(value: number): void {
    if (value > 0x7fff_ffff) {
      this.text(String(value))
      return
    }
    this.reserve(12)
    let digits = 1
    for (let limit = 10; digits < 10 && value >= limit; limit *= 10) digits++
    let rest = value
    for (let at = this.end + digits - 1; at >= this.end; at--) {
      const tenth = (rest / 10) | 0
      this.piece[at] = 0x30 + rest - tenth * 10
      rest = tenth
    }
    this.end += digits
  }

  endLine(): void {
    this.reserve(2)
    this.piece[this.end] = 0x0d
    this.piece[this.end + 1] = 0x0a
    this.end += 2
  }

  /** Makes room for so many bytes behind the last. */
  private reserve(bytes: number): void {
    if (this.end + bytes <= this.piece.length) return
    this.flush()
    this.piece =
      bytes <= pieceBytes ? (recycled.pop() ?? Buffer.allocUnsafeSlow(pieceBytes)) : Buffer.alloc(bytes)
  }
}

function recycle(piece: Buffer): void {
  if (piece.length === pieceBytes && recycled.length < maxRecycled) recycled.push(piece)
}

export function wireBytes(value: WireValue): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}
