/** What an expression may be, and what its evaluation may cost: other requests wait for both. */

/** The length of an expression in UTF-16 units. */
export const maxExpressionLength = 65_536

/** Parentheses, filters inside of filters and calls inside of calls, one in the other: each is a recursive call. */
export const maxExpressionDepth = 64

/** Comparisons, operators, segments, selectors and arguments of one expression. */
export const maxExpressionNodes = 4096

/** The segments of one query; fields are followed by recursion. */
export const maxSegments = 64

/** The fields of one `order`, and the paths of one `fields`. */
export const maxOrderFields = 16
export const maxPickedFields = 256

/** The length of a regular expression in UTF-16 units. */
export const maxRegexpLength = 8192

/** The states of the automaton of a regular expression, after `{n,m}` is expanded. */
export const maxRegexpStates = 4096

/** Groups in groups of a regular expression. */
export const maxRegexpDepth = 64

/**
 * The steps of evaluating a filter on one value of so many UTF-16 units. A step visits a value or some characters, and takes
 * up to 50 ns. A filter without filters in its filters, and with few descendant segments, stays below this on any value.
 */
export function maxSteps(valueLength: number): number {
  return 10_000 + 2 * valueLength
}

/** Characters that are read on end in the time of a step. */
export const readTogether = 32
/** Characters that an automaton reads in the time of a step. */
export const matchedTogether = 8

/** What is kept of the automaton of a regular expression. */
export const maxCachedStates = 1000
export const maxCachedTransitions = 20_000
