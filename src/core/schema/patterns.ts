import type { StepBudget } from './budget.ts'

/** A pattern of a schema, compiled. */
export interface SchemaPattern {
  test(text: string): boolean
  /** Different for different patterns: ajv keeps one of each. */
  toString(): string
}

export function patternOf(pattern: string, budget?: StepBudget): SchemaPattern {
  const compiled = new RegExp(pattern, 'u')
  return {
    test(text) {
      budget?.take(Math.ceil(text.length / 16))
      return compiled.test(text)
    },
    toString: () => pattern,
  }
}
