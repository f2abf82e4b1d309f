import { valueEnd } from '../json/scan.ts'
import { orderOfValues } from './equal.ts'
import { Evaluation } from './evaluation.ts'
import { literalTest } from './literals.ts'
import { compileNodes, compileStart, compileText } from './operands.ts'
import { exchanged, orderTest } from './operators.ts'
import { PathFinder } from './paths.ts'
import { compileRegexpCall } from './regexp-calls.ts'
import type { CompileScope, Test } from './scope.ts'
import {
  type ComparisonExpression,
  type ComparisonOperator,
  type LogicalExpression,
  type Query,
  singularPath,
} from './syntax.ts'

/**
 * Compiles expressions into closures. What a filter needs of the whole value by name or index is found in one pass over its
 * text (paths.ts), which is all that most filters do; a tree of the values (value-tree.ts) is built when a query
 * for several values is evaluated.
 */

/** Returns a function that says whether an expression holds for a value, in JSON text. */
export function compile(expression: LogicalExpression): (text: string) => boolean {
  const scope = newScope()
  const test = compileTest(expression, scope)
  const evaluation = new Evaluation()
  return (text) => {
    evaluation.begin(text)
    scope.finder.find(text)
    try {
      return test(evaluation)
    } finally {
      evaluation.end()
    }
  }
}

/** Returns a function that returns the texts of what a query selects in a value. */
export function compileQuery(query: Query): (text: string) => string[] {
  const scope = newScope()
  const nodes = compileNodes(query, scope)
  const evaluation = new Evaluation()
  return (text) => {
    evaluation.begin(text)
    scope.finder.find(text)
    const starts: number[] = []
    nodes(evaluation, (value) => {
      starts.push(evaluation.tree.starts[value]!)
      return false
    })
    evaluation.end()
    return starts.map((start) => text.slice(start, valueEnd(text, start)))
  }
}

function newScope(): CompileScope {
  const finder = new PathFinder()
  const nested: CompileScope = {
    finder,
    isNested: true,
    compileFilter: (expression) => compileTest(expression, nested),
  }
  return { ...nested, isNested: false }
}

function compileTest(expression: LogicalExpression, scope: CompileScope): Test {
  switch (expression.type) {
    case 'and':
      return every(expression.operands.map((one) => compileTest(one, scope)))
    case 'or':
      return some(expression.operands.map((one) => compileTest(one, scope)))
    case 'not': {
      const test = compileTest(expression.operand, scope)
      return (evaluation) => !test(evaluation)
    }
    case 'exists':
      return compileExistence(expression.query, scope)
    case 'comparison':
      return compileComparison(expression, scope)
    case 'test':
      return compileRegexpCall(expression.call, scope)
  }
}

function every(tests: readonly Test[]): Test {
  return (evaluation) => {
    for (const test of tests) if (!test(evaluation)) return false
    return true
  }
}

function some(tests: readonly Test[]): Test {
  return (evaluation) => {
    for (const test of tests) if (test(evaluation)) return true
    return false
  }
}

function compileExistence(query: Query, scope: CompileScope): Test {
  const path = singularPath(query)
  if (path !== null) {
    const startOf = compileStart(query, path, scope)
    return (evaluation) => startOf(evaluation) !== -1
  }
  const nodes = compileNodes(query, scope)
  return (evaluation) => nodes(evaluation, () => true)
}

function compileComparison({ operator, left, right }: ComparisonExpression, scope: CompileScope): Test {
  if (left.type === 'query' && right.type === 'literal')
    return compareWithLiteral(operator, left, right.json, scope)
  if (left.type === 'literal' && right.type === 'query') {
    return compareWithLiteral(exchanged[operator], right, left.json, scope)
  }
  const leftText = compileText(left, scope)
  const rightText = compileText(right, scope)
  const test = orderTest(operator)
  return (evaluation) => test(orderOfValues(evaluation, leftText(evaluation), rightText(evaluation)))
}

function compareWithLiteral(
  operator: ComparisonOperator,
  query: Query,
  json: string,
  scope: CompileScope,
): Test {
  const startOf = compileStart(query, singularPath(query)!, scope)
  const test = literalTest(operator, json)
  return (evaluation) => test(evaluation, startOf(evaluation))
}
