/**
 * The Redis serialization protocol, versions 2 and 3, as far as servers send it. The parser takes bytes as they come:
 * each is inspected once, a bulk string that does not end in the bytes at hand is copied once, and nesting needs no
 * recursion.
 */

/**
 * An argument in whose place each connection that was opened with `sendsRunId` sends the run id of its server. A
 * connection ends with its server, so the server that receives it is the one that it names.
 */
export const runIdArgument = Symbol('run id')

/** A command and its arguments. Text is sent as UTF-8, numbers in decimal. */
export type RedisCommand = readonly (string | number | Uint8Array | typeof runIdArgument)[]

/**
 * A reply. Bulk strings are buffers, which are views of what was read from the socket, up to 512 KiB: copy what is kept
 * for long. Maps are arrays of keys and values in turn, sets are arrays, booleans 1 and 0. Integers and doubles that a
 * number cannot express are their decimal text.
 */
export type Reply = null | number | string | Buffer | ErrorReply | readonly Reply[]

/** An error within an array; one in place of the whole reply rejects as a `RedisError`. */
export class ErrorReply {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** The first word, in capitals by convention. */
  get code(): string {
    const space = this.text.indexOf(' ')
    return space < 0 ? this.text : this.text.slice(0, space)
  }
}

/** What a server sent is no RESP, or more than this client is willing to keep. The connection is of no use then. */
export class ProtocolError extends Error {}

/** Larger than any page of the engine with its largest value. */
const maxBulkBytes = 128 * 1024 * 1024
const maxElements = 4 * 1024 * 1024
const maxDepth = 16
/** Errors, simple strings and lengths. Redis limits its own errors to less. */
const maxLineBytes = 64 * 1024

const byte = {
  newline: 10,
  return: 13,
  bang: 33,
  hash: 35,
  dollar: 36,
  percent: 37,
  leftParenthesis: 40,
  star: 42,
  plus: 43,
  comma: 44,
  minus: 45,
  zero: 48,
  nine: 57,
  colon: 58,
  equals: 61,
  greater: 62,
  underscore: 95,
  t: 116,
  bar: 124,
  tilde: 126,
} as const

const noBytes = Buffer.alloc(0)

/** An array, map, set, push or attribute of which elements are missing. */
interface Aggregate {
  readonly type: number
  readonly elements: Reply[]
  missing: number
}

export class ReplyParser {
  private readonly onReply: (reply: Reply) => void
  private readonly onPush: (message: readonly Reply[]) => void
  /** The bytes at hand, those of a line that has not ended included, and the first that was not parsed. */
  private input: Buffer = noBytes
  private position = 0
  private readonly open: Aggregate[] = []
  /** A bulk string that goes beyond the bytes at hand, with its line end, and how much of it has come. */
  private bulk: Buffer | null = null
  private bulkType: number = byte.dollar
  private bulkFilled = 0

  constructor(onReply: (reply: Reply) => void, onPush: (message: readonly Reply[]) => void) {
    this.onReply = onReply
    this.onPush = onPush
  }

  /** Parses bytes that must not change afterwards, and calls back for what is complete. Throws a `ProtocolError`. */
  parse(bytes: Buffer): void {
    const left = this.input.length - this.position
    this.input = left === 0 ? bytes : Buffer.concat([this.input.subarray(this.position), bytes])
    this.position = 0
    while (this.bulk === null ? this.parseLine() : this.fillBulk()) {}
    if (this.position === this.input.length) {
      this.input = noBytes
      this.position = 0
    }
  }

  /** Returns whether there was a line, and what it announces, if anything, has come as well. */
  private parseLine(): boolean {
    const { input, position } = this
    const end = input.indexOf(byte.newline, position + 1)
    if (end < 0) {
      if (input.length - position > maxLineBytes) throw new ProtocolError('a line does not end')
      return false
    }
    if (input[end - 1] !== byte.return || end - position > maxLineBytes) this.fail()
    this.position = end + 1
    const type = input[position]!
    switch (type) {
      case byte.dollar:
      case byte.equals:
      case byte.bang:
        return this.beginBulk(type, lengthIn(input, position + 1, end - 1, maxBulkBytes))
      case byte.star:
      case byte.tilde:
      case byte.percent:
      case byte.greater:
      case byte.bar:
        this.beginAggregate(type, lengthIn(input, position + 1, end - 1, maxElements))
        return true
      case byte.colon:
        this.add(integerIn(input, position + 1, end - 1))
        return true
      default:
        this.add(simpleReply(type, input, position + 1, end - 1))
        return true
    }
  }

