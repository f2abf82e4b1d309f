import { Regexp } from '../../jsonpath/regexp.ts'
import type { StepBudget } from './budget.ts'
import { parsePattern } from './pattern-parse.ts'

/** A pattern of a schema, compiled. */
export interface SchemaPattern {
  /** Returns whether a part of the text matches, in time linear in its length. */
  test(text: string): boolean
  /** Different for different patterns: ajv keeps one of each. */
  toString(): string
}

/** Throws `InvalidPattern`. The budget pays for what is tested: a step reads eight characters. */
export function patternOf(pattern: string, budget?: StepBudget): SchemaPattern {
  const compiled = new Regexp(parsePattern(pattern), true)
  const charge = (steps: number) => budget?.take(steps)
  return {
    test: (text) => compiled.test(text, charge),
    toString: () => pattern,
  }
}
