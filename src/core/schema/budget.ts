/** Thrown when a check has taken all its steps. */
export class OutOfSteps extends Error {}

/**
 * Counts the steps of a check, so that no value and no schema keeps the server busy for long: each call of a subschema's
 * function, each pass of a loop and each error is one.
 */
export class StepBudget {
  private left = 0

  start(steps: number): void {
    this.left = steps
  }

  /** Throws OutOfSteps when none is left. The code of validators calls it. */
  take(steps = 1): void {
    this.left -= steps
    if (this.left < 0) throw new OutOfSteps()
  }
}

/** What the code of validators is given: see `countingSteps`. */
export const budgetName = 'kvistSteps'

const step = `self.${budgetName}.take();`
/** Strings first: what stands in them is text of the schema. */
const tokens = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\bfor\(|\bfunction \w+\(|\berrors\+\+;|[(){]/g

/**
 * Returns the code of a validator as ajv generates it, with a step at the beginning of each function and of each loop, and
 * after each error. The code of a budget is `self`, which is the Ajv instance.
 */
export function countingSteps(code: string): string {
  /** The depth of parentheses at which the head of a loop or a function ends; null outside of one. */
  let head: number | null = null
  let depth = 0
  let awaitsBody = false
  return code.replace(tokens, (token) => {
    if (token === 'errors++;') return token + step
    if (token.endsWith('(')) {
      if (token !== '(') head = depth
      depth++
      return token
    }
    if (token === ')') {
      depth--
      if (depth === head) awaitsBody = true
      if (depth === head) head = null
      return token
    }
    if (token !== '{' || !awaitsBody) return token
    awaitsBody = false
    return token + step
  })
}