  private beginBulk(type: number, length: number): boolean {
    if (length < 0) {
      this.add(null)
      return true
    }
    const { input, position } = this
    const end = position + length
    if (end + 2 <= input.length) {
      if (input[end] !== byte.return || input[end + 1] !== byte.newline) this.fail()
      this.position = end + 2
      this.add(bulkReply(type, input.subarray(position, end)))
      return true
    }
    this.bulk = Buffer.allocUnsafeSlow(length + 2)
    this.bulkType = type
    this.bulkFilled = 0
    return this.fillBulk()
  }

  private fillBulk(): boolean {
    const { bulk, input, position, bulkFilled } = this
    if (bulk === null) return true
    const count = Math.min(bulk.length - bulkFilled, input.length - position)
    input.copy(bulk, bulkFilled, position, position + count)
    this.position += count
    this.bulkFilled += count
    if (this.bulkFilled < bulk.length) return false
    const end = bulk.length - 2
    if (bulk[end] !== byte.return || bulk[end + 1] !== byte.newline) this.fail()
    this.bulk = null
    this.add(bulkReply(this.bulkType, bulk.subarray(0, end)))
    return true
  }

  private beginAggregate(type: number, length: number): void {
    if (length < 0) {
      this.add(null)
      return
    }
    const isOfPairs = type === byte.percent || type === byte.bar
    const missing = isOfPairs ? 2 * length : length
    if (missing > maxElements || this.open.length >= maxDepth) this.fail()
    this.open.push({ type, elements: [], missing })
    if (missing === 0) this.close()
  }

  /** Adds a value to the innermost aggregate that is open, or reports it. */
  private add(value: Reply): void {
    const aggregate = this.open.at(-1)
    if (aggregate === undefined) {
      this.onReply(value)
      return
    }
    aggregate.elements.push(value)
    aggregate.missing--
    if (aggregate.missing === 0) this.close()
  }

  /** Attributes are auxiliary data before a value: they are dropped. */
  private close(): void {
    const { type, elements } = this.open.pop()!
    if (type === byte.bar) {
      // The aggregate around it goes on: the value itself is still to come.
    } else if (type === byte.greater && this.open.length === 0) this.onPush(elements)
    else this.add(elements)
  }

  private fail(): never {
    throw new ProtocolError('the server sent something that is not RESP')
  }
}

/** The length of a bulk string or an aggregate; -1 for null. */
function lengthIn(input: Buffer, from: number, to: number, max: number): number {
  const length = integerIn(input, from, to)
  if (typeof length !== 'number' || length < -1 || length > max) {
    throw new ProtocolError('the server announces more than this client accepts')
  }
  return length
}

/** Fifteen digits are always exact. */
const exactDigits = 15

function integerIn(input: Buffer, from: number, to: number): number | string {
  const isNegative = input[from] === byte.minus
  const first = isNegative || input[from] === byte.plus ? from + 1 : from
  if (first === to) throw new ProtocolError('a number has no digits')
  let value = 0
  for (let i = first; i < to; i++) {
    const digit = input[i]!
    if (digit < byte.zero || digit > byte.nine) throw new ProtocolError('a number has other characters')
    value = value * 10 + (digit - byte.zero)
  }
  if (to - first > exactDigits && !Number.isSafeInteger(value)) return input.toString('latin1', from, to)
  return isNegative ? -value : value
}

function simpleReply(type: number, input: Buffer, from: number, to: number): Reply {
  switch (type) {
    case byte.plus:
    case byte.leftParenthesis:
      return input.toString('latin1', from, to)
    case byte.minus:
      return new ErrorReply(input.toString('utf8', from, to))
    case byte.underscore:
      return null
    case byte.hash:
      return input[from] === byte.t ? 1 : 0
    case byte.comma: {
      const text = input.toString('latin1', from, to)
      const value = Number(text)
      return Number.isFinite(value) ? value : text
    }
    default:
      throw new ProtocolError('the server sent something that is not RESP')
  }
}

/** Verbatim strings begin with three letters and a colon. */
const verbatimPrefixBytes = 4

function bulkReply(type: number, bytes: Buffer): Reply {
  if (type === byte.dollar) return bytes
  return type === byte.bang ? new ErrorReply(bytes.toString()) : bytes.subarray(verbatimPrefixBytes)
}
