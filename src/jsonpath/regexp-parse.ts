import { maxRegexpDepth, maxRegexpLength, maxRegexpStates } from './limits.ts'

/** Parses regular expressions of RFC 9485 (I-Regexp). */

export type RegexpNode =
  | { readonly type: 'empty' }
  | { readonly type: 'start' | 'end' }
  | { readonly type: 'class'; readonly has: CharacterTest }
  | { readonly type: 'sequence' | 'choice'; readonly parts: readonly RegexpNode[] }
  | { readonly type: 'repeat'; readonly part: RegexpNode; readonly min: number; readonly max: number }

/** Returns whether a code point is in a class. */
export type CharacterTest = (codePoint: number) => boolean

/** A pattern that is not an I-Regexp, or passes a limit. */
export class InvalidRegexp extends Error {
  /** Characters of the pattern before the mistake. */
  readonly position: number
  readonly limit: number | undefined

  constructor(position: number, reason: string, limit?: number) {
    super(reason)
    this.name = 'InvalidRegexp'
    this.position = position
    this.limit = limit
  }
}

const singleEscapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }
const escapable = /[()*+\-.?[\\\]^{|}]/
const category = /(?:L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?|C[cfno]?)\}/y
const quantifier = /\{([0-9]+)(?:(,)([0-9]+)?)?\}/y

/** Returns a test for one character: the only use of JavaScript's expressions, in which nothing can be tried twice. */
function testOfClass(set: string): CharacterTest {
  const pattern = new RegExp(`^[${set}]$`, 'u')
  return (code) => pattern.test(String.fromCodePoint(code))
}

function escaped(code: number): string {
  return `\\u{${code.toString(16)}}`
}

/** Throws `InvalidRegexp`. */
export function parseRegexp(pattern: string): RegexpNode {
  return new RegexpParser(pattern).parse()
}

class RegexpParser {
  private readonly pattern: string
  private at = 0
  private depth = 0

  constructor(pattern: string) {
    this.pattern = pattern
  }

  parse(): RegexpNode {
    if (this.pattern.length > maxRegexpLength) {
      this.fail(`a regular expression has at most ${maxRegexpLength} characters`, 0, maxRegexpLength)
    }
    const { node, states } = this.choice()
    if (this.at < this.pattern.length) this.fail('")" closes nothing')
    this.bound(states)
    return node
  }

  private choice(): Sized {
    const parts = [this.sequence()]
    while (this.takes('|')) parts.push(this.sequence())
    return this.joined('choice', parts)
  }

  private sequence(): Sized {
    const parts: Sized[] = []
    while (this.at < this.pattern.length && this.next !== '|' && this.next !== ')') parts.push(this.piece())
    return this.joined('sequence', parts)
  }

  private joined(type: 'choice' | 'sequence', parts: readonly Sized[]): Sized {
    const [only] = parts
    if (only === undefined) return { node: { type: 'empty' }, states: 1 }
    if (parts.length === 1) return only
    const states = parts.reduce((sum, part) => sum + part.states, parts.length)
    return this.bound(states, { type, parts: parts.map(({ node }) => node) })
  }

  private piece(): Sized {
    const { node, states } = this.atom()
    const start = this.at
    const [min, max] = this.quantifier() ?? [1, 1]
    if (max < min) this.fail(`{${min},${max}} has its smaller number last`, start)
    if (min === 1 && max === 1) return { node, states }
    const copies = Number.isFinite(max) ? max : min + 1
    return this.bound((states + 1) * Math.max(copies, 1), { type: 'repeat', part: node, min, max })
  }

