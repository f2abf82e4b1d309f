import { matchesNothing } from './command.ts'

/** The longest key as sent, including base64. */
const maxWireKeyBytes = 250

const noBytes = Buffer.alloc(0)

const space = 0x20
const newline = 0x0a
const carriageReturn = 0x0d
const del = 0x7f
const plus = 0x2b
const minus = 0x2d
const zero = 0x30

const maxUint32 = 0xffff_ffff
const maxUint64 = 0xffff_ffff_ffff_ffffn
/** Any number with this many digits is a safe integer. */
const safeDigits = 15

/** The value of `blockBytes` for a line without a data block. */
export const noBlock = -1

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * One command line, split into words at spaces. One object serves all lines of a connection; values read from it do not
 * refer to it.
 */
export class Line {
  /** The number of words; word 0 is the name of the command. */
  count = 0
  /** Length of the data block after the line, without its line end. Set by the parser of the line. */
  blockBytes = noBlock

  private bytes: Buffer = noBytes
  private starts: number[] = []
  private ends: number[] = []

  /**
   * Splits the line that starts at `from`. Returns the offset of its newline, or -1 when `bytes` ends before it. A line
   * ends with `\r\n` or, as in memcached, with `\n` alone.
   */
  cut(bytes: Buffer, from: number): number {
    const length = bytes.length
    // The tables of a very long line are not kept.
    if (this.starts.length > 4096) {
      this.starts = []
      this.ends = []
    }
    this.bytes = bytes
    this.blockBytes = noBlock
    let count = 0
    let at = from
    while (at < length) {
      while (bytes[at] === space) at++
      const start = at
      let byte = 0
      while (at < length) {
        byte = bytes[at]!
        if (byte === space || byte === newline) break
        at++
      }
      if (at === length) return -1
      const end = byte === newline && bytes[at - 1] === carriageReturn ? at - 1 : at
      if (end > start) {
        this.starts[count] = start
        this.ends[count] = end
        count++
      }
      if (byte === newline) {
        this.count = count
        return at
      }
    }
    return -1
  }

  /** Releases the buffer, so that an idle connection does not retain its last input. */
  release(): void {
    this.bytes = noBytes
  }

  wordBytes(index: number): number {
    return this.ends[index]! - this.starts[index]!
  }

  /** Returns the byte at an offset in a word. */
  byteOf(index: number, at: number): number {
    return this.bytes[this.starts[index]! + at]!
  }

  is(index: number, text: string): boolean {
    return this.wordBytes(index) === text.length && this.beginsWith(index, text)
  }

  beginsWith(index: number, text: string): boolean {
    const start = this.starts[index]!
    if (this.ends[index]! - start < text.length) return false
    for (let i = 0; i < text.length; i++) if (this.bytes[start + i] !== text.charCodeAt(i)) return false
    return true
  }

  /** Returns a word from an offset on, one character per byte. */
  text(index: number, skip = 0): string {
    return this.bytes.toString('latin1', this.starts[index]! + skip, this.ends[index]!)
  }

  /** Whether the last word is `noreply`. */
  get noreply(): boolean {
    return this.is(this.count - 1, 'noreply')
  }

  /** Whether a word is too long for a key, encoded or not. */
  isLongKey(index: number): boolean {
    return this.wordBytes(index) > maxWireKeyBytes
  }

  /** Returns the word as a key; null when it is too long, has control characters, or is not UTF-8. */
  key(index: number): string | null {
    if (this.isLongKey(index)) return null
    const start = this.starts[index]!
    const end = this.ends[index]!
    let all = 0
    for (let i = start; i < end; i++) {
      const byte = this.bytes[i]!
      if (byte < space || byte === del) return null
      all |= byte
    }
    if (all < 0x80) return this.bytes.toString('latin1', start, end)
    return decodeUtf8(this.bytes.subarray(start, end))
  }

  /**
   * Returns a copy of the bytes of the words from `first` on, and the offset of each word in it and of its end. Null unless
   * all are keys of ASCII.
   */
  encodedKeys(first: number): { readonly bytes: Buffer; readonly offsets: readonly number[] } | null {
    const { bytes, starts, ends, count } = this
    const from = starts[first]!
    const offsets: number[] = []
    for (let word = first; word < count; word++) {
      const start = starts[word]!
      const end = ends[word]!
      if (end - start > maxWireKeyBytes) return null
      for (let i = start; i < end; i++) {
        const byte = bytes[i]!
        if (byte < space || byte >= del) return null
      }
      offsets.push(start - from, end - from)
    }
    return { bytes: Buffer.from(bytes.subarray(from, ends[count - 1]!)), offsets }
  }

  /** Decodes the word as a key in base64; null when it is not base64, or the key is not UTF-8. */
  base64Key(index: number): string | null {
    const text = this.text(index)
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length === 0 || bytes.toString('base64') !== text) return null
    return decodeUtf8(bytes)
  }

  /** Parses a signed decimal integer; null when malformed or not a safe integer. */
  integer(index: number, skip = 0): number | null {
    let at = this.starts[index]! + skip
    const end = this.ends[index]!
    const sign = this.bytes[at]
    const signed = at < end && (sign === plus || sign === minus)
    if (signed) at++
    if (at >= end) return null
    let value = 0
    for (; at < end; at++) {
      const digit = this.bytes[at]! - zero
      if (digit < 0 || digit > 9) return null
      value = value * 10 + digit
      if (value > Number.MAX_SAFE_INTEGER) return null
    }
    return signed && sign === minus && value !== 0 ? -value : value
  }

  /** Parses an unsigned decimal integer of 32 bits; null otherwise. */
  uint32(index: number, skip = 0): number | null {
    const value = this.integer(index, skip)
    return value === null || value < 0 || value > maxUint32 ? null : value
  }

  /** Parses an unsigned decimal integer of 64 bits; null otherwise. */
  uint64(index: number, skip = 0): bigint | null {
    if (this.wordBytes(index) - skip <= safeDigits) {
      const small = this.integer(index, skip)
      return small === null || small < 0 ? null : BigInt(small)
    }
    const text = this.text(index, skip)
    if (!/^\+?[0-9]+$/.test(text)) return null
    const value = BigInt(text.startsWith('+') ? text.slice(1) : text)
    return value > maxUint64 ? null : value
  }

  /** Parses a cas unique: a revision, or `matchesNothing` for one beyond the safe integers; null when malformed. */
  casUnique(index: number, skip = 0): number | null {
    const value = this.uint64(index, skip)
    if (value === null) return null
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? matchesNothing : Number(value)
  }
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}
