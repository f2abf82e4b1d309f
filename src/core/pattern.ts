import { KvistError } from './errors.ts'
import { maxPatternBytes } from './limits.ts'

/**
 * A wildcard pattern, matched against whole texts in time linear in the text, whatever both contain.
 *
 * A pattern is split at its stars into pieces of a fixed length. The first must match at the start of the text and the
 * last at its end; each piece in between takes the leftmost position after the previous one, which leaves the most room
 * for the rest, so the matcher never backtracks. What remains is to find one piece in linear time:
 *
 * - literal, up to `nativeUnits`: the runtime's `indexOf` (at most that many steps for each character; measured 2 ns);
 * - literal, longer: Knuth, Morris and Pratt (2 to 5 ns), where `indexOf` can be made to take 400 ns;
 * - with a one-character wildcard in it: bit-parallel Shift-And (Baeza-Yates and Gonnet), 32 positions to a word.
 *
 * Characters are Unicode code points. Patterns are well-formed, so a literal piece cannot begin or end within one.
 */
export interface Pattern {
  /** The literal text before the first wildcard; every text that matches begins with it. */
  readonly prefix: string
  /** The pattern has no wildcard: only `prefix` itself matches. */
  readonly exact: boolean
  /** Returns whether the whole text matches; upper and lower case differ. */
  matches(text: string): boolean
}

/** The wildcard characters, one UTF-16 unit each; null where a dialect has no such wildcard. */
export interface Wildcards {
  /** Matches any run of characters, also an empty one. */
  readonly anyRun: string
  /** Matches exactly one character. */
  readonly anyOne: string | null
  /** How to treat a backslash before any other character: as an error, or as a literal backslash. */
  readonly otherBackslash: 'refused' | 'literal'
}

/** A part of a pattern without stars. Positions are indices into the text; -1 for none. */
interface Piece {
  /** Returns where the piece ends if it begins at `start`. */
  endAt(text: string, start: number): number
  /** Returns where the piece starts if it ends at the end of the text. */
  startAtEnd(text: string): number
  /** Returns where the leftmost occurrence from `from` on ends. */
  find(text: string, from: number): number
}

const shellWildcards: Wildcards = { anyRun: '*', anyOne: '?', otherBackslash: 'refused' }

/**
 * Mark the wildcards once escapes are resolved. Patterns are well-formed, so no other half of a surrogate pair occurs
 * in them; both marks are first halves, so neither forms a pair with its neighbours.
 */
const anyRunMark = '\ud800'
const anyOneMark = '\ud801'

/** The longest piece that is searched with `indexOf`, which compares up to the whole piece at each position. */
const nativeUnits = 64

/**
 * Compiles a pattern. A backslash before a wildcard or a backslash makes it literal. Throws `invalid_parameter` for a
 * pattern of more than `maxPatternBytes` of UTF-8, with half a surrogate pair, or with a backslash before any other
 * character where `otherBackslash` is `refused`.
 */
export function compilePattern(text: string, wildcards: Wildcards = shellWildcards): Pattern {
  // The first test avoids measuring a text that is far too long.
  if (text.length > maxPatternBytes || Buffer.byteLength(text) > maxPatternBytes) {
    throw new KvistError('invalid_parameter', `a pattern may have ${maxPatternBytes} bytes at most`, {
      limit: maxPatternBytes,
    })
  }
  if (!text.isWellFormed()) {
    throw new KvistError('invalid_parameter', 'a pattern must be well-formed Unicode text')
  }
  const marked = markWildcards(text, wildcards)
  const parts = marked.split(anyRunMark)
  const head = parts[0] ?? ''
  const prefix = head.split(anyOneMark, 1)[0] ?? ''
  if (prefix === marked) return { prefix, exact: true, matches: (other) => other === prefix }

  const first = piece(head)
  if (parts.length === 1) {
    return { prefix, exact: false, matches: (other) => first.endAt(other, 0) === other.length }
  }
  if (prefix.length === marked.length - anyRunMark.length) {
    return { prefix, exact: false, matches: (other) => other.startsWith(prefix) }
  }
  const last = piece(parts.at(-1) ?? '')
  const between = parts.slice(1, -1).filter((part) => part !== '')
  return { prefix, exact: false, matches: anchored(first, between.map(piece), last) }
}

/** Returns the pattern with marks for its wildcards and its escapes resolved. */
function markWildcards(text: string, { anyRun, anyOne, otherBackslash }: Wildcards): string {
  let marked = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    const next = text[at + 1]
    if (character === anyRun) marked += anyRunMark
    else if (character === anyOne) marked += anyOneMark
    else if (character !== '\\') marked += character
    else if (next !== undefined && (next === '\\' || next === anyRun || next === anyOne)) {
      marked += next
      at++
    } else if (otherBackslash === 'literal') marked += character
    else {
      throw new KvistError(
        'invalid_parameter',
        `in a pattern a backslash stands before ${anyRun}, ${anyOne ?? anyRun} or another backslash, to take its meaning away`,
      )
    }
  }
  return marked
}

