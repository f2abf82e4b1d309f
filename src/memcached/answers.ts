/**
 * Answers of the memcached protocol, put one behind the other to be written together: thousands of small ones cost
 * one write. Values of some size are not copied but written from where they are.
 */

/** A value as it goes over the wire: bytes, or text that is sent as UTF-8. */
export type WireValue = Uint8Array | string

/** Values from here on are a piece of their own. */
const ownPieceBytes = 16 * 1024
const pieceBytes = 64 * 1024
/** Pieces kept for the next to answer. All connections share them, so that an idle one holds none. */
const maxSpares = 16
const spares: Buffer[] = []

/** Text up to this length is cheaper to put letter by letter than by a call. */
const shortText = 32
/** `VALUE`, flags, length, cas unique, the spaces between and both ends of line. */
const valueLineBytes = 64

const noPiece = Buffer.alloc(0)

export class Answers {
  /** Full pieces in the order of writing, then the one that is being filled from `start` (already written) to `end`. */
  private readonly full: Uint8Array[] = []
  private piece: Buffer = noPiece
  private start = 0
  private end = 0
  private fullBytes = 0

  /** How much is to be written. A listener takes no further commands while this is large. */
  get byteLength(): number {
    return this.fullBytes + this.end - this.start
  }

  /** What to write next; empty when there is nothing. Good until the next call of anything here. */
  peek(): Uint8Array {
    return this.full[0] ?? this.piece.subarray(this.start, this.end)
  }

  /** Takes note that the first bytes of what `peek` gave are written. */
  consume(bytes: number): void {
    const first = this.full[0]
    if (first !== undefined) {
      this.fullBytes -= bytes
      if (bytes < first.length) this.full[0] = first.subarray(bytes)
      else this.full.shift()
      return
    }
    this.start += bytes
    if (this.start === this.end) this.giveBack()
  }

  /** A line that is one of the fixed ones, an error, or a number: `STORED`, `ERROR`, `42`. */
  line(text: string): void {
    this.text(text)
    this.endLine()
  }

  /** `VALUE <key> <flags> <bytes> [<cas unique>]` and the data block; `casUnique` null leaves it out. */
  value(key: string, flags: number, value: WireValue, casUnique: number | null): void {
    const bytes = wireBytes(value)
    this.reserve(valueLineBytes + key.length * 3 + (bytes < ownPieceBytes ? bytes : 0))
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
    if (bytes >= ownPieceBytes) {
      this.seal()
      this.full.push(typeof value === 'string' ? Buffer.from(value) : value)
      this.fullBytes += bytes
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

  /** Text of which each letter stands for one byte, as the parser gives the tokens of flags. */
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
    this.seal()
    this.piece =
      bytes <= pieceBytes ? (spares.pop() ?? Buffer.allocUnsafeSlow(pieceBytes)) : Buffer.alloc(bytes)
  }

  /** What is filled so far becomes a full piece; its buffer goes with it. */
  private seal(): void {
    if (this.end > this.start) {
      this.full.push(this.piece.subarray(this.start, this.end))
      this.fullBytes += this.end - this.start
      this.piece = this.piece.subarray(this.end)
      this.start = 0
      this.end = 0
    } else {
      this.giveBack()
    }
  }

  private giveBack(): void {
    if (this.piece.length === pieceBytes && spares.length < maxSpares) spares.push(this.piece)
    this.piece = noPiece
    this.start = 0
    this.end = 0
  }
}

export function wireBytes(value: WireValue): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}
