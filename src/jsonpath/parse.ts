import { functionNames, isFunctionName, type ParameterType, signatureOf } from './functions.ts'
import { maxSegments } from './limits.ts'
import type { Reader } from './reader.ts'
import { InvalidRegexp, parseRegexp } from './regexp-parse.ts'
import {
  type Argument,
  type Comparable,
  type ComparisonOperator,
  type FunctionCall,
  type FunctionName,
  type LogicalExpression,
  type PathSegment,
  type Query,
  type Selector,
  singularPath,
} from './syntax.ts'

/** Parses logical expressions and queries (RFC 9535, 2.1 to 2.5) by recursive descent. Types are checked on the way. */

const operators: readonly ComparisonOperator[] = ['==', '!=', '<=', '>=', '<', '>']
const keywords = new Set(['true', 'false', 'null'])

export function parseLogical(reader: Reader): LogicalExpression {
  return reader.nested(() =>
    parseJoined(reader, 'or', '||', () => parseJoined(reader, 'and', '&&', () => parseBasic(reader))),
  )
}

function parseJoined(
  reader: Reader,
  type: 'or' | 'and',
  token: string,
  parse: () => LogicalExpression,
): LogicalExpression {
  const operands: LogicalExpression[] = []
  do {
    reader.skipBlanks()
    operands.push(parse())
    reader.skipBlanks()
  } while (reader.takes(token))
  return operands.length === 1 ? operands[0]! : { type, operands }
}

function parseBasic(reader: Reader): LogicalExpression {
  reader.count()
  if (reader.isNext('(')) return parseGroup(reader)
  if (!reader.isNext('!')) return parseComparison(reader)
  reader.at++
  reader.skipBlanks()
  const operand = reader.isNext('(') ? parseGroup(reader) : parseTest(reader)
  return { type: 'not', operand }
}

function parseGroup(reader: Reader): LogicalExpression {
  reader.expect('(')
  const expression = parseLogical(reader)
  reader.skipBlanks()
  reader.expect(')')
  return expression
}

function parseTest(reader: Reader): LogicalExpression {
  const start = reader.at
  const operand = parseOperand(reader)
  if (operand.type === 'literal') return reader.fail('a literal is not a test', start)
  return testOf(reader, operand, start)
}

function testOf(reader: Reader, operand: Query | FunctionCall, start: number): LogicalExpression {
  if (operand.type === 'query') return { type: 'exists', query: operand }
  const { name } = operand
  if (signatureOf(name).result !== 'logical') {
    reader.fail(`${name}() returns a value, which must be compared`, start)
  }
  return { type: 'test', call: operand }
}

function parseComparison(reader: Reader): LogicalExpression {
  const start = reader.at
  const left = parseOperand(reader)
  reader.skipBlanks()
  const operator = operators.find((one) => reader.takes(one))
  if (operator === undefined) {
    return left.type === 'literal'
      ? reader.failExpecting('a comparison such as "=="')
      : testOf(reader, left, start)
  }
  checkComparable(reader, left, start)
  reader.skipBlanks()
  const rightStart = reader.at
  const right = checkComparable(reader, parseOperand(reader), rightStart)
  return { type: 'comparison', operator, left, right }
}

function checkComparable(reader: Reader, operand: Argument, start: number): Comparable {
  if (operand.type === 'query' && singularPath(operand) === null) {
    reader.fail('only a query for a single value can be compared, such as @.a or @["a"][0]', start)
  }
  if (operand.type === 'call' && signatureOf(operand.name).result !== 'value') {
    reader.fail(`${operand.name}() is true or false, and cannot be compared`, start)
  }
  return operand
}

/** Parses a literal, a query or a call. */
function parseOperand(reader: Reader): Argument {
  reader.count()
  if (reader.isNext('@') || reader.isNext('$')) return parseQuery(reader)
  if (reader.isAtQuote) return { type: 'literal', json: JSON.stringify(reader.string()) }
  const start = reader.at
  const word = reader.word()
  if (word !== '' && reader.isNext('(')) return parseCall(reader, word, start)
  if (keywords.has(word)) return { type: 'literal', json: word }
  reader.at = start
  if (/[-0-9]/.test(reader.text[start] ?? '')) return { type: 'literal', json: reader.number() }
  return reader.failExpecting('a value such as @.name, "text" or 1')
}

