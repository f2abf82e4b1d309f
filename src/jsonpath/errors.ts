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
 * Evaluating a filter on one value passes a limit (limits.ts). What the filter says of the value is not known: it is neither
 * selected nor left out, and the request fails.
 */
export class CostlyFilter extends Error {
  readonly limit: number

  constructor(reason: string, limit: number) {
    super(reason)
    this.name = 'CostlyFilter'
    this.limit = limit
  }
}
