import { isUtf8 } from 'node:buffer'
import { SourceError } from './entry.ts'

/** An element of an array or a member of an object, whose text was not parsed. */
export interface JsonPart {
  /** The name in the object; null in an array. */
  readonly name: string | null
  /** Null if it has more bytes than are kept. */
  readonly text: string | null
}

const byte = {
  tab: 9,
  newline: 10,
  return: 13,
  space: 32,
  quote: 34,
  comma: 44,
  colon: 58,
  openBracket: 91,
  backslash: 92,
  closeBracket: 93,
  openBrace: 123,
  closeBrace: 125,
} as const

const byteOrderMark = [0xef, 0xbb, 0xbf]

type State = 'start' | 'name' | 'colon' | 'value' | 'after' | 'end'

/**
 * Splits a JSON array or object into its parts as its bytes arrive, so that memory is bounded by the largest part. It
 * checks only what is around the parts: their texts are for `JSON.parse`.
 */
export class JsonSplitter {
  private readonly maxBytes: number
  private readonly name: string
  private state: State = 'start'
  private isFirst = true
  private close = 0
  private offset = 0
  private partName: string | null = null
  /** The part or name that is being read. */
  private isOpen = false
  private pieces: Buffer[] = []
  private pieceBytes = 0
  private depth = 0
  private isInString = false
  private isEscaped = false

  /** `name` is that of the input, for messages. Parts of more than `maxBytes` are read and discarded. */
  constructor(name: string, maxBytes: number) {
    this.name = name
    this.maxBytes = maxBytes
  }

  get isArray(): boolean {
    return this.close === byte.closeBracket
  }

  /** Returns the parts that end in these bytes. Throws a `SourceError`. */
  push(block: Buffer): JsonPart[] {
    const parts: JsonPart[] = []
    let at = 0
    while (at < block.length) {
      if (this.isOpen) at = this.readPart(block, at, parts)
      else {
        this.between(block[at]!, at)
        if (!this.isOpen) at++
      }
    }
    this.offset += block.length
    return parts
  }

  /** Throws a `SourceError` unless the array or object has ended. */
  end(): void {
    if (this.state === 'end') return
    const why = this.state === 'start' ? 'holds no JSON' : `ends in the middle, after ${this.offset} bytes`
    throw new SourceError(`${this.name} ${why}`)
  }

  /** Handles a byte outside of names and values. */
  private between(code: number, at: number): void {
    if (code === byte.space || code === byte.newline || code === byte.return || code === byte.tab) return
    if (this.state === 'start') this.open(code)
    else if (code === this.close && this.mayClose()) this.state = 'end'
    else if (this.state === 'after' && code === byte.comma) this.state = this.isArray ? 'value' : 'name'
    else if (this.state === 'colon' && code === byte.colon) this.state = 'value'
    else if (this.state === 'name' && code === byte.quote) this.begin()
    else if (this.state === 'value' && code !== byte.comma && code !== byte.colon && code !== this.close)
      this.begin()
    else throw new SourceError(`${this.name} is no JSON at byte ${this.offset + at}`)
  }

  private open(code: number): void {
    if (byteOrderMark.includes(code)) return
    if (code !== byte.openBracket && code !== byte.openBrace)
      throw new SourceError(`${this.name} is no JSON array or object`)
    this.close = code + 2
    this.state = this.isArray ? 'value' : 'name'
  }

  private mayClose(): boolean {
    if (this.state === 'after') return true
    return this.isFirst && this.state === (this.isArray ? 'value' : 'name')
  }

  private begin(): void {
    this.isOpen = true
    this.isFirst = false
    this.pieces = []
    this.pieceBytes = 0
    this.depth = 0
    this.isInString = false
  }

  /** Reads on in a name or value, and returns the offset after what was read. */
  private readPart(block: Buffer, from: number, parts: JsonPart[]): number {
    let at = from
    let isDone = false
    while (at < block.length && !isDone) {
      const code = block[at]!
      if (this.isInString) {
        if (this.isEscaped) this.isEscaped = false
        else if (code === byte.backslash) this.isEscaped = true
        else if (code === byte.quote) {
          this.isInString = false
          isDone = this.depth === 0
        }
        at++
      } else if (code === byte.quote) {
        this.isInString = true
        at++
      } else if (code === byte.openBrace || code === byte.openBracket) {
        this.depth++
        at++
      } else if (code === byte.closeBrace || code === byte.closeBracket) {
        if (this.depth === 0)
          isDone = true // it ends a scalar, and belongs to what is around it
        else {
          this.depth--
          isDone = this.depth === 0
          at++
        }
      } else if (this.depth === 0 && (code === byte.comma || code <= byte.space)) isDone = true
      else at++
    }
    this.keep(block.subarray(from, at))
    if (isDone) this.finishPart(parts)
    return at
  }

  private keep(bytes: Buffer): void {
    this.pieceBytes += bytes.length
    if (this.pieceBytes <= this.maxBytes) this.pieces.push(bytes)
    else this.pieces = []
  }

  private finishPart(parts: JsonPart[]): void {
    this.isOpen = false
    const isKept = this.pieceBytes <= this.maxBytes
    const bytes = this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces)
    this.pieces = []
    if (!isUtf8(bytes)) throw new SourceError(`${this.name} is not UTF-8, near byte ${this.offset}`)
    if (this.state === 'name') {
      this.partName = isKept ? parseName(bytes.toString()) : ''
      if (this.partName === null) throw new SourceError(`${this.name} is no JSON near byte ${this.offset}`)
      this.state = 'colon'
      return
    }
    parts.push({ name: this.isArray ? null : this.partName, text: isKept ? bytes.toString() : null })
    this.state = 'after'
  }
}

/** Returns the parts of an array or object that is in memory. Throws a `SourceError`. */
export function partsOf(
  text: string,
  name: string,
): { readonly isArray: boolean; readonly parts: JsonPart[] } {
  const splitter = new JsonSplitter(name, Number.POSITIVE_INFINITY)
  const parts = splitter.push(Buffer.from(text))
  splitter.end()
  return { isArray: splitter.isArray, parts }
}

function parseName(text: string): string | null {
  try {
    return String(JSON.parse(text))
  } catch {
    return null
  }
}