function parseCall(reader: Reader, name: string, start: number): FunctionCall {
  if (!isFunctionName(name))
    return reader.fail(`there is no function ${name}(); there are ${functionNames}`, start)
  const { parameters } = signatureOf(name)
  const args: Argument[] = []
  reader.expect('(')
  reader.nested(() => {
    for (const [i, type] of parameters.entries()) {
      reader.skipBlanks()
      if (reader.isNext(')') || (i > 0 && !reader.takes(','))) {
        const s = parameters.length === 1 ? '' : 's'
        reader.fail(`${name}() takes ${parameters.length} argument${s}`)
      }
      reader.skipBlanks()
      args.push(parseArgument(reader, name, type))
    }
    reader.skipBlanks()
    reader.expect(')', ` after the arguments of ${name}()`)
  })
  return { type: 'call', name, args }
}

function parseArgument(reader: Reader, name: FunctionName, type: ParameterType): Argument {
  const start = reader.at
  const operand = parseOperand(reader)
  if (type === 'nodes') {
    return operand.type === 'query' ? operand : reader.fail(`${name}() takes a query such as @.*`, start)
  }
  if (type === 'pattern' && operand.type === 'literal') checkPattern(reader, operand.json, start)
  return checkComparable(reader, operand, start)
}

/** A pattern that is written in the filter is a mistake where it is not an I-Regexp; one in a value matches nothing. */
function checkPattern(reader: Reader, json: string, start: number): void {
  if (!json.startsWith('"')) return
  try {
    parseRegexp(String(JSON.parse(json)))
  } catch (error) {
    if (!(error instanceof InvalidRegexp)) throw error
    const { message, position, limit } = error
    reader.fail(`the regular expression is not valid at its position ${position}: ${message}`, start, limit)
  }
}

export function parseQuery(reader: Reader): Query {
  const root = reader.takes('$') ? '$' : '@'
  if (root === '@') reader.expect('@')
  const segments: PathSegment[] = []
  for (;;) {
    const end = reader.at
    reader.skipBlanks()
    const segment = parseSegment(reader)
    if (segment === null) {
      reader.at = end
      return { type: 'query', root, segments }
    }
    reader.count()
    segments.push(segment)
    if (segments.length > maxSegments) {
      reader.fail(`a query has at most ${maxSegments} segments`, reader.at, maxSegments)
    }
  }
}

function parseSegment(reader: Reader): PathSegment | null {
  if (reader.isNext('[')) return { isDescendant: false, selectors: parseBrackets(reader) }
  const isDescendant = reader.takes('..')
  if (isDescendant && reader.isNext('[')) return { isDescendant, selectors: parseBrackets(reader) }
  if (!isDescendant && !reader.takes('.')) return null
  const selector: Selector = reader.takes('*')
    ? { type: 'wildcard' }
    : { type: 'name', name: reader.memberName() }
  return { isDescendant, selectors: [selector] }
}

function parseBrackets(reader: Reader): Selector[] {
  reader.expect('[')
  const selectors: Selector[] = []
  do {
    reader.skipBlanks()
    reader.count()
    selectors.push(parseSelector(reader))
    reader.skipBlanks()
  } while (reader.takes(','))
  reader.expect(']')
  return selectors
}

function parseSelector(reader: Reader): Selector {
  if (reader.isAtQuote) return { type: 'name', name: reader.string() }
  if (reader.takes('*')) return { type: 'wildcard' }
  if (reader.takes('?')) return { type: 'filter', expression: parseLogical(reader) }
  const start = reader.integer()
  const end = reader.at
  reader.skipBlanks()
  if (reader.takes(':')) return parseSlice(reader, start)
  reader.at = end
  return start === null
    ? reader.failExpecting('a selector: a quoted name, an index, a slice, "*" or a filter')
    : { type: 'index', index: start }
}

function parseSlice(reader: Reader, start: number | null): Selector {
  reader.skipBlanks()
  const end = reader.integer()
  const afterEnd = reader.at
  reader.skipBlanks()
  if (!reader.takes(':')) {
    reader.at = afterEnd
    return { type: 'slice', start, end, step: 1 }
  }
  const afterColon = reader.at
  reader.skipBlanks()
  const step = reader.integer()
  if (step === null) reader.at = afterColon
  return { type: 'slice', start, end, step: step ?? 1 }
}
