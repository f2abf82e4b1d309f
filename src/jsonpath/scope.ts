import type { Evaluation } from './evaluation.ts'
import type { PathFinder } from './paths.ts'
import type { LogicalExpression } from './syntax.ts'

/** A test of the value that an evaluation is at. */
export type Test = (evaluation: Evaluation) => boolean

/** Where an expression is compiled. */
export interface CompileScope {
  /** Finds the values at the paths that begin at the whole value. */
  readonly finder: PathFinder
  /** The expression is that of a filter in a query: `@` is a value in the whole value. */
  readonly isNested: boolean
  /** Compiles the expression of such a filter. */
  readonly compileFilter: (expression: LogicalExpression) => Test
}