  private quantifier(): [min: number, max: number] | null {
    if (this.takes('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.takes('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.takes('?')) return [0, 1]
    if (this.next !== '{') return null
    const found = this.match(quantifier)
    if (found === null) return this.fail('"{" begins a count such as {2} or {2,5}, and is \\{ otherwise')
    const [, min, comma, max] = found
    if (comma === undefined) return [Number(min), Number(min)]
    return [Number(min), max === undefined ? Number.POSITIVE_INFINITY : Number(max)]
  }

  private atom(): Sized {
    if (this.takes('(')) return this.group()
    return { node: this.character(), states: 1 }
  }

  private group(): Sized {
    if (++this.depth > maxRegexpDepth)
      this.fail(`groups nest at most ${maxRegexpDepth} deep`, this.at, maxRegexpDepth)
    const start = this.at - 1
    const group = this.choice()
    if (!this.takes(')')) this.fail('"(" is not closed', start)
    this.depth--
    return group
  }

  private character(): RegexpNode {
    if (this.takes('^')) return { type: 'start' }
    if (this.takes('$')) return { type: 'end' }
    if (this.takes('.')) return { type: 'class', has: testOfClass('^\\n\\r') }
    if (this.takes('[')) return { type: 'class', has: testOfClass(this.set()) }
    const single = this.single('*+?{}]')
    if (typeof single === 'string') return { type: 'class', has: testOfClass(single) }
    return { type: 'class', has: (code) => code === single }
  }

  /** Reads the rest of a class in brackets, and returns it as one of JavaScript. */
  private set(): string {
    const start = this.at - 1
    const isNegated = this.next === '^' && this.pattern[this.at + 1] !== ']'
    if (isNegated) this.at++
    let set = this.takes('-') ? '\\-' : ''
    while (!this.takes(']')) {
      if (this.at >= this.pattern.length) this.fail('"[" is not closed', start)
      set += this.next === '-' ? this.lastHyphen() : this.range()
    }
    if (set === '') this.fail('a class has at least one character', start)
    return isNegated ? `^${set}` : set
  }

  private lastHyphen(): string {
    if (this.pattern[this.at + 1] !== ']') {
      this.fail('"-" is first or last in a class, or between two characters, and is \\- otherwise')
    }
    this.at++
    return '\\-'
  }

  private range(): string {
    const start = this.at
    const low = this.single('[')
    if (typeof low === 'string') return low
    if (this.next !== '-' || this.pattern[this.at + 1] === ']') return escaped(low)
    this.at++
    const high = this.single('[-')
    if (typeof high === 'string') return this.fail('a range ends with a character')
    if (high < low) this.fail('a range begins with the smaller character', start)
    return `${escaped(low)}-${escaped(high)}`
  }

  /** Reads one character or escape: its code point, or a category as JavaScript has it. */
  private single(forbidden: string): number | string {
    const code = this.pattern.codePointAt(this.at) ?? this.fail('there is no character')
    if (this.takes('\\')) return this.escape()
    if (code >= 0xd800 && code <= 0xdfff) this.fail('half of a surrogate pair is not a character')
    if (forbidden.includes(this.next)) this.fail(`"${this.next}" must be escaped here`)
    this.at += code > 0xffff ? 2 : 1
    return code
  }

  private escape(): number | string {
    const start = this.at - 1
    const letter = this.pattern[this.at++] ?? ''
    if (letter === 'p' || letter === 'P') {
      const found = this.takes('{') ? this.match(category) : null
      if (found === null) return this.fail('a category is one of Unicode, such as \\p{L} or \\p{Lu}', start)
      return `\\${letter}{${found[0]}`
    }
    const character = singleEscapes[letter] ?? letter
    if (character === letter && !escapable.test(letter)) this.fail(`there is no escape "\\${letter}"`, start)
    return character.charCodeAt(0)
  }

  private get next(): string {
    return this.pattern[this.at] ?? ''
  }

  private takes(token: string): boolean {
    const isNext = this.next === token
    if (isNext) this.at++
    return isNext
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.pattern)
    if (found !== null) this.at += found[0].length
    return found
  }

  private bound(states: number, node: RegexpNode = { type: 'empty' }): Sized {
    if (states > maxRegexpStates) {
      this.fail(
        `the expression has more than ${maxRegexpStates} states with its counts expanded`,
        this.at,
        maxRegexpStates,
      )
    }
    return { node, states }
  }

  private fail(reason: string, position: number = this.at, limit?: number): never {
    throw new InvalidRegexp(position, reason, limit)
  }
}

/** A part of an expression with a bound of the states that it needs. */
interface Sized {
  readonly node: RegexpNode
  readonly states: number
}
