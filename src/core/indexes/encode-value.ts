/**
 * Encodes JSON values as texts that are ordered by their UTF-8 bytes as `compareJson` orders the values (docs/find.md),
 * for the keys of index entries:
 *
 *     a nothing   b null   c false   d true
 *     e a negative number: exponent, digits, each complemented, `~`       f zero
 *     g a positive number: exponent, digits, U+0001
 *     h a string   i an array   j an object: text, U+0001
 *
 * The end of each encoding sorts before whatever could follow in a longer value, so encodings can be put one after
 * the other. A value that is too long is truncated, and its end says so: `isTruncated` encodings are equal for values that
 * begin alike, and sort after all shorter values and before all larger ones.
 */

export interface EncodedValue {
  readonly text: string
  readonly isTruncated: boolean
}

const end = '\u0001'
/**
 * The end of a truncated text. What did not fit has more UTF-8 bytes than what would fit, so its code point is larger:
 * U+10000 sorts after every character of at most three bytes, which are all that can be in this position of another text.
 */
const truncatedEnd = '\u{10000}\u0001\u0001'

/** Significant digits of a number; further ones are truncated. */
const maxEncodedDigits = 40
/** Exponents from here on are not told apart. */
const hugeExponent = 1e15

const nothing: EncodedValue = { text: 'a', isTruncated: false }
const ofFirstCharacter: Readonly<Record<string, EncodedValue>> = {
  n: { text: 'b', isTruncated: false },
  f: { text: 'c', isTruncated: false },
  t: { text: 'd', isTruncated: false },
}
const ofZero: EncodedValue = { text: 'f', isTruncated: false }

/** Encodes the text of a JSON value without space around it; undefined is nothing. Of texts at most `maxBytes` of UTF-8 are encoded. */
export function encodeValue(json: string | undefined, maxBytes: number): EncodedValue {
  if (json === undefined) return nothing
  const first = json[0]!
  if (first === '"') return encodeText('h', decodedStart(json, maxBytes), maxBytes)
  if (first === '[') return encodeText('i', json, maxBytes)
  if (first === '{') return encodeText('j', json, maxBytes)
  return ofFirstCharacter[first] ?? encodeNumber(json)
}

const numberForm = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

const zero = 0x30
const nine = 0x39
const minus = 0x2d

/** The exponent and the significant digits of a number that isn't zero: 0.`digits` times ten to the power of `exponent`. */
interface Decimal {
  readonly isNegative: boolean
  readonly exponent: number
  readonly digits: string
}

function encodeNumber(json: string): EncodedValue {
  const decimal = decimalOf(json)
  if (decimal === null) return ofZero
  const { isNegative, exponent, digits } = decimal
  const isHuge = Math.abs(exponent) >= hugeExponent
  const isTruncated = isHuge || digits.length > maxEncodedDigits
  const kept = isHuge ? '' : digits.slice(0, maxEncodedDigits)
  if (isNegative) {
    const text = `e${exponentText(-exponent)}${complemented(kept)}${isTruncated ? '}' : '~'}`
    return { text, isTruncated }
  }
  return { text: `g${exponentText(exponent)}${kept}${isTruncated ? '\u0002' : end}`, isTruncated }
}

function decimalOf(json: string): Decimal | null {
  return integerOf(json) ?? parsedDecimal(json)
}

/** Returns a whole number that is written without an exponent, and is not zero; null for others. */
function integerOf(json: string): Decimal | null {
  const isNegative = json.charCodeAt(0) === minus
  const from = isNegative ? 1 : 0
  let to = from
  for (let i = from; i < json.length; i++) {
    const unit = json.charCodeAt(i)
    if (unit < zero || unit > nine) return null
    if (unit !== zero) to = i + 1
  }
  // JSON has no zeros in front of a number.
  return to === from ? null : { isNegative, exponent: json.length - from, digits: json.slice(from, to) }
}

function parsedDecimal(json: string): Decimal | null {
  const [, sign, whole = '', fraction = '', exponent = '0'] = numberForm.exec(json) ?? []
  const all = whole + fraction
  let from = 0
  let to = all.length
  while (from < to && all.charCodeAt(from) === zero) from++
  while (to > from && all.charCodeAt(to - 1) === zero) to--
  if (from === to) return null
  return {
    isNegative: sign === '-',
    exponent: Number(exponent) + whole.length - from,
    digits: all.slice(from, to),
  }
}

