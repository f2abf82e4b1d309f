import { skipSpace, valueEnd } from '../json/scan.ts'
import { compareStrings, kindAt, kinds, stringValue } from './compare.ts'
import { compareNumbers } from './decimal.ts'
import type { Evaluation } from './evaluation.ts'
import type { CountSteps } from './regexp.ts'
import { removed, ValueTree } from './value-tree.ts'

/**
 * Returns the order of two values as RFC 9535 compares them: NaN where neither is less and they are not equal. Takes JSON
 * texts; undefined is nothing, which equals nothing alone.
 */
export function orderOfValues(evaluation: Evaluation, a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : Number.NaN
  const [one, other] = [skipSpace(a, 0), skipSpace(b, 0)]
  const kind = kindAt(a, one)
  if (kind !== kindAt(b, other)) return Number.NaN
  evaluation.countReading(a.length + b.length)
  if (kind === kinds.number) return compareNumbers(a.trim(), b.trim())
  if (kind === kinds.string) return compareStrings(stringIn(a, one), stringIn(b, other))
  if (kind < kinds.number || a === b) return 0
  return isEqualTree(evaluation, a, b) ? 0 : Number.NaN
}

function stringIn(text: string, start: number): string {
  return stringValue(text, start, valueEnd(text, start))
}

/** Returns whether two arrays or two objects are equal, at any depth. */
function isEqualTree({ countSteps }: Evaluation, a: string, b: string): boolean {
  return new TreeComparison(treeOf(a, countSteps), treeOf(b, countSteps), countSteps).isEqual()
}

interface TextTree {
  readonly text: string
  readonly tree: ValueTree
}

function treeOf(text: string, countSteps: CountSteps): TextTree {
  const tree = new ValueTree()
  tree.build(text, skipSpace(text, 0), countSteps)
  return { text, tree }
}

/** Compares two trees without recursion, which would limit their depth. */
class TreeComparison {
  private readonly a: TextTree
  private readonly b: TextTree
  private readonly countSteps: CountSteps
  /** Values that are to be compared: one of `a`, one of `b`, and so on. */
  private readonly pairs: number[] = [0, 0]

  constructor(a: TextTree, b: TextTree, countSteps: CountSteps) {
    this.a = a
    this.b = b
    this.countSteps = countSteps
  }

  isEqual(): boolean {
    while (this.pairs.length > 0) {
      this.countSteps(1)
      const other = this.pairs.pop()!
      if (!this.isEqualPair(this.pairs.pop()!, other)) return false
    }
    return true
  }

  /** Compares two values, but for what is in them, which is to be compared later. */
  private isEqualPair(one: number, other: number): boolean {
    const [a, b] = [this.a.text, this.b.text]
    const [aStart, bStart] = [this.a.tree.starts[one]!, this.b.tree.starts[other]!]
    const kind = kindAt(a, aStart)
    if (kind !== kindAt(b, bStart)) return false
    if (kind === kinds.array) return this.addElements(one, other)
    if (kind === kinds.object) return this.addMembers(one, other)
    if (kind === kinds.string) return stringIn(a, aStart) === stringIn(b, bStart)
    if (kind !== kinds.number) return true
    return compareNumbers(a.slice(aStart, valueEnd(a, aStart)), b.slice(bStart, valueEnd(b, bStart))) === 0
  }

  /** Adds the elements of two arrays; false if they differ in number. */
  private addElements(one: number, other: number): boolean {
    const [ofOne, ofOther] = [this.a.tree.nexts, this.b.tree.nexts]
    const [oneEnd, otherEnd] = [ofOne[one]!, ofOther[other]!]
    let child = one + 1
    let twin = other + 1
    while (child < oneEnd && twin < otherEnd) {
      this.pairs.push(child, twin)
      child = ofOne[child]!
      twin = ofOther[twin]!
    }
    return child === oneEnd && twin === otherEnd
  }

  /** Adds the members of two objects; false if their names differ. */
  private addMembers(one: number, other: number): boolean {
    const members = membersOf(this.a, one)
    const others = membersOf(this.b, other)
    if (members.size !== others.size) return false
    for (const [name, child] of members) {
      const twin = others.get(name)
      if (twin === undefined) return false
      this.pairs.push(child, twin)
    }
    return true
  }
}

function membersOf({ text, tree }: TextTree, object: number): Map<string, number> {
  const members = new Map<string, number>()
  const end = tree.nexts[object]!
  for (let child = object + 1; child < end; child = tree.nexts[child]!) {
    if (tree.starts[child] !== removed) members.set(stringIn(text, tree.names[child]!), child)
  }
  return members
}
