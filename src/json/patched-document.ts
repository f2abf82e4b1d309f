import { isEqualJson } from './equal.ts'
import { JsonError, type JsonErrorCode } from './errors.ts'
import { isObjectText, objectText } from './object.ts'
import { type Charge, type PatchLimits, workBudget } from './patch-limits.ts'
import { arrayIndex, nothingAt } from './pointer.ts'
import { rawElements, rawMembers } from './scan.ts'

export interface Pointer {
  readonly text: string
  readonly steps: readonly string[]
}

/** A value: text that is not parsed yet, or a parsed container. */
type Node = string | Container
type Container = Map<string, Node> | Node[]

/** A value that a JSON patch is applied to; only containers along the paths are parsed. */
export class PatchedDocument {
  /** Holds the root value as its only child, so that the root has a parent like any other value. */
  private readonly holder: Node[]
  private readonly limits: PatchLimits
  private readonly charge: Charge

  constructor(target: string, limits: PatchLimits) {
    this.holder = [target]
    this.limits = limits
    this.charge = workBudget(limits)
  }

  text(): string {
    return this.textOf(this.holder[0]!)
  }

  add(pointer: Pointer, value: string): void {
    const { parent, step } = this.parentOf(pointer)
    if (!Array.isArray(parent) || parent === this.holder) {
      setChild(parent, step, value)
      return
    }
    const index = step === '-' ? parent.length : arrayIndex(step)
    if (index === null || index > parent.length) throw nothingAt(pointer.text, pointer.steps.length)
    this.charge(parent.length)
    parent.splice(index, 0, value)
  }

  remove(pointer: Pointer): void {
    const { parent, step } = this.parentOf(pointer)
    if (parent === this.holder)
      throw new JsonError('unprocessable', 'the whole value cannot be removed; DELETE does that')
    if (childOf(parent, step) === undefined) throw nothingAt(pointer.text, pointer.steps.length)
    if (!Array.isArray(parent)) {
      parent.delete(step)
      return
    }
    this.charge(parent.length)
    parent.splice(Number(step), 1)
  }

  replace(pointer: Pointer, value: string): void {
    const { parent, step } = this.parentOf(pointer)
    if (childOf(parent, step) === undefined) throw nothingAt(pointer.text, pointer.steps.length)
    setChild(parent, step, value)
  }

  move(from: Pointer, to: Pointer): void {
    const value = this.textAt(from)
    if (from.text === to.text) return
    this.remove(from)
    this.add(to, value)
  }

  copy(from: Pointer, to: Pointer): void {
    this.add(to, this.textAt(from))
  }

  /** Throws `conflict` unless the value at the pointer equals this one. */
  test(pointer: Pointer, value: string): void {
    const { maxDepth } = this.limits
    const isSame = isEqualJson(this.textAt(pointer, 'conflict'), value, (depth, chars) => {
      this.charge(chars)
      if (depth <= maxDepth) return
      const detail = `what is tested may be nested ${maxDepth} levels at most`
      throw new JsonError('unprocessable', detail, { limit: maxDepth })
    })
    if (!isSame) throw new JsonError('conflict', `what is at "${pointer.text}" is not what the test says`)
  }

  /**
   * Returns the container that a pointer leads to before its last step, and that step. Containers on the way are
   * parsed.
   */
  private parentOf(
    { text, steps }: Pointer,
    missing?: JsonErrorCode,
  ): { readonly parent: Container; readonly step: string } {
    let parent: Container = this.holder
    let step = '0'
    for (const [i, next] of steps.entries()) {
      const child: Node | undefined = childOf(parent, step)
      const opened: Container | null = child === undefined ? null : this.open(child)
      if (opened === null) throw nothingAt(text, child === undefined ? i : i + 1, missing)
      setChild(parent, step, opened)
      parent = opened
      step = next
    }
    return { parent, step }
  }

  private open(node: Node): Container | null {
    if (typeof node !== 'string') return node
    const isObject = isObjectText(node)
    if (!isObject && !/^\s*\[/.test(node)) return null
    this.charge(node.length)
    const opened = isObject ? rawMembers(node) : rawElements(node)
    this.charge(0, opened instanceof Map ? opened.size : opened.length)
    return opened
  }

  private textAt(pointer: Pointer, missing?: JsonErrorCode): string {
    const { parent, step } = this.parentOf(pointer, missing)
    const node = childOf(parent, step)
    if (node === undefined) throw nothingAt(pointer.text, pointer.steps.length, missing)
    return this.textOf(node)
  }

  /**
   * Returns a value as text. It recurses no deeper than a pointer has steps, because inserted values are always text.
   */
  private textOf(node: Node): string {
    if (typeof node === 'string') return node
    const textOf = (child: Node) => this.textOf(child)
    const parts = Array.isArray(node) ? node.map(textOf) : Array.from(node.values(), textOf)
    const chars = parts.reduce((sum, part) => sum + part.length + 1, 1)
    this.charge(chars, parts.length)
    if (chars > this.limits.maxValueChars)
      throw new JsonError('too_large', 'the value would become too large')
    if (Array.isArray(node)) return `[${parts.join(',')}]`
    return objectText(new Map(Array.from(node.keys(), (name, i) => [name, parts[i]!])))
  }
}

function childOf(parent: Container, step: string): Node | undefined {
  if (!Array.isArray(parent)) return parent.get(step)
  const index = arrayIndex(step)
  return index === null ? undefined : parent[index]
}

/** Sets a member of an object, or replaces an existing element of an array. */
function setChild(parent: Container, step: string, node: Node): void {
  if (Array.isArray(parent)) parent[Number(step)] = node
  else parent.set(step, node)
}
