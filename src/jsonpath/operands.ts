import { eachElement, rawMembers, skipSpace, valueEnd } from '../json/scan.ts'
import { kindAt, kinds, stringValue } from './compare.ts'
import type { Evaluation } from './evaluation.ts'
import type { CompileScope } from './scope.ts'
import { compilePath, compileSegments, none, type Visit } from './segments.ts'
import { type Argument, type FunctionCall, type Query, singularPath } from './syntax.ts'

/** Returns where the value of a singular query begins; -1 for nothing. */
export type StartOf = (evaluation: Evaluation) => number

/** Returns a value as JSON text; undefined is nothing. */
export type TextOf = (evaluation: Evaluation) => string | undefined

/** Visits what a query selects, as numbers of values in the tree; returns true as soon as a visit does. */
export type Nodes = (evaluation: Evaluation, visit: Visit) => boolean

/** Compiles any query. */
export function compileNodes({ root, segments }: Query, scope: CompileScope): Nodes {
  const select = compileSegments(segments, scope.compileFilter)
  const isRelative = root === '@' && scope.isNested
  return (evaluation, visit) => select(evaluation, isRelative ? evaluation.value : 0, visit)
}

/** Compiles a query for the single value at a path. */
export function compileStart(
  { root }: Query,
  path: readonly (string | number)[],
  scope: CompileScope,
): StartOf {
  if (root === '$' || !scope.isNested) {
    const step = scope.finder.add(path)
    return () => step.start
  }
  const find = compilePath(path)
  return (evaluation) => {
    const value = find(evaluation, evaluation.value)
    return value === none ? -1 : evaluation.tree.starts[value]!
  }
}

/** Compiles a literal, a query for a single value, or a call that returns a value. */
export function compileText(operand: Argument, scope: CompileScope): TextOf {
  if (operand.type === 'literal') return () => operand.json
  if (operand.type === 'call') return compileValueCall(operand, scope)
  const startOf = compileStart(operand, singularPath(operand)!, scope)
  return (evaluation) => {
    const start = startOf(evaluation)
    return start === -1 ? undefined : textAt(evaluation, start)
  }
}

function textAt(evaluation: Evaluation, start: number): string {
  const { text } = evaluation
  const end = valueEnd(text, start)
  evaluation.countReading(end - start)
  return text.slice(start, end)
}

function compileValueCall({ name, args }: FunctionCall, scope: CompileScope): TextOf {
  const [argument] = args
  if (name === 'length') return lengthOf(compileText(argument!, scope))
  const nodes = compileNodes(argument as Query, scope)
  return name === 'count' ? countOf(nodes) : onlyOf(nodes)
}

/** The characters of a string, the elements of an array, the members of an object; nothing for other values. */
function lengthOf(textOf: TextOf): TextOf {
  return (evaluation) => {
    const text = textOf(evaluation)
    if (text === undefined) return undefined
    const start = skipSpace(text, 0)
    const kind = kindAt(text, start)
    evaluation.countReading(text.length)
    if (kind === kinds.string) return String(characters(stringValue(text, start, valueEnd(text, start))))
    if (kind === kinds.object) return String(rawMembers(text).size)
    if (kind !== kinds.array) return undefined
    let elements = 0
    eachElement(text, start, (at) => {
      elements++
      return valueEnd(text, at)
    })
    return String(elements)
  }
}

function characters(text: string): number {
  let count = text.length
  for (let i = 1; i < text.length; i++) if (text.codePointAt(i - 1)! > 0xffff) count--
  return count
}

function countOf(nodes: Nodes): TextOf {
  return (evaluation) => {
    let count = 0
    nodes(evaluation, () => {
      count++
      return false
    })
    return String(count)
  }
}

/** The only value of a query; nothing if there are none or several. */
function onlyOf(nodes: Nodes): TextOf {
  return (evaluation) => {
    let found = -1
    const hasSeveral = nodes(evaluation, (value) => {
      if (found !== -1) return true
      found = value
      return false
    })
    return found === -1 || hasSeveral ? undefined : textAt(evaluation, evaluation.tree.starts[found]!)
  }
}