/** Orders exponents: their length is in a letter, and those of less than zero are complemented. */
function exponentText(exponent: number): string {
  if (exponent >= hugeExponent) return 'z'
  if (exponent <= -hugeExponent) return 'A'
  const digits = String(Math.abs(exponent))
  return exponent >= 0
    ? String.fromCharCode(0x60 + digits.length) + digits
    : String.fromCharCode(0x5b - digits.length) + complemented(digits)
}

function complemented(digits: string): string {
  let text = ''
  for (let i = 0; i < digits.length; i++) text += String.fromCharCode(0x69 - digits.charCodeAt(i))
  return text
}

/** Returns the decoded string, or as much of it as has more than `maxBytes`. */
function decodedStart(json: string, maxBytes: number): string {
  const isPlain = !json.includes('\\')
  if (isPlain) return json.slice(1, Math.min(json.length - 1, maxBytes + 3))
  // An escape of six characters is one of UTF-16.
  const enough = 6 * (maxBytes + 2)
  if (json.length <= enough) return JSON.parse(json)
  let at = 1
  while (at < enough) at += json[at] !== '\\' ? 1 : json[at + 1] === 'u' ? 6 : 2
  return JSON.parse(`${json.slice(0, at)}"`)
}

/** Characters that are escaped: those up to U+0002, which end and escape; U+D7FF, after which single surrogates are sorted. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
const special = /[\u0000-\u0002\ud7ff-\udfff]/

function encodeText(rank: string, text: string, maxBytes: number): EncodedValue {
  const isWhole = text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes
  if (isWhole && !special.test(text)) return { text: rank + text + end, isTruncated: false }
  let encoded = rank
  let bytes = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    if (bytes > maxBytes) return { text: encoded + truncatedEnd, isTruncated: true }
    encoded += escaped(character, point)
  }
  return { text: encoded + end, isTruncated: false }
}

function escaped(character: string, point: number): string {
  if (point <= 2) return `\u0002${String.fromCharCode(point + 3)}`
  if (point < 0xd7ff || point > 0xdfff) return character
  if (point === 0xd7ff) return '\ud7ff\u0002'
  // A surrogate without its other half has no UTF-8.
  return `\ud7ff\u0003${String.fromCharCode(point - 0xd800 + 0x100)}`
}

/** Returns where the encoding that begins at `from` ends. */
export function endOfEncoding(text: string, from: number): number {
  switch (text[from]) {
    case 'e':
      return indexOfFirst(text, from, '~', '}') + 1
    case 'g':
      return indexOfFirst(text, from, end, '\u0002') + 1
    case 'h':
    case 'i':
    case 'j': {
      const at = text.indexOf(end, from) + 1
      return text[at] === end ? at + 1 : at
    }
    default:
      return from + 1
  }
}

function indexOfFirst(text: string, from: number, one: string, other: string): number {
  let at = from
  while (at < text.length && text[at] !== one && text[at] !== other) at++
  return at
}

/** As `endOfEncoding`, for the UTF-8 of a text that ends at `to`. */
export function endOfEncodedBytes(bytes: Uint8Array, from: number, to: number): number {
  let at = from + 1
  switch (bytes[from]) {
    case rank.e:
      while (at < to && bytes[at] !== 0x7e && bytes[at] !== 0x7d) at++
      return at + 1
    case rank.g:
      while (at < to && bytes[at] !== 1 && bytes[at] !== 2) at++
      return at + 1
    case rank.h:
    case rank.i:
    case rank.j:
      while (at < to && bytes[at] !== 1) at++
      return bytes[at + 1] === 1 ? at + 2 : at + 1
    default:
      return at
  }
}

/** The first bytes of encodings with an end. */
const rank = { e: 0x65, g: 0x67, h: 0x68, i: 0x69, j: 0x6a } as const

/** Returns a text that is the same for equal values, and another for others, whatever their length. */
export function canonicalValue(json: string | undefined): string {
  if (json === undefined) return ''
  if (json[0] === '"') return `"${JSON.parse(json)}`
  const decimal = numberForm.test(json) ? decimalOf(json) : undefined
  if (decimal === undefined) return json
  if (decimal === null) return '0'
  const { isNegative, exponent, digits } = decimal
  // Larger exponents are not exact here: such numbers count as equal if they are written alike.
  if (Math.abs(exponent) >= hugeExponent) return json
  return `${isNegative ? '-' : ''}${digits}e${exponent}`
}
