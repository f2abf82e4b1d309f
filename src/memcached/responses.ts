import type { StoredJson } from '../core/member-visitor.ts'

/**
 * Writes responses of the memcached protocol. Small ones are joined in a buffer, so that thousands of them are sent
 * with one system call; large values are sent without copying.
 */

/** A value as it is sent: bytes, or text, which is encoded as UTF-8. */
export type WireValue = Uint8Array | string

/** The output of a connection. */
export interface ResponseSink {
  /** Sends bytes, which must not change while `unsentBytes` is above 0. */
  bytes(part: Uint8Array): void
  readonly unsentBytes: number
}

/** Values of at least this size are sent without copying. */
const largeValueBytes = 16 * 1024
const pieceBytes = 64 * 1024
/** Free buffers for later responses, shared by all connections, so that an idle one holds none. */
const maxRecycled = 16
const recycled: Buffer[] = []

/** Text up to this length is faster to copy character by character than by a native call. */
const shortText = 32
/** Bytes of `VALUE`, flags, length, cas unique, the spaces between and both line ends. */
const valueLineBytes = 64

const valueWord = Buffer.from('VALUE ')
const space = 0x20
const zero = 0x30
const noPiece = Buffer.alloc(0)

export class Responses {
  private readonly sink: ResponseSink
  private piece: Buffer = noPiece
  /** The number of bytes used in the piece, and before the last row. */
  private end = 0
  private storedAt = 0

  constructor(sink: ResponseSink) {
    this.sink = sink
  }

  /** Bytes that the client has not received yet. A connection executes no further commands while they are many. */
  get unsentBytes(): number {
    return this.sink.unsentBytes + this.end
  }

  /** Sends all that was written so far. */
  flush(): void {
    if (this.end === 0) return
    this.sink.bytes(this.end === this.piece.length ? this.piece : this.piece.subarray(0, this.end))
    // The sink may still use the piece while it has unsent bytes.
    if (this.sink.unsentBytes === 0) recycle(this.piece)
    this.piece = noPiece
    this.end = 0
  }

  /** Writes a line: a fixed one, an error, or a number, such as `STORED`, `ERROR`, `42`. */
  line(text: string): void {
    this.text(text)
    this.endLine()
  }

  /** Writes `VALUE <key> <flags> <bytes> [<cas unique>]` and the data block; `casUnique` null omits it. */
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

  /** As `value`, for a value of a row, which has fewer than `largeValueBytes` bytes. `undo` takes it back until the next call. */
  stored(
    { bytes, keyAt, keyEnd, valueAt, valueEnd }: StoredJson,
    flags: number,
    casUnique: number | null,
  ): void {
    this.reserve(valueLineBytes + (keyEnd - keyAt) + (valueEnd - valueAt))
    this.storedAt = this.end
    const { piece } = this
    let at = this.end
    for (let i = 0; i < valueWord.length; i++) piece[at++] = valueWord[i]!
    for (let i = keyAt; i < keyEnd; i++) piece[at++] = bytes[i]!
    this.end = at
    this.spaced(flags)
    this.spaced(valueEnd - valueAt)
    if (casUnique !== null) this.spaced(casUnique)
    this.endLine()
    this.copy(bytes, valueAt, valueEnd)
    this.endLine()
  }

  /** Writes a space and a number. */
  private spaced(number: number): void {
    this.piece[this.end++] = space
    if (number > 9) this.number(number)
    else this.piece[this.end++] = zero + number
  }

  undo(): void {
    this.end = this.storedAt
  }

  /** Writes the line after the last value of a get, and after the last line of `stats`. */
  endOfList(): void {
    this.line('END')
  }

  /** Writes `STAT <name> <value>`. */
  stat(name: string, value: string | number | bigint): void {
    this.line(`STAT ${name} ${value}`)
  }

  /** Writes a value, whose length is `bytes`, and its line end. */
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

  /** Writes text with one byte per character, as the parser returns the tokens of flags. */
  latin1(text: string): void {
    this.reserve(text.length)
    this.end += this.piece.write(text, this.end, 'latin1')
  }

  /** Writes a non-negative safe integer. */
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

  /** Copies bytes for which there is room. */
  private copy(bytes: Buffer, from: number, to: number): void {
    const { piece, end } = this
    if (to - from > shortText) bytes.copy(piece, end, from, to)
    else for (let i = from; i < to; i++) piece[end + i - from] = bytes[i]!
    this.end = end + (to - from)
  }

  /** Makes room for `bytes` more bytes. */
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
