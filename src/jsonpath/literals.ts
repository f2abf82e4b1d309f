import { valueEnd } from '../json/scan.ts'
import { compareStrings, kindAt, kinds, stringValue } from './compare.ts'
import { compareNumbers, simpleNumberAt } from './decimal.ts'
import type { ComparisonOperator } from './syntax.ts'

/** Tests a value in JSON text against something; a negative offset is nothing. */
export type ValueTest = (text: string, start: number) => boolean

const quote = 0x22
const backslash = 0x5c

/** Returns the order of values as RFC 9535 compares them: NaN where neither is less and they are not equal. */
type OrderOf = (text: string, start: number) => number

/** Returns a test that compares a value with a literal, in JSON text; the value is on the left. */
export function literalTest(operator: ComparisonOperator, literal: string): ValueTest {
  const kind = kindAt(literal, 0)
  if (kind === kinds.number) return testOf(operator, orderWithNumber(literal))
  if (kind !== kinds.string) return testOf(operator, orderWithKeyword(literal))
  const string = stringValue(literal, 0, literal.length)
  if (operator === '==') return equalsString(string)
  if (operator !== '!=') return testOf(operator, orderWithString(string))
  const equals = equalsString(string)
  return (text, start) => !equals(text, start)
}

function testOf(operator: ComparisonOperator, orderOf: OrderOf): ValueTest {
  switch (operator) {
    case '==':
      return (text, start) => orderOf(text, start) === 0
    case '!=':
      return (text, start) => orderOf(text, start) !== 0
    case '<':
      return (text, start) => orderOf(text, start) < 0
    case '<=':
      return (text, start) => orderOf(text, start) <= 0
    case '>':
      return (text, start) => orderOf(text, start) > 0
    case '>=':
      return (text, start) => orderOf(text, start) >= 0
  }
}

/** `true`, `false` and `null`. */
function orderWithKeyword(literal: string): OrderOf {
  const first = literal.charCodeAt(0)
  return (text, start) => (text.charCodeAt(start) === first ? 0 : Number.NaN)
}

function orderWithNumber(literal: string): OrderOf {
  const simple = simpleNumberAt(literal, 0)
  return (text, start) => {
    if (start < 0) return Number.NaN
    const order = simpleNumberAt(text, start) - simple
    if (!Number.isNaN(order)) return order
    if (kindAt(text, start) !== kinds.number) return Number.NaN
    return compareNumbers(text.slice(start, valueEnd(text, start)), literal)
  }
}

function orderWithString(literal: string): OrderOf {
  return (text, start) => {
    if (text.charCodeAt(start) !== quote) return Number.NaN
    return compareStrings(stringValue(text, start, valueEnd(text, start)), literal)
  }
}

/** Compares unit by unit, and mostly ends at the first; only a string with escapes is decoded. */
function equalsString(literal: string): ValueTest {
  const { length } = literal
  return (text, start) => {
    if (text.charCodeAt(start) !== quote) return false
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(start + 1 + i)
      if (unit === backslash) return stringValue(text, start, valueEnd(text, start)) === literal
      if (unit === quote || unit !== literal.charCodeAt(i)) return false
    }
    return text.charCodeAt(start + 1 + length) === quote
  }
}