function anchored(first: Piece, between: readonly Piece[], last: Piece): (text: string) => boolean {
  return (text) => {
    let at = first.endAt(text, 0)
    if (at === -1) return false
    const end = last.startAtEnd(text)
    if (end < at) return false
    for (const piece of between) {
      at = piece.find(text, at)
      if (at === -1 || at > end) return false
    }
    return true
  }
}

function piece(text: string): Piece {
  return text.includes(anyOneMark) ? holedPiece(text) : literalPiece(text)
}

function literalPiece(literal: string): Piece {
  const find =
    literal.length > nativeUnits
      ? knuthMorrisPratt(literal)
      : (text: string, from: number) => {
          const start = text.indexOf(literal, from)
          return start === -1 ? -1 : start + literal.length
        }
  return {
    endAt: (text, start) => (text.startsWith(literal, start) ? start + literal.length : -1),
    startAtEnd: (text) => (text.endsWith(literal) ? text.length - literal.length : -1),
    find,
  }
}

function knuthMorrisPratt(literal: string): Piece['find'] {
  const units = Uint16Array.from({ length: literal.length }, (_, at) => literal.charCodeAt(at))
  // The index of the unit to compare next after a mismatch; -1: advance to the next unit of the text.
  const fallback = new Int32Array(units.length)
  fallback[0] = -1
  for (let at = 1, border = 0; at < units.length; at++) {
    fallback[at] = units[at] === units[border] ? fallback[border]! : border
    while (border >= 0 && units[at] !== units[border]) border = fallback[border]!
    border++
  }
  return (text, from) => {
    let matched = 0
    for (let at = from; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      while (matched >= 0 && units[matched] !== unit) matched = fallback[matched]!
      matched++
      if (matched === units.length) return at + 1
    }
    return -1
  }
}

const hole = -1

function holedPiece(text: string): Piece {
  const codes = Array.from(text, (character) => (character === anyOneMark ? hole : character.codePointAt(0)!))
  return {
    endAt(text, start) {
      let at = start
      for (const expected of codes) {
        if (at >= text.length) return -1
        const code = text.codePointAt(at)!
        if (expected !== hole && expected !== code) return -1
        at += code > 0xffff ? 2 : 1
      }
      return at
    },
    startAtEnd(text) {
      let at = text.length
      for (let index = codes.length - 1; index >= 0; index--) {
        if (at === 0) return -1
        // `codePointAt` returns a whole surrogate pair only at its first half.
        if (at >= 2 && text.codePointAt(at - 2)! > 0xffff) at -= 2
        else at--
        if (codes[index] !== hole && codes[index] !== text.codePointAt(at)) return -1
      }
      return at
    },
    find: shiftAnd(codes),
  }
}

/**
 * Searches by Shift-And. Bit i of the state is set if the text read so far ends with the first i + 1 codes. For each
 * code the table has one row of words, with the bits of the positions where the code may occur; row 0 is for codes that
 * are not in the piece.
 */
function shiftAnd(codes: readonly number[]): Piece['find'] {
  const words = Math.ceil(codes.length / 32)
  const rows = new Map<number, number>()
  for (const code of codes) if (code !== hole && !rows.has(code)) rows.set(code, rows.size + 1)
  const asciiRows = Uint16Array.from({ length: 128 }, (_, code) => rows.get(code) ?? 0)
  const table = new Int32Array((rows.size + 1) * words)
  codes.forEach((code, position) => {
    const bit = 1 << (position & 31)
    const word = position >>> 5
    if (code === hole) for (let row = 0; row <= rows.size; row++) table[row * words + word]! |= bit
    else table[rows.get(code)! * words + word]! |= bit
  })
  const goal = 1 << ((codes.length - 1) & 31)
  const state = new Int32Array(words)

  return (text, from) => {
    state.fill(0)
    let live = 1 // words that can become other than 0 with the next code
    for (let at = from; at < text.length; ) {
      const code = text.codePointAt(at)!
      at += code > 0xffff ? 2 : 1
      const row = (code < 128 ? asciiRows[code]! : (rows.get(code) ?? 0)) * words
      let carry = 1
      let used = 0
      for (let word = 0; word < live; word++) {
        const before = state[word]!
        const after = ((before << 1) | carry) & table[row + word]!
        carry = before >>> 31
        state[word] = after
        if (after !== 0) used = word + 1
      }
      live = used < words ? used + 1 : words
      if ((state[words - 1]! & goal) !== 0) return at
    }
    return -1
  }
}
