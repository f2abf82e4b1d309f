import { isUtf8 } from 'node:buffer'
import { isPlain } from './validate.ts'

/**
 * Validates a JSON document as bytes, without a text or objects made of it: for a long value those cost more than to store
 * it, because each is written to memory that no cache holds. The grammar is that of validate.ts, stated once more: one code for
 * texts and bytes would read each character by a call.
 */

const lineFeed = 0x0a
const space = 0x20
const quote = 0x22
const plus = 0x2b
const comma = 0x2c
const minus = 0x2d
const dot = 0x2e
const zero = 0x30
const nine = 0x39
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const smallE = 0x65
const smallU = 0x75
const openBrace = 0x7b
const closeBrace = 0x7d

/** Strings up to about this length are quicker to walk than to search. */
const shortString = 16
/** Each level takes a bit of an integer. */
const maxDepth = 30

/** True: these bytes are UTF-8, and `JSON.parse` accepts their text. False: they are not, or are deep or have lines or tabs. */
export function isCompactJson(bytes: Uint8Array): boolean {
  const firstLineEnd = bytes.indexOf(lineFeed)
  const end = firstLineEnd === -1 ? bytes.length : firstLineEnd
  if (end < bytes.length - 1 || !isPlain(bytes) || !isUtf8(bytes)) return false
  const valueEnd = validEnd({ bytes, hasEscapes: bytes.includes(backslash) }, skipSpaces(bytes, 0))
  return valueEnd !== -1 && skipSpaces(bytes, valueEnd) === end
}

/** UTF-8 without control characters, except a line feed at its end. */
interface PlainBytes {
  readonly bytes: Uint8Array
  /** Whether a backslash may occur anywhere. */
  readonly hasEscapes: boolean
}

/** Returns where the value at `start` ends, or -1. */
function validEnd(plain: PlainBytes, start: number): number {
  const { bytes } = plain
  let depth = 0
  /** The lowest bit is 1 in an object and 0 in an array; the bits above are those of the levels around it. */
  let levels = 0
  let at = start
  for (;;) {
    const first = bytes[at]
    if (first === openBrace || first === openBracket) {
      const isObject = first === openBrace
      if (depth++ === maxDepth) return -1
      levels = (levels << 1) | (isObject ? 1 : 0)
      at = skipSpaces(bytes, at + 1)
      if (bytes[at] !== (isObject ? closeBrace : closeBracket)) {
        if (isObject) at = afterName(plain, at)
        if (at === -1) return -1
        continue
      }
    } else {
      at = first === quote ? stringEnd(plain, at) : scalarEnd(bytes, at)
      if (at === -1) return -1
      if (depth === 0) return at
      at = skipSpaces(bytes, at)
    }
    // The levels that end here, up to the next element.
    for (;;) {
      const isObject = (levels & 1) === 1
      const next = bytes[at]
      if (next === comma) {
        at = skipSpaces(bytes, at + 1)
        if (isObject) at = afterName(plain, at)
        if (at === -1) return -1
        break
      }
      if (next !== (isObject ? closeBrace : closeBracket)) return -1
      at++
      levels >>>= 1
      if (--depth === 0) return at
      at = skipSpaces(bytes, at)
    }
  }
}

/** Returns where the value of the member whose name is at `at` begins, or -1. */
function afterName(plain: PlainBytes, at: number): number {
  const { bytes } = plain
  if (bytes[at] !== quote) return -1
  const end = stringEnd(plain, at)
  if (end === -1) return -1
  const next = skipSpaces(bytes, end)
  return bytes[next] === colon ? skipSpaces(bytes, next + 1) : -1
}

/** Returns where the string at `start`, a quote, ends, or -1. */
function stringEnd({ bytes, hasEscapes }: PlainBytes, start: number): number {
  if (hasEscapes) return escapedStringEnd(bytes, start)
  const near = start + shortString
  for (let at = start + 1; at < near; at++) if (bytes[at] === quote) return at + 1
  return bytes.indexOf(quote, near) + 1 || -1
}

const escaped = new Set(Buffer.from('"\\/bfnrt'))

function escapedStringEnd(bytes: Uint8Array, start: number): number {
  const { length } = bytes
  for (let at = start + 1; at < length; at++) {
    const byte = bytes[at]!
    if (byte === quote) return at + 1
    if (byte !== backslash) continue
    const code = bytes[++at] ?? 0
    if (code === smallU) {
      for (const end = at + 4; at < end; at++) if (!isHex(bytes[at + 1] ?? 0)) return -1
    } else if (!escaped.has(code)) return -1
  }
  return -1
}

function isHex(byte: number): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= zero && byte <= nine
}

function skipSpaces(bytes: Uint8Array, from: number): number {
  let at = from
  while (bytes[at] === space) at++
  return at
}

const words = ['true', 'false', 'null'].map((word) => Buffer.from(word))

/** Returns where a number, `true`, `false` or `null` ends, or -1. */
function scalarEnd(bytes: Uint8Array, start: number): number {
  const first = bytes[start]
  if (first === minus || isDigit(first)) return numberEnd(bytes, start)
  for (const word of words) if (hasWord(bytes, start, word)) return start + word.length
  return -1
}

function hasWord(bytes: Uint8Array, at: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return false
  return true
}

function numberEnd(bytes: Uint8Array, start: number): number {
  let at = bytes[start] === minus ? start + 1 : start
  at = bytes[at] === zero ? at + 1 : digitsEnd(bytes, at)
  if (at !== -1 && bytes[at] === dot) at = digitsEnd(bytes, at + 1)
  if (at === -1 || ((bytes[at] ?? 0) | 0x20) !== smallE) return at
  const sign = bytes[at + 1]
  return digitsEnd(bytes, sign === plus || sign === minus ? at + 2 : at + 1)
}

/** Returns where digits end, of which there is at least one, or -1. */
function digitsEnd(bytes: Uint8Array, start: number): number {
  let at = start
  while (isDigit(bytes[at])) at++
  return at === start ? -1 : at
}
