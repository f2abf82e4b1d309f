import { InvalidExpression } from './errors.ts'
import { maxExpressionDepth, maxExpressionLength, maxExpressionNodes } from './limits.ts'

const escapes: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '/': '/',
  '\\': '\\',
}

const blanks = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const integer = /0|-?[1-9][0-9]*/y
const word = /[a-z][a-z_0-9]*/y
const memberName = /[A-Za-z_\u0080-\u{10ffff}][A-Za-z_0-9\u0080-\u{10ffff}]*/uy
const hex = /[0-9A-Fa-f]{4}/y
/** Neither quotes, nor backslashes, nor control characters. */
const plainText = /[ !#-&(-[\]-\u{10ffff}]+/uy

/** Reads the tokens of an expression from left to right, and bounds its size. */
export class Reader {
  readonly text: string
  at = 0
  private depth = 0
  private nodes = 0

  constructor(text: string) {
    this.text = text
    if (text.length > maxExpressionLength) {
      this.fail(`an expression has at most ${maxExpressionLength} characters`, 0, maxExpressionLength)
    }
    if (!text.isWellFormed()) this.fail('half of a surrogate pair is not a character', text.search(/\p{Cs}/u))
  }

  fail(reason: string, position: number = this.at, limit?: number): never {
    throw new InvalidExpression(position, reason, limit)
  }

  failExpecting(expected: string): never {
    const next = [...this.text.slice(this.at, this.at + 2)][0]
    this.fail(`expected ${expected}, found ${next === undefined ? 'the end' : JSON.stringify(next)}`)
  }

  get isAtEnd(): boolean {
    return this.at === this.text.length
  }

  skipBlanks(): void {
    // Most tokens follow at once: the pattern is not tried then.
    if (this.text.charCodeAt(this.at) <= 0x20) this.match(blanks)
  }

  isNext(token: string): boolean {
    return this.text.startsWith(token, this.at)
  }

  /** Passes a token if it is next, and returns whether it was. */
  takes(token: string): boolean {
    const isNext = this.isNext(token)
    if (isNext) this.at += token.length
    return isNext
  }

  expect(token: string, where = ''): void {
    if (!this.takes(token)) this.failExpecting(`"${token}"${where}`)
  }

  expectEnd(expected: string): void {
    if (!this.isAtEnd) this.failExpecting(expected)
  }

  /** Counts a node of the syntax tree. */
  count(): void {
    if (++this.nodes > maxExpressionNodes) {
      this.fail(`an expression has at most ${maxExpressionNodes} parts`, this.at, maxExpressionNodes)
    }
  }

  /** Parses something that can contain others of its kind. */
  nested<T>(parse: () => T): T {
    if (++this.depth > maxExpressionDepth) {
      this.fail(`an expression nests at most ${maxExpressionDepth} deep`, this.at, maxExpressionDepth)
    }
    const parsed = parse()
    this.depth--
    return parsed
  }

  /** Reads a function's name, `true`, `false` or `null`; empty if none is next. */
  word(): string {
    return this.match(word)
  }

  memberName(): string {
    const name = this.match(memberName)
    return name === '' ? this.failExpecting('a name') : name
  }

  number(): string {
    const text = this.match(number)
    return text === '' ? this.failExpecting('a number') : text
  }

  /** Reads an integer of an index or a slice; null if none is next. */
  integer(): number | null {
    const start = this.at
    const text = this.match(integer)
    if (text === '') return null
    const parsed = Number(text)
    return Number.isSafeInteger(parsed)
      ? parsed
      : this.fail('an index is an integer between -(2^53 - 1) and 2^53 - 1', start, Number.MAX_SAFE_INTEGER)
  }

  get isAtQuote(): boolean {
    return this.isNext('"') || this.isNext("'")
  }

  /** Reads a string literal, and returns what it stands for. */
  string(): string {
    const start = this.at
    const quote = this.text[this.at++]!
    let value = ''
    for (;;) {
      value += this.match(plainText)
      const next = this.text[this.at]
      if (next === undefined) this.fail(`the text has no closing ${quote}`, start)
      if (next < ' ') this.fail('control characters must be escaped in a text')
      this.at++
      if (next === quote) return value
      value += next === '\\' ? this.escaped(quote) : next
    }
  }

  private escaped(quote: string): string {
    const start = this.at - 1
    const letter = this.text[this.at++] ?? ''
    if (letter === quote) return quote
    if (letter !== 'u') return escapes[letter] ?? this.fail('there is no such escape', start)
    const high = this.hex(start)
    if (high < 0xd800 || high > 0xdfff) return String.fromCharCode(high)
    const low = high <= 0xdbff && this.takes('\\u') ? this.hex(start) : 0
    if (low < 0xdc00 || low > 0xdfff) this.fail('half of a surrogate pair is not a character', start)
    return String.fromCharCode(high, low)
  }

  private hex(start: number): number {
    const digits = this.match(hex)
    return digits === ''
      ? this.fail('"\\u" is followed by four hexadecimal digits', start)
      : parseInt(digits, 16)
  }

  /** Passes what a sticky pattern matches, and returns it; empty for nothing. */
  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const [text] = pattern.exec(this.text) ?? ['']
    this.at += text.length
    return text
  }
}
