/** The syntax tree of a filter, as data. */

export type FunctionName = 'length' | 'count' | 'value' | 'match' | 'search'

export type LogicalExpression =
  | { readonly type: 'or' | 'and'; readonly operands: readonly LogicalExpression[] }
  | { readonly type: 'not'; readonly operand: LogicalExpression }
  | { readonly type: 'exists'; readonly query: Query }
  | { readonly type: 'test'; readonly call: FunctionCall }
  | ComparisonExpression

export type ComparisonOperator = '==' | '!=' | '<' | '<=' | '>' | '>='

export interface ComparisonExpression {
  readonly type: 'comparison'
  readonly operator: ComparisonOperator
  readonly left: Comparable
  readonly right: Comparable
}

/** A query is singular here, and a call returns a value. */
export type Comparable = Literal | Query | FunctionCall

export interface Literal {
  readonly type: 'literal'
  /** The value as JSON text; numbers as they were written. */
  readonly json: string
}

export interface Query {
  readonly type: 'query'
  /** `@` is the value that the filter examines, `$` the whole value. */
  readonly root: '@' | '$'
  readonly segments: readonly PathSegment[]
}

export interface PathSegment {
  readonly isDescendant: boolean
  readonly selectors: readonly Selector[]
}

export type Selector =
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'index'; readonly index: number }
  | { readonly type: 'wildcard' }
  | Slice
  | { readonly type: 'filter'; readonly expression: LogicalExpression }

export interface Slice {
  readonly type: 'slice'
  /** Null where left out. */
  readonly start: number | null
  readonly end: number | null
  readonly step: number
}

export interface FunctionCall {
  readonly type: 'call'
  readonly name: FunctionName
  readonly args: readonly Argument[]
}

export type Argument = Literal | Query | FunctionCall

/** Returns the names and indexes of a query that selects at most one value; null for other queries. */
export function singularPath({ segments }: Query): readonly (string | number)[] | null {
  const path: (string | number)[] = []
  for (const { isDescendant, selectors } of segments) {
    const [selector, another] = selectors
    if (isDescendant || selector === undefined || another !== undefined) return null
    if (selector.type === 'name') path.push(selector.name)
    else if (selector.type === 'index') path.push(selector.index)
    else return null
  }
  return path
}
