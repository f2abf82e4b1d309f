import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { CostlyFilter } from './errors.ts'
import { matcher, parseFilter } from './filter.ts'
import type {
  Argument,
  Comparable,
  ComparisonOperator,
  FunctionCall,
  LogicalExpression,
  PathSegment,
  Query,
  Selector,
} from './syntax.ts'

/**
 * Random filters on random values, against an evaluator that is as simple as RFC 9535 reads: it takes values that
 * `JSON.parse` made, and knows nothing of texts. `fast-check` prints the seed and the smallest case that fails.
 */

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const names = ['a', 'b', 'c', 'é', 'x y', '"', '\\', '😀']
const strings = ['', 'a', 'b', 'ab', 'aB', 'é', '😀', '\u{ffff}', 'a\n', '"', '\\']
const numbers = [0, -1, 1, 2, 3, 10, 0.5, 1e21, 123_456_789_012_345_680]

// The values of random JSON, as text with all the liberties that JSON has.

const { value: jsonValue } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Json>(null, true, false),
    fc.constantFrom(...numbers),
    fc.constantFrom(...strings),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 4 }),
  ),
}))

/** Writes a value as text; `choose` returns a number below its argument. */
function write(value: Json, choose: (below: number) => number): string {
  const blank = () => [' ', '', '', '\n\t'][choose(4)]!
  const inBlanks = (text: string) => `${blank()}${text}${blank()}`
  if (Array.isArray(value))
    return inBlanks(`[${value.map((one) => write(one, choose)).join(',') || blank()}]`)
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).flatMap(([name, one]) => {
      const member = `${inBlanks(writeString(name, choose))}:${write(one, choose)}`
      const repeated = `${writeString(name, choose)}:${write([1, { a: 2 }, 'x'][choose(3)]!, choose)}`
      return choose(8) === 0 ? [repeated, member] : [member]
    })
    return inBlanks(`{${members.join(',') || blank()}}`)
  }
  if (typeof value === 'string') return inBlanks(writeString(value, choose))
  return inBlanks(typeof value === 'number' ? writeNumber(value, choose) : JSON.stringify(value))
}

function writeString(text: string, choose: (below: number) => number): string {
  if (choose(3) > 0) return JSON.stringify(text)
  const units = text.split('').map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `"${units.join('')}"`
}

function writeNumber(number: number, choose: (below: number) => number): string {
  const plain = JSON.stringify(number)
  if (number === 0) return ['0', '-0', '0.00', '0e7'][choose(4)]!
  if (plain.includes('e') || plain.includes('.')) return plain
  return [plain, `${plain}.0`, `${plain}00e-2`, `${plain}E+0`, `${plain}0e-1`][choose(5)]!
}

/** Returns a source of choices that depends on a seed alone. */
function chooser(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return (state >>> 8) % below
  }
}

// Random filters, and how they are written.

const literal = fc
  .oneof(fc.constantFrom<Json>(null, true, false), fc.constantFrom(...numbers), fc.constantFrom(...strings))
  .map((value): Argument => ({ type: 'literal', json: JSON.stringify(value) }))

const index = fc.integer({ min: -3, max: 3 })
const bound = fc.option(fc.integer({ min: -5, max: 5 }))

