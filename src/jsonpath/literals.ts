import { valueEnd } from '../json/scan.ts'
import { compareStrings, kindAt, kinds, stringValue } from './compare.ts'
import { compareNumbers, simpleNumberAt } from './decimal.ts'
import type { Evaluation } from './evaluation.ts'
import { orderTest } from './operators.ts'
import type { ComparisonOperator } from './syntax.ts'

/** Tests the value at an offset of the text that is evaluated; a negative offset is nothing. */
export type ValueTest = (evaluation: Evaluation, start: number) => boolean

/** Returns the order of a value and a literal: NaN where neither is less and they are not equal (RFC 9535, 2.3.5.2.2). */
type OrderOf = (evaluation: Evaluation, start: number) => number

const quote = 0x22
const backslash = 0x5c

/** Returns a test that compares a value with a literal, in JSON text; the value is on the left. */
export function literalTest(operator: ComparisonOperator, literal: string): ValueTest {
  const kind = kindAt(literal, 0)
  if (kind === kinds.number) return testOf(operator, orderWithNumber(literal))
  if (kind !== kinds.string) return testOf(operator, orderWithKeyword(literal))
  const string = stringValue(literal, 0, literal.length)
  if (operator !== '==' && operator !== '!=') return testOf(operator, orderWithString(string))
  const isEqual = stringTest(string)
  return operator === '==' ? isEqual : (evaluation, start) => !isEqual(evaluation, start)
}

function testOf(operator: ComparisonOperator, orderOf: OrderOf): ValueTest {
  const test = orderTest(operator)
  return (evaluation, start) => test(orderOf(evaluation, start))
}

/** Orders values with `true`, `false` or `null`. */
function orderWithKeyword(literal: string): OrderOf {
  const first = literal.charCodeAt(0)
  return ({ text }, start) => (text.charCodeAt(start) === first ? 0 : Number.NaN)
}

function orderWithNumber(literal: string): OrderOf {
  const simple = simpleNumberAt(literal, 0)
  return (evaluation, start) => {
    if (start < 0) return Number.NaN
    const { text } = evaluation
    const order = simpleNumberAt(text, start) - simple
    if (!Number.isNaN(order)) return order
    if (kindAt(text, start) !== kinds.number) return Number.NaN
    const end = valueEnd(text, start)
    evaluation.countReading(end - start)
    return compareNumbers(text.slice(start, end), literal)
  }
}

function orderWithString(literal: string): OrderOf {
  return (evaluation, start) => {
    if (evaluation.text.charCodeAt(start) !== quote) return Number.NaN
    return compareStrings(stringAt(evaluation, start), literal)
  }
}

/** Returns a test for one string. It mostly ends at the first character; only a string with escapes is decoded. */
export function stringTest(literal: string): ValueTest {
  const { length } = literal
  return (evaluation, start) => {
    const { text } = evaluation
    if (text.charCodeAt(start) !== quote) return false
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(start + 1 + i)
      if (unit === backslash) return stringAt(evaluation, start) === literal
      if (unit === quote || unit !== literal.charCodeAt(i)) return false
    }
    return text.charCodeAt(start + 1 + length) === quote
  }
}

/** Returns the string at an offset, decoded. */
function stringAt(evaluation: Evaluation, start: number): string {
  const { text } = evaluation
  const end = valueEnd(text, start)
  evaluation.countReading(end - start)
  return stringValue(text, start, end)
}
