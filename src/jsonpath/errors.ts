/** An expression that is not valid, or passes a limit. An edge answers 400. */
export class InvalidExpression extends Error {
  /** Characters of the expression before the mistake. */
  readonly position: number
  readonly reason: string
  /** The limit that the expression passes; undefined where it is a mistake. */
  readonly limit: number | undefined

  constructor(position: number, reason: string, limit?: number) {
    super(`at position ${position}: ${reason}`)
    this.name = 'InvalidExpression'
    this.position = position
    this.reason = reason
    this.limit = limit
  }
}

/**
 * The evaluation of a filter on one value takes too many steps (limits.ts). What the filter says of the value is not
 * known: it is neither selected nor left out, and the request fails.
 */
export class CostlyFilter extends Error {
  /** The steps that may be taken on this value. */
  readonly limit: number

  constructor(limit: number) {
    super(`the filter takes more than ${limit} steps on a value of this size`)
    this.name = 'CostlyFilter'
    this.limit = limit
  }
}
