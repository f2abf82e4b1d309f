import type { FieldPath } from '../../jsonpath/fields.ts'
import type { Order } from '../../jsonpath/order.ts'
import type { FieldRange } from '../../jsonpath/ranges.ts'
import type { FindOrder } from './expressions.ts'

/** Chooses how a query is served: by which index, and whether what it returns has to be sorted. */

/** What a plan needs to know of an index. */
export interface Indexed {
  readonly name: string
  readonly on: readonly FieldPath[]
}

export interface FindPlan<Index extends Indexed> {
  readonly by: Candidates<Index>
  /** The order of the result; that of the candidates where the query has none. */
  readonly order: FindOrder
  /** The candidates come in another order, and all of them are needed for the first page. */
  readonly isSorted: boolean
}

/** What is examined: the members of a collection by key, or those that a part of an index names, in its order. */
export type Candidates<Index extends Indexed> =
  | { readonly index: null; readonly order: 'asc' | 'desc' }
  | IndexRange<Index>

export interface IndexRange<Index extends Indexed> {
  readonly index: Index
  /** The ranges of the leading fields, each a single value. */
  readonly equal: readonly FieldRange[]
  /** The range of the field after those; null for all values. */
  readonly range: FieldRange | null
  readonly isReversed: boolean
}

/**
 * Returns the plans for a query, the best one first. A plan that sorts may find too much to sort; the next one is tried then.
 * Without a last plan that does not sort, such a query cannot be served.
 *
 * Indexes rank by what they save: fields that equal a value come first, because they select little; then the order, so that
 * a page ends when it is full; then a range. `ranges` are those that every match is within.
 */
export function plansOf<Index extends Indexed>(
  ranges: readonly FieldRange[],
  order: FindOrder | null,
  indexes: readonly Index[],
): readonly FindPlan<Index>[] {
  const ranked = indexes
    .map((index) => usable(index, ranges, order))
    .filter((one) => one !== null)
    .toSorted((a, b) => b.rank - a.rank)
  const best = ranked[0]?.plan
  const scan = scanOf<Index>(order)
  if (best === undefined) return [scan]
  if (!best.isSorted) return [best]
  const inOrder = ranked.find(({ plan }) => !plan.isSorted)?.plan
  return [best, inOrder ?? scan]
}

/** Returns the fields of the index that would serve a query; null if none could. */
export function suggestedIndex(
  ranges: readonly FieldRange[],
  order: FindOrder | null,
): readonly string[] | null {
  const equal = ranges.filter(({ equals }) => equals !== undefined).map(({ field }) => field)
  const left = order === null || typeof order === 'string' ? [] : withoutEqual(order, ranges)
  if (!isUniform(left)) return null
  const range = left.length > 0 ? [] : ranges.filter(({ equals }) => equals === undefined).slice(0, 1)
  const fields = [...equal, ...left.map(({ field }) => field), ...range.map(({ field }) => field)]
  return fields.length === 0 ? null : fields.map(fieldText)
}

/** Returns a field in the shortest form. */
function fieldText({ segments }: FieldPath): string {
  const isName = (segment: string | number) => /^[A-Za-z_][A-Za-z_0-9]*$/.test(String(segment))
  return `@${segments.map((one) => (isName(one) ? `.${one}` : `[${JSON.stringify(one)}]`)).join('')}`
}

function scanOf<Index extends Indexed>(order: FindOrder | null): FindPlan<Index> {
  const isByKey = order === null || typeof order === 'string'
  return {
    by: { index: null, order: isByKey ? (order ?? 'asc') : 'asc' },
    order: order ?? 'asc',
    isSorted: !isByKey,
  }
}

interface Ranked<Index extends Indexed> {
  readonly plan: FindPlan<Index>
  readonly rank: number
}

function usable<Index extends Indexed>(
  index: Index,
  ranges: readonly FieldRange[],
  order: FindOrder | null,
): Ranked<Index> | null {
  const bounds = index.on.map((field) => ranges.find((range) => isSameField(range.field, field)))
  const unequal = bounds.findIndex((bound) => bound?.equals === undefined)
  const fields = unequal === -1 ? index.on.length : unequal
  const equal = bounds.slice(0, fields) as FieldRange[]
  const range = bounds[fields] ?? null
  const given = servedOrder(index.on.slice(fields), ranges, order)
  const isSelective = equal.length > 0 || range !== null
  const givesFields = given !== null && order !== null && typeof order !== 'string'
  if (!isSelective && !givesFields) return null
  const by = { index, equal, range, isReversed: given?.isReversed ?? false }
  const plan = { by, order: order ?? given!.order, isSorted: given === null }
  const rank = 4 * equal.length + (given === null ? 0 : 2) + (range === null ? 0 : 1)
  return { plan, rank }
}

interface ServedOrder {
  readonly order: FindOrder
  readonly isReversed: boolean
}

/** Returns how the fields of an index that equal no single value give an order; null if they do not. */
function servedOrder(
  left: readonly FieldPath[],
  ranges: readonly FieldRange[],
  order: FindOrder | null,
): ServedOrder | null {
  if (order === null) {
    const given = left.map((field) => ({ field, descending: false }))
    return { order: given.length === 0 ? 'asc' : given, isReversed: false }
  }
  if (typeof order === 'string') return left.length === 0 ? { order, isReversed: order === 'desc' } : null
  const asked = withoutEqual(order, ranges)
  const isReversed = order.at(-1)!.descending
  const isGiven =
    asked.length === left.length &&
    asked.every(({ field, descending }, i) => isSameField(field, left[i]!) && descending === isReversed)
  return isGiven ? { order, isReversed } : null
}

/** Returns the fields of an order that do not have the same value in every match. */
function withoutEqual(order: Order, ranges: readonly FieldRange[]): Order {
  return order.filter(
    ({ field }) => !ranges.some((range) => range.equals !== undefined && isSameField(range.field, field)),
  )
}

function isUniform(order: Order): boolean {
  return order.every(({ descending }) => descending === order[0]!.descending)
}

export function isSameField(a: FieldPath, b: FieldPath): boolean {
  return a.segments.length === b.segments.length && a.segments.every((one, i) => one === b.segments[i])
}