const filters = fc.letrec<{
  logical: LogicalExpression
  query: Query
  singular: Query
  value: Argument
  call: FunctionCall
}>((tie) => {
  const name = fc.constantFrom(...names).map((one): Selector => ({ type: 'name', name: one }))
  const byIndex = index.map((one): Selector => ({ type: 'index', index: one }))
  const selector = fc.oneof(
    { arbitrary: name, weight: 4 },
    { arbitrary: byIndex, weight: 2 },
    { arbitrary: fc.constant<Selector>({ type: 'wildcard' }), weight: 2 },
    {
      arbitrary: fc
        .tuple(bound, bound, fc.integer({ min: -2, max: 2 }))
        .map(([start, end, step]): Selector => ({ type: 'slice', start, end, step })),
      weight: 1,
    },
    {
      arbitrary: tie('logical').map((expression): Selector => ({ type: 'filter', expression })),
      weight: 2,
    },
  )
  const segment = fc.record({
    isDescendant: fc.boolean(),
    selectors: fc.array(selector, { minLength: 1, maxLength: 2 }),
  })
  const step = fc.oneof(name, byIndex).map((one): PathSegment => ({ isDescendant: false, selectors: [one] }))
  const root = fc.constantFrom<'@' | '$'>('@', '@', '$')
  const query = (segments: fc.Arbitrary<PathSegment>) =>
    fc.record({ type: fc.constant('query' as const), root, segments: fc.array(segments, { maxLength: 3 }) })
  const comparison = fc.record({
    type: fc.constant('comparison' as const),
    operator: fc.constantFrom<ComparisonOperator>('==', '!=', '<', '<=', '>', '>='),
    left: tie('value') as fc.Arbitrary<Comparable>,
    right: tie('value') as fc.Arbitrary<Comparable>,
  })
  return {
    logical: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      comparison,
      tie('query').map((one): LogicalExpression => ({ type: 'exists', query: one })),
      fc
        .tuple(
          fc.constantFrom<'and' | 'or'>('and', 'or'),
          fc.array(tie('logical'), { minLength: 2, maxLength: 3 }),
        )
        .map(([type, operands]): LogicalExpression => ({ type, operands })),
      tie('logical').map((operand): LogicalExpression => ({ type: 'not', operand })),
    ),
    query: query(segment),
    singular: query(step),
    value: fc.oneof({ depthSize: 'small' }, literal, tie('singular'), tie('singular'), tie('call')),
    call: fc.oneof(
      tie('value').map((one): FunctionCall => ({ type: 'call', name: 'length', args: [one] })),
      fc
        .tuple(fc.constantFrom<'count' | 'value'>('count', 'value'), tie('query'))
        .map(([name, one]): FunctionCall => ({ type: 'call', name, args: [one] })),
    ),
  }
})

function print(expression: LogicalExpression): string {
  switch (expression.type) {
    case 'and':
      return expression.operands.map((one) => `(${print(one)})`).join(' && ')
    case 'or':
      return expression.operands.map((one) => `(${print(one)})`).join('||')
    case 'not':
      return `!(${print(expression.operand)})`
    case 'exists':
      return printArgument(expression.query)
    case 'test':
      return printArgument(expression.call)
    case 'comparison':
      return `${printArgument(expression.left)} ${expression.operator} ${printArgument(expression.right)}`
  }
}

function printArgument(argument: Argument): string {
  if (argument.type === 'literal') return argument.json
  if (argument.type === 'call') return `${argument.name}(${argument.args.map(printArgument).join(', ')})`
  return argument.root + argument.segments.map(printSegment).join('')
}

function printSegment({ isDescendant, selectors }: PathSegment): string {
  return `${isDescendant ? '..' : ''}[${selectors.map(printSelector).join(', ')}]`
}

function printSelector(selector: Selector): string {
  switch (selector.type) {
    case 'name':
      return JSON.stringify(selector.name)
    case 'index':
      return String(selector.index)
    case 'wildcard':
      return '*'
    case 'slice':
      return `${selector.start ?? ''}:${selector.end ?? ''}:${selector.step}`
    case 'filter':
      return `?${print(selector.expression)}`
  }
}

// The reference: RFC 9535 over plain values.

interface Context {
  readonly current: Json
  readonly root: Json
}

function holds(expression: LogicalExpression, context: Context): boolean {
  switch (expression.type) {
    case 'and':
      return expression.operands.every((one) => holds(one, context))
    case 'or':
      return expression.operands.some((one) => holds(one, context))
    case 'not':
      return !holds(expression.operand, context)
    case 'exists':
      return select(expression.query, context).length > 0
    case 'test':
      throw new Error('regular expressions have tests of their own')
    case 'comparison':
      return compares(
        expression.operator,
        evaluated(expression.left, context),
        evaluated(expression.right, context),
      )
  }
}

function compares(operator: ComparisonOperator, a: Json | undefined, b: Json | undefined): boolean {
  const isEqual = a === b || (a !== undefined && b !== undefined && Bun.deepEquals(a, b, true))
  if (operator === '==') return isEqual
  if (operator === '!=') return !isEqual
  if (operator === '>') return isLess(b, a)
  if (operator === '>=') return isLess(b, a) || isEqual
  return isLess(a, b) || (operator === '<=' && isEqual)
}

