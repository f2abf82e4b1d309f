import type { ComparisonOperator } from './syntax.ts'

/** Returns what an operator says of an order; NaN is the order of values that are not equal and that have none. */
export function orderTest(operator: ComparisonOperator): (order: number) => boolean {
  return tests[operator]
}

const tests: Readonly<Record<ComparisonOperator, (order: number) => boolean>> = {
  '==': (order) => order === 0,
  '!=': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

/** The operators that say the same with the sides exchanged. */
export const exchanged: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '==': '==',
  '!=': '!=',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
}
