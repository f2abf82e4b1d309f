import { maxRegexpDepth, maxRegexpLength, maxRegexpStates } from '../../jsonpath/limits.ts'
import type { RegexpNode } from '../../jsonpath/regexp-parse.ts'

/**
 * Parses the patterns of JSON Schema, which are JavaScript's regular expressions with the flag `u`, for the automaton that
 * also runs those of filters. What has to look around, or to remember what it read, has no automaton: it is refused.
 */

/** A pattern that is no regular expression, or has no automaton. */
export class InvalidPattern extends Error {}

/** Throws `InvalidPattern`. */
export function parsePattern(pattern: string): RegexpNode {
  if (pattern.length > maxRegexpLength)
    throw new InvalidPattern(`a pattern has at most ${maxRegexpLength} characters`)
  try {
    // JavaScript itself says whether it is one: what follows only has to understand it.
    new RegExp(pattern, 'u')
  } catch (error) {
    throw new InvalidPattern(error instanceof Error ? error.message : String(error))
  }
  return new PatternParser(pattern).parse()
}

/** A part of a pattern with a bound of the states that it needs. */
interface Part {
  readonly node: RegexpNode
  readonly states: number
}

const empty: Part = { node: { type: 'empty' }, states: 1 }
const quantifier = /(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??/y
const classInBrackets = /\[(?:[^\\\]]|\\[\s\S])*\]/y
const escapeForm =
  /\\(?:u\{[0-9a-fA-F]+\}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[a-zA-Z]|[pP]\{[^}]*\}|[\s\S])/uy
const groupStart = /\((?:\?(?::|<[^=!][^>]*>))?/y

class PatternParser {
  private readonly pattern: string
  private at = 0
  private depth = 0

  constructor(pattern: string) {
    this.pattern = pattern
  }

  parse(): RegexpNode {
    return this.bound(this.choice()).node
  }

  private choice(): Part {
    const parts = [this.sequence()]
    while (this.takes('|')) parts.push(this.sequence())
    return this.joined('choice', parts)
  }

  private sequence(): Part {
    const parts: Part[] = []
    while (this.at < this.pattern.length && this.next !== '|' && this.next !== ')') parts.push(this.piece())
    return this.joined('sequence', parts)
  }

  private joined(type: 'choice' | 'sequence', parts: readonly Part[]): Part {
    const [only = empty] = parts
    if (parts.length <= 1) return only
    const states = parts.reduce((sum, part) => sum + part.states, parts.length)
    return this.bound({ node: { type, parts: parts.map(({ node }) => node) }, states })
  }

  private piece(): Part {
    const atom = this.atom()
    const found = this.match(quantifier)
    if (found === null) return atom
    const [min, max] = countsOf(found)
    const copies = Number.isFinite(max) ? max : min + 1
    const states = (atom.states + 1) * Math.max(copies, 1)
    return this.bound({ node: { type: 'repeat', part: atom.node, min, max }, states })
  }

  private atom(): Part {
    if (this.takes('^')) return { node: { type: 'start' }, states: 1 }
    if (this.takes('$')) return { node: { type: 'end' }, states: 1 }
    if (this.next === '(') return this.group()
    const source = this.character()
    return { node: { type: 'class', has: testOf(source) }, states: 1 }
  }

  private group(): Part {
    const start = this.match(groupStart)
    if (start === null || this.next === '?') throw unsupported('a group that looks around or has flags')
    if (++this.depth > maxRegexpDepth) throw new InvalidPattern(`groups nest at most ${maxRegexpDepth} deep`)
    const part = this.choice()
    this.takes(')')
    this.depth--
    return part
  }

  /** Reads what stands for one character: itself, an escape, a class. */
  private character(): string {
    const found = this.match(classInBrackets) ?? this.match(escapeForm)
    if (found === null) {
      const character = String.fromCodePoint(this.pattern.codePointAt(this.at) ?? 0)
      this.at += character.length
      return character
    }
    const [source] = found
    if (/^\\[bB]/.test(source)) throw unsupported('the edge of a word (\\b)')
    if (/^\\(?:[1-9]|k)/.test(source)) throw unsupported('a reference to a group')
    return source
  }

  private get next(): string {
    return this.pattern[this.at] ?? ''
  }

  private takes(token: string): boolean {
    const isNext = this.next === token
    if (isNext) this.at++
    return isNext
  }

  private match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.at
    const found = expression.exec(this.pattern)
    if (found !== null) this.at += found[0].length
    return found
  }

  private bound(part: Part): Part {
    if (part.states <= maxRegexpStates) return part
    throw new InvalidPattern(`the pattern has more than ${maxRegexpStates} states with its counts expanded`)
  }
}

function countsOf([, sign, min, comma, max]: RegExpExecArray): [min: number, max: number] {
  if (sign === '*') return [0, Number.POSITIVE_INFINITY]
  if (sign === '+') return [1, Number.POSITIVE_INFINITY]
  if (sign === '?') return [0, 1]
  if (comma === undefined) return [Number(min), Number(min)]
  return [Number(min), max === '' ? Number.POSITIVE_INFINITY : Number(max)]
}

/** Returns a test for one character: the only use of JavaScript's expressions, in which nothing can be tried twice. */
function testOf(source: string): (codePoint: number) => boolean {
  const expression = new RegExp(`^${source}$`, 'u')
  return (codePoint) => expression.test(String.fromCodePoint(codePoint))
}

function unsupported(what: string): InvalidPattern {
  return new InvalidPattern(`a pattern cannot have ${what}: it could take very long to match`)
}
