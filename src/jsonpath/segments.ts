import { openBrace, openBracket } from '../json/scan.ts'
import type { Evaluation } from './evaluation.ts'
import { stringTest, type ValueTest } from './literals.ts'
import type { CompileScope, Test } from './scope.ts'
import type { PathSegment, Selector, Slice } from './syntax.ts'
import { removed } from './value-tree.ts'

/** Receives a selected value; true ends the query. */
export type Visit = (value: number) => boolean

/** Visits what a query selects in and below a value of the tree, and returns true as soon as a visit does. */
export type NodeSelection = (evaluation: Evaluation, value: number, visit: Visit) => boolean

/** Compiles segments. Values that are selected twice are visited twice, as in RFC 9535. */
export function compileSegments(
  segments: readonly PathSegment[],
  compileFilter: CompileScope['compileFilter'],
): NodeSelection {
  let selection: NodeSelection = (_evaluation, value, visit) => visit(value)
  for (const segment of segments.toReversed()) {
    const next = selection
    const selectors = segment.selectors.map((selector) => compileSelector(selector, compileFilter))
    const children: NodeSelection = (evaluation, value, visit) => {
      const then: Visit = (child) => next(evaluation, child, visit)
      for (const select of selectors) if (select(evaluation, value, then)) return true
      return false
    }
    selection = segment.isDescendant ? descendants(children) : children
  }
  return selection
}

/** Selects from a value and from all that is in it. */
function descendants(children: NodeSelection): NodeSelection {
  return (evaluation, value, visit) => {
    const { starts, nexts } = evaluation.tree
    const end = nexts[value]!
    for (let one = value; one < end; ) {
      evaluation.countSteps(1)
      if (starts[one] === removed) {
        one = nexts[one]!
        continue
      }
      if (children(evaluation, one, visit)) return true
      one++
    }
    return false
  }
}

function compileSelector(selector: Selector, compileFilter: CompileScope['compileFilter']): NodeSelection {
  switch (selector.type) {
    case 'name':
      return selectName(selector.name)
    case 'index':
      return selectIndex(selector.index)
    case 'slice':
      return selectSlice(selector)
    case 'wildcard':
      return eachChild
    case 'filter':
      return selectFiltered(compileFilter(selector.expression))
  }
}

function selectName(name: string): NodeSelection {
  const isName = stringTest(name)
  return (evaluation, value, visit) => {
    const member = memberOf(evaluation, value, isName)
    return member !== none && visit(member)
  }
}

function selectIndex(index: number): NodeSelection {
  return (evaluation, value, visit) => {
    const element = elementOf(evaluation, value, index)
    return element !== none && visit(element)
  }
}

/** Compiles names and indexes into a function that returns the value at their end in the tree, or `none`. */
export function compilePath(
  path: readonly (string | number)[],
): (evaluation: Evaluation, value: number) => number {
  const steps = path.map((segment) => {
    if (typeof segment === 'number') {
      return (evaluation: Evaluation, value: number) => elementOf(evaluation, value, segment)
    }
    const isName = stringTest(segment)
    return (evaluation: Evaluation, value: number) => memberOf(evaluation, value, isName)
  })
  return (evaluation, from) => {
    let value = from
    for (let i = 0; i < steps.length && value !== none; i++) value = steps[i]!(evaluation, value)
    return value
  }
}

export const none = -1

function memberOf(evaluation: Evaluation, value: number, isName: ValueTest): number {
  const { starts, nexts, names } = evaluation.tree
  if (evaluation.text.charCodeAt(starts[value]!) !== openBrace) return none
  const end = nexts[value]!
  for (let child = value + 1; child < end; child = nexts[child]!) {
    evaluation.countSteps(1)
    if (starts[child] !== removed && isName(evaluation, names[child]!)) return child
  }
  return none
}

function elementOf(evaluation: Evaluation, value: number, index: number): number {
  if (!isArray(evaluation, value)) return none
  const { nexts } = evaluation.tree
  const end = nexts[value]!
  let left = index < 0 ? countChildren(evaluation, value) + index : index
  for (let child = value + 1; child < end && left >= 0; child = nexts[child]!) {
    evaluation.countSteps(1)
    if (left-- === 0) return child
  }
  return none
}

const eachChild: NodeSelection = (evaluation, value, visit) => {
  const { starts, nexts } = evaluation.tree
  const end = nexts[value]!
  for (let child = value + 1; child < end; child = nexts[child]!) {
    evaluation.countSteps(1)
    if (starts[child] !== removed && visit(child)) return true
  }
  return false
}

function selectFiltered(test: Test): NodeSelection {
  return (evaluation, value, visit) =>
    eachChild(evaluation, value, (child) => {
      const outer = evaluation.value
      evaluation.value = child
      const isSelected = test(evaluation)
      evaluation.value = outer
      return isSelected && visit(child)
    })
}

function selectSlice(slice: Slice): NodeSelection {
  return (evaluation, value, visit) => {
    if (!isArray(evaluation, value) || slice.step === 0) return false
    const elements: number[] = []
    eachChild(evaluation, value, (child) => {
      elements.push(child)
      return false
    })
    const [first, last] = sliceBounds(slice, elements.length)
    for (let i = first; slice.step > 0 ? i < last : i > last; i += slice.step) {
      if (visit(elements[i]!)) return true
    }
    return false
  }
}

/** Returns the first index of a slice, and the index at which it ends (RFC 9535, 2.3.4.2.2). */
function sliceBounds({ start, end, step }: Slice, length: number): [first: number, last: number] {
  const from = (index: number) => (index < 0 ? length + index : index)
  if (step > 0) {
    return [clamp(from(start ?? 0), 0, length), clamp(from(end ?? length), 0, length)]
  }
  const last = end === null ? -1 : clamp(from(end), -1, length - 1)
  return [clamp(from(start ?? length - 1), -1, length - 1), last]
}

function clamp(index: number, min: number, max: number): number {
  return Math.min(Math.max(index, min), max)
}

function isArray({ text, tree }: Evaluation, value: number): boolean {
  return text.charCodeAt(tree.starts[value]!) === openBracket
}

function countChildren(evaluation: Evaluation, value: number): number {
  let count = 0
  eachChild(evaluation, value, () => {
    count++
    return false
  })
  return count
}
