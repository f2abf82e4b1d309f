import { compareJson, kindAt, kinds } from './compare.ts'
import type { FieldPath } from './fields.ts'
import type { Filter } from './filter.ts'
import { exchanged } from './operators.ts'
import {
  type Comparable,
  type ComparisonExpression,
  type ComparisonOperator,
  type LogicalExpression,
  singularPath,
} from './syntax.ts'

/** The values that a field has in every value that a filter selects. */
export interface FieldRange {
  readonly field: FieldPath
  /** All values of the range are of this type: a comparison holds between values of one type only. */
  readonly type: 'null' | 'boolean' | 'number' | 'string'
  /** The only value, as JSON text; the range has no bounds then. */
  readonly equals?: string
  readonly low?: Bound
  readonly high?: Bound
}

export interface Bound {
  /** A number or a string, as JSON text. */
  readonly json: string
  readonly isInclusive: boolean
}

/**
 * Returns the ranges that a filter's comparisons of fields with literals give, one for each field. Only comparisons that
 * all must hold count: those joined by `&&`. A value in all ranges need not be selected, so the filter is still evaluated.
 */
export function rangesOf({ expression }: Filter): readonly FieldRange[] {
  const ranges: FieldRange[] = []
  for (const comparison of conjuncts(expression)) {
    const range = rangeOf(comparison)
    if (range === null) continue
    const id = JSON.stringify(range.field.segments)
    const at = ranges.findIndex(({ field }) => JSON.stringify(field.segments) === id)
    if (at === -1) ranges.push(range)
    else ranges[at] = narrowed(ranges[at]!, range)
  }
  return ranges
}

function conjuncts(expression: LogicalExpression): ComparisonExpression[] {
  if (expression.type === 'and') return expression.operands.flatMap(conjuncts)
  return expression.type === 'comparison' ? [expression] : []
}

function rangeOf({ operator, left, right }: ComparisonExpression): FieldRange | null {
  const field = fieldIn(left)
  if (field !== null && right.type === 'literal') return rangeFrom(field, operator, right.json)
  const other = fieldIn(right)
  if (other !== null && left.type === 'literal') return rangeFrom(other, exchanged[operator], left.json)
  return null
}

function fieldIn(operand: Comparable): FieldPath | null {
  const segments = operand.type === 'query' ? singularPath(operand) : null
  return segments === null ? null : { text: fieldText(segments), segments }
}

function fieldText(segments: readonly (string | number)[]): string {
  return `@${segments.map((segment) => `[${JSON.stringify(segment)}]`).join('')}`
}

function rangeFrom(field: FieldPath, operator: ComparisonOperator, json: string): FieldRange | null {
  const type = typeOf(json)
  const isOrdered = type === 'number' || type === 'string'
  if (operator === '!=') return null
  if (operator === '==' || (!isOrdered && operator.endsWith('='))) return { field, type, equals: json }
  // Nothing is less or greater than null, true or false: no value is selected.
  if (!isOrdered) return null
  const bound: Bound = { json, isInclusive: operator.endsWith('=') }
  return operator.startsWith('<') ? { field, type, high: bound } : { field, type, low: bound }
}

function typeOf(json: string): FieldRange['type'] {
  const kind = kindAt(json, 0)
  if (kind === kinds.null) return 'null'
  if (kind === kinds.number) return 'number'
  return kind === kinds.string ? 'string' : 'boolean'
}

/** Returns a range that contains what two ranges have in common. */
function narrowed(a: FieldRange, b: FieldRange): FieldRange {
  if (a.equals !== undefined || a.type !== b.type) return a
  if (b.equals !== undefined) return b
  const low = tighter(a.low, b.low, 1)
  const high = tighter(a.high, b.high, -1)
  return { field: a.field, type: a.type, ...(low && { low }), ...(high && { high }) }
}

function tighter(a: Bound | undefined, b: Bound | undefined, sign: 1 | -1): Bound | undefined {
  if (a === undefined || b === undefined) return a ?? b
  const order = compareJson(a.json, b.json) * sign
  if (order === 0) return a.isInclusive ? b : a
  return order > 0 ? a : b
}
