import { InvalidExpression } from './errors.ts'
import { literalTest } from './literals.ts'
import { PathFinder, type PathStep } from './paths.ts'
import {
  type ComparisonExpression,
  type ComparisonOperator,
  type LogicalExpression,
  type Query,
  singularPath,
} from './syntax.ts'

type Test = (text: string) => boolean

/** Compiles an expression into a function of the text of a value. */
export function compile(expression: LogicalExpression): Test {
  const finder = new PathFinder()
  const test = compileTest(expression, finder)
  return (text) => {
    finder.find(text)
    return test(text)
  }
}

function compileTest(expression: LogicalExpression, finder: PathFinder): Test {
  switch (expression.type) {
    case 'and': {
      const tests = expression.operands.map((one) => compileTest(one, finder))
      return (text) => tests.every((test) => test(text))
    }
    case 'or': {
      const tests = expression.operands.map((one) => compileTest(one, finder))
      return (text) => tests.some((test) => test(text))
    }
    case 'not': {
      const test = compileTest(expression.operand, finder)
      return (text) => !test(text)
    }
    case 'exists': {
      const step = stepOf(expression.query, finder)
      return () => step.start !== -1
    }
    case 'comparison':
      return compileComparison(expression, finder)
    case 'test':
      throw new InvalidExpression(0, 'functions are not there yet')
  }
}

const flipped: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '==': '==',
  '!=': '!=',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
}

function compileComparison({ operator, left, right }: ComparisonExpression, finder: PathFinder): Test {
  if (left.type === 'query' && right.type === 'literal') {
    const step = stepOf(left, finder)
    const test = literalTest(operator, right.json)
    return (text) => test(text, step.start)
  }
  if (left.type === 'literal' && right.type === 'query')
    return compileComparison(
      { type: 'comparison', operator: flipped[operator], left: right, right: left },
      finder,
    )
  throw new InvalidExpression(0, 'this comparison is not there yet')
}

function stepOf(query: Query, finder: PathFinder): PathStep {
  const path = singularPath(query)
  if (path === null) throw new InvalidExpression(0, 'this query is not there yet')
  return finder.add(path)
}
