/** Compares numbers in JSON text by their exact value, whatever their size, in time linear in their text. */

const minus = 0x2d
const dot = 0x2e
const zero = 0x30
const nine = 0x39
const upperE = 0x45
const lowerE = 0x65

/** Decimal digits that a double always keeps apart. */
const exactDigits = 15
const powersOfTen = Array.from({ length: exactDigits + 1 }, (_, i) => 10 ** i)

/**
 * Returns the number at an offset as a double if it has at most 15 digits and no exponent: these compare as doubles as
 * they do exactly. NaN for any other.
 */
export function simpleNumberAt(text: string, start: number): number {
  const isNegative = text.charCodeAt(start) === minus
  let at = isNegative ? start + 1 : start
  const first = at
  let value = 0
  let unit = text.charCodeAt(at)
  while (unit >= zero && unit <= nine) {
    value = value * 10 + (unit - zero)
    unit = text.charCodeAt(++at)
  }
  let digits = at - first
  if (unit === dot) {
    const fraction = at + 1
    unit = text.charCodeAt(++at)
    while (unit >= zero && unit <= nine) {
      value = value * 10 + (unit - zero)
      unit = text.charCodeAt(++at)
    }
    digits += at - fraction
    if (digits > exactDigits) return Number.NaN
    value /= powersOfTen[at - fraction]!
  }
  if (digits > exactDigits || digits === 0 || unit === lowerE || unit === upperE) return Number.NaN
  return isNegative ? 0 - value : value
}

/** Returns a negative number, zero or a positive number, as `a` is less than, equal to or greater than `b`. */
export function compareNumbers(a: string, b: string): number {
  const one = simpleNumberAt(a, 0)
  const other = simpleNumberAt(b, 0)
  if (!Number.isNaN(one) && !Number.isNaN(other)) return one - other
  return compareDecimals(decimalOf(a), decimalOf(b))
}

/** A number that is not zero: 0.`digits` times ten to the power of an integer. */
interface Decimal {
  /** -1, 0 or 1. */
  readonly sign: number
  readonly isExponentNegative: boolean
  /** The digits of the exponent, without zeros in front. */
  readonly exponent: string
  /** Without zeros at either end. */
  readonly digits: string
}

const zeroDecimal: Decimal = { sign: 0, isExponentNegative: false, exponent: '', digits: '' }

function compareDecimals(a: Decimal, b: Decimal): number {
  if (a.sign !== b.sign) return a.sign - b.sign
  return a.sign === 1 ? compareMagnitudes(a, b) : compareMagnitudes(b, a)
}

function compareMagnitudes(a: Decimal, b: Decimal): number {
  if (a.isExponentNegative !== b.isExponentNegative) return a.isExponentNegative ? -1 : 1
  const order = a.isExponentNegative ? compareIntegers(b, a) : compareIntegers(a, b)
  return order === 0 ? compareTexts(a.digits, b.digits) : order
}

function compareIntegers({ exponent: a }: Decimal, { exponent: b }: Decimal): number {
  return a.length === b.length ? compareTexts(a, b) : a.length - b.length
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

const numberForm = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)0*([0-9]*))?/

function decimalOf(text: string): Decimal {
  const [, sign, whole = '', fraction = '', exponentSign, exponent = ''] = numberForm.exec(text) ?? []
  const all = whole + fraction
  let from = 0
  while (from < all.length && all.charCodeAt(from) === zero) from++
  if (from === all.length) return zeroDecimal
  let to = all.length
  while (all.charCodeAt(to - 1) === zero) to--
  const shift = whole.length - from
  const isNegative = exponentSign === '-'
  const digits = all.slice(from, to)
  if (exponent.length <= exactDigits) {
    const sum = (isNegative ? -Number(exponent) : Number(exponent)) + shift
    return {
      sign: sign === '-' ? -1 : 1,
      isExponentNegative: sum < 0,
      exponent: String(Math.abs(sum)),
      digits,
    }
  }
  const sum = addSmall(exponent, isNegative ? -shift : shift)
  return { sign: sign === '-' ? -1 : 1, isExponentNegative: isNegative, exponent: sum, digits }
}

const lowDigits = 15
const lowModulus = 10 ** lowDigits

/** Adds a number of at most 15 digits to a larger one, which is given by its digits. */
function addSmall(large: string, small: number): string {
  const low = Number(large.slice(-lowDigits)) + small
  const carry = Math.floor(low / lowModulus)
  const lowText = String(low - carry * lowModulus).padStart(lowDigits, '0')
  return `${increment(large.slice(0, -lowDigits), carry)}${lowText}`.replace(/^0+/, '')
}

/** Adds -1, 0 or 1 to digits. */
function increment(digits: string, by: number): string {
  if (by === 0) return digits
  const [passed, replaced] = by === 1 ? ['9', '0'] : ['0', '9']
  let at = digits.length - 1
  while (digits[at] === passed) at--
  const rest = replaced.repeat(digits.length - 1 - at)
  return at === -1 ? `1${rest}` : `${digits.slice(0, at)}${Number(digits[at]) + by}${rest}`
}