function isLess(a: Json | undefined, b: Json | undefined): boolean {
  if (typeof a === 'number' && typeof b === 'number') return a < b
  if (typeof a !== 'string' || typeof b !== 'string') return false
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
}

function evaluated(argument: Argument, context: Context): Json | undefined {
  if (argument.type === 'literal') return JSON.parse(argument.json) as Json
  if (argument.type === 'query') return select(argument, context)[0]
  if (argument.name === 'length') return lengthOf(evaluated(argument.args[0]!, context))
  const selected = select(argument.args[0] as Query, context)
  if (argument.name === 'count') return selected.length
  return selected.length === 1 ? selected[0] : undefined
}

function lengthOf(value: Json | undefined): number | undefined {
  if (typeof value === 'string') return [...value].length
  return typeof value === 'object' && value !== null ? Object.keys(value).length : undefined
}

function select({ root, segments }: Query, context: Context): Json[] {
  let selected = [root === '@' ? context.current : context.root]
  for (const { isDescendant, selectors } of segments) {
    const from = isDescendant ? selected.flatMap(descendants) : selected
    selected = from.flatMap((value) =>
      selectors.flatMap((selector) => children(selector, value, context.root)),
    )
  }
  return selected
}

function descendants(value: Json): Json[] {
  return [value, ...childrenOf(value).flatMap(descendants)]
}

function childrenOf(value: Json): Json[] {
  return typeof value === 'object' && value !== null ? Object.values(value) : []
}

function children(selector: Selector, value: Json, root: Json): Json[] {
  switch (selector.type) {
    case 'name':
      return isObject(value) && Object.hasOwn(value, selector.name) ? [value[selector.name]!] : []
    case 'index':
      return Array.isArray(value) ? [value.at(selector.index)].filter((one) => one !== undefined) : []
    case 'wildcard':
      return childrenOf(value)
    case 'filter':
      return childrenOf(value).filter((current) => holds(selector.expression, { current, root }))
    case 'slice': {
      if (!Array.isArray(value) || selector.step === 0) return []
      // Every index is tried, in the direction of the step, with the bounds as they are defined.
      const { start, end, step } = selector
      const from = (given: number | null, other: number) =>
        given === null ? other : given < 0 ? given + value.length : given
      const first = from(start, step > 0 ? 0 : value.length - 1)
      const last = from(end, step > 0 ? value.length : -1)
      const clampedFirst = step > 0 ? Math.max(first, 0) : Math.min(first, value.length - 1)
      const found: Json[] = []
      for (let i = clampedFirst; step > 0 ? i < last : i > last; i += step) {
        if (i >= 0 && i < value.length) found.push(value[i]!)
      }
      return found
    }
  }
}

function isObject(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function resultOf(evaluate: () => boolean): boolean | 'costly' {
  try {
    return evaluate()
  } catch (error) {
    if (error instanceof CostlyFilter) return 'costly'
    throw error
  }
}

describe('a filter selects what the reference selects', () => {
  test('of random values', () => {
    let selected = 0
    let costly = 0
    fc.assert(
      fc.property(
        filters.logical,
        fc.array(jsonValue, { minLength: 5, maxLength: 5 }),
        fc.nat(),
        (expression, values, seed) => {
          const text = print(expression)
          const filter = parseFilter(text)
          expect(filter.expression).toEqual(expression)
          const matches = matcher(filter)
          for (const value of values) {
            const stored = write(value, chooser(seed))
            const parsed = JSON.parse(stored) as Json
            const isSelected = holds(expression, { current: parsed, root: parsed })
            if (isSelected) selected++
            const found = resultOf(() => matches(stored))
            if (found === 'costly') costly++
            else expect([text, stored, found]).toEqual([text, stored, isSelected])
          }
        },
      ),
      { numRuns: 2000, includeErrorInReport: true },
    )
    // The filters are of some worth: neither all nor none is selected.
    expect(selected).toBeWithin(1000, 9000)
    // Filters that are nested three deep may take too many steps.
    expect(costly).toBeLessThan(50)
  })
})
