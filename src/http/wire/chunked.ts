import { maxChunkLineBytes, maxTrailerBytes } from '../../core/limits.ts'
import { parseFieldLines } from './fields.ts'

/**
 * A decoder of the chunked coding (RFC 9112, 7.1) for input in pieces. Extensions and trailers must be well-formed, and
 * are dropped.
 */

type Step = 'size' | 'data' | 'end of data' | 'trailer'

export class ChunkedDecoder {
  isComplete = false
  private step: Step = 'size'
  /** Bytes of the current chunk that have not arrived yet. */
  private left = 0
  private line = ''
  private trailerBytes = 0

  /**
   * Decodes the bytes that belong to the body; returns how many those are, and the content of their chunks in one
   * piece. Returns a message when the coding is malformed.
   */
  decode(bytes: Buffer): { readonly taken: number; readonly data: Buffer } | string {
    const data = new Buffered(bytes)
    let at = 0
    while (at < bytes.length && !this.isComplete) {
      if (this.step === 'data') {
        const end = Math.min(bytes.length, at + this.left)
        data.add(at, end)
        this.left -= end - at
        at = end
        if (this.left === 0) this.step = 'end of data'
        continue
      }
      const end = bytes.indexOf(10, at)
      const stop = end === -1 ? bytes.length : end + 1
      if (this.line.length + stop - at > maxChunkLineBytes) return 'a line between its chunks is too long'
      this.line += bytes.toString('latin1', at, stop)
      at = stop
      if (end === -1) break
      const wrong = this.takeLine(this.line)
      if (wrong !== null) return wrong
      this.line = ''
    }
    return { taken: at, data: data.whole() }
  }

  private takeLine(line: string): string | null {
    if (!line.endsWith('\r\n')) return 'a line between its chunks does not end with CR LF'
    if (this.step === 'end of data') {
      this.step = 'size'
      return line === '\r\n' ? null : 'a chunk is longer than its size says'
    }
    if (this.step === 'trailer') {
      this.trailerBytes += line.length
      if (this.trailerBytes > maxTrailerBytes) return 'the trailer is too long'
      this.isComplete = line === '\r\n'
      const fields = this.isComplete ? [] : parseFieldLines(line, 0)
      return typeof fields === 'string' ? `the trailer ${fields}` : null
    }
    const size = sizeForm.exec(line)?.[1]
    if (size === undefined) return 'the size of a chunk is not one'
    this.left = Number.parseInt(size, 16)
    this.step = this.left === 0 ? 'trailer' : 'data'
    return null
  }
}

/**
 * Joins ranges of a buffer into one piece. Chunks may have one byte each, and an object for each would take a hundred
 * times that.
 */
class Buffered {
  private readonly bytes: Buffer
  /** The first range, while it is the only one. */
  private from = 0
  private to = 0
  private joined: Buffer | null = null
  private length = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  add(from: number, to: number): void {
    if (this.length === 0) {
      this.from = from
      this.to = to
    } else {
      if (this.joined === null) {
        this.joined = Buffer.allocUnsafe(this.bytes.length)
        this.bytes.copy(this.joined, 0, this.from, this.to)
      }
      this.bytes.copy(this.joined, this.length, from, to)
    }
    this.length += to - from
  }

  whole(): Buffer {
    return this.joined?.subarray(0, this.length) ?? this.bytes.subarray(this.from, this.to)
  }
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const quotedString = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"'
const extension = `[\\t ]*;[\\t ]*${token}(?:[\\t ]*=[\\t ]*(?:${token}|${quotedString}))?`

/** A chunk size with its extensions (RFC 9112, 7.1.1). */
const sizeForm = RegExp(`^([0-9a-fA-F]{1,12})(?:${extension})*\\r\\n$`)
