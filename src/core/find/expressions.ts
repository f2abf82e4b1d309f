import { CostlyFilter, InvalidExpression } from '../../jsonpath/errors.ts'
import { type FieldPath, parseFields } from '../../jsonpath/fields.ts'
import { matcher, parseFilter } from '../../jsonpath/filter.ts'
import { type Order, parseOrder } from '../../jsonpath/order.ts'
import { type FieldRange, rangesOf } from '../../jsonpath/ranges.ts'
import type { LogicalExpression } from '../../jsonpath/syntax.ts'
import { KvistError } from '../errors.ts'
import type { Value } from '../member.ts'

/** Parses the expressions of queries (docs/find.md), and reports what is wrong with them as errors of the store. */

/** The order of what is found: by key, or by fields of the values. */
export type FindOrder = 'asc' | 'desc' | Order

/** A filter on the values of members. */
export interface Where {
  /** As it was given. */
  readonly text: string
  /** Ranges of fields that every match is within. */
  readonly ranges: readonly FieldRange[]
  /** The ranges say it all: a value that is within each of them matches. */
  readonly isRanges: boolean
  /**
   * Returns whether a value matches. One that is not JSON never does. Throws `unprocessable` if that takes too many steps
   * to find out.
   */
  matches(value: Value): boolean
}

/** Filters that were parsed: clients send the same few over and over, and what is compiled once gets quick. */
const known = new Map<string, Where>()
const maxKnown = 200
const maxKnownChars = 1000

/** Parses a logical expression of JSONPath. Throws `invalid_where`. */
export function parseWhere(text: string): Where {
  const before = known.get(text)
  if (before !== undefined) return before
  const where = compiledWhere(text)
  if (text.length > maxKnownChars) return where
  if (known.size >= maxKnown) known.clear()
  known.set(text, where)
  return where
}

function compiledWhere(text: string): Where {
  const filter = parsed('where', text, parseFilter)
  const ranges = rangesOf(filter)
  /** Compiled at the first value: where an index says it all, there is none. */
  let matches: ReturnType<typeof matcher> | null = null
  return {
    text,
    ranges,
    isRanges: comparisonsIn(filter.expression) === boundsIn(ranges),
    matches(value) {
      if (typeof value !== 'string') return false
      matches ??= matcher(filter)
      const test = matches
      return affordable(() => test(value))
    },
  }
}

/** Parses `asc` or `desc`, the order of the keys, or fields such as `-@.population,@.name`. Throws `invalid_parameter`. */
export function parseFindOrder(text: string): FindOrder {
  return text === 'asc' || text === 'desc' ? text : parsed('order', text, parseOrder)
}

/** Parses fields such as `@.name,@.population`. Throws `invalid_parameter`. */
export function parseShownFields(text: string): readonly FieldPath[] {
  return parsed('fields', text, parseFields)
}

/** Returns the number of comparisons that are joined by `&&` alone; -1 if there is something else. */
function comparisonsIn(expression: LogicalExpression): number {
  if (expression.type === 'comparison') return 1
  if (expression.type !== 'and') return -1
  const counts = expression.operands.map(comparisonsIn)
  return counts.includes(-1) ? -1 : counts.reduce((sum, count) => sum + count, 0)
}

/** Returns the number of comparisons that ranges hold whole; of one that was narrowed by another, one is missing. */
function boundsIn(ranges: readonly FieldRange[]): number {
  let bounds = 0
  for (const { equals, low, high } of ranges)
    for (const bound of [equals, low, high]) if (bound !== undefined) bounds++
  return bounds
}

function parsed<Result>(parameter: string, text: string, parse: (text: string) => Result): Result {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof InvalidExpression)) throw error
    const { position, reason, limit } = error
    const code = parameter === 'where' ? 'invalid_where' : 'invalid_parameter'
    const extra = { parameter, position, reason, ...(limit === undefined ? {} : { limit }) }
    throw new KvistError(code, `${parameter}: ${reason}, at position ${position}`, extra)
  }
}

function affordable(matches: () => boolean): boolean {
  try {
    return matches()
  } catch (error) {
    if (!(error instanceof CostlyFilter)) throw error
    throw new KvistError('unprocessable', error.message, { limit: error.limit })
  }
}
