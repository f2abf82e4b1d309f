import { compile } from './compile.ts'
import type { JsonText } from './fields.ts'
import { parseLogical } from './parse.ts'
import { Reader } from './reader.ts'
import type { LogicalExpression } from './syntax.ts'

/** A logical expression of JSONPath (RFC 9535, 2.3.5): `@` is the value that it examines, and so is `$`. */
export interface Filter {
  readonly text: string
  readonly expression: LogicalExpression
}

/** Throws `InvalidExpression`. */
export function parseFilter(text: string): Filter {
  const reader = new Reader(text)
  const expression = parseLogical(reader)
  reader.skipBlanks()
  reader.expectEnd('"&&", "||" or the end of the filter')
  return { text, expression }
}

/** Returns a function that says whether a filter selects a value. It throws `CostlyFilter`. */
export function matcher({ expression }: Filter): (value: JsonText) => boolean {
  return compile(expression)
}
