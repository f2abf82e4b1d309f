import { type ErrorCode, failingAt, KvistError } from './errors.ts'
import { pointerSteps, rawElements, rawMember, rawMembers } from './json.ts'
import { isEqualJson } from './json-equal.ts'
import { maxPatchDepth, maxPatchOperations, maxValueBytes } from './limits.ts'
import { isObjectText, objectText } from './merge.ts'
import { boundedWork } from './patch-work.ts'

/**
 * JSON patch (RFC 6902) on text. The value is looked into only along the paths that operations name; what lies beside
 * them stays the text that it was, so that numbers of twenty digits, `1.0` and escapes are kept, and names such as
 * `__proto__` or `toString` are names and nothing else. docs/design/patch.md says why no library does it.
 */

const names = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const
type Name = (typeof names)[number]

/** An operation, checked for all that can be told without the value that it is for. */
export interface PatchOperation {
  readonly op: Name
  readonly path: Pointer
  /** Of move and copy; empty for others. */
  readonly from: Pointer
  /** JSON text, of add, replace and test; empty for others. */
  readonly value: string
}

interface Pointer {
  readonly text: string
  readonly steps: readonly string[]
}

const needs: Readonly<Record<Name, 'value' | 'from' | 'neither'>> = {
  add: 'value',
  remove: 'neither',
  replace: 'value',
  move: 'from',
  copy: 'from',
  test: 'value',
}

/**
 * The operations of a JSON patch document, which must be text that `JSON.parse` has accepted. Members that the RFC does
 * not know are passed over, as it says. Throws `invalid_request` or `invalid_parameter` with the index of the operation
 * at fault, `too_large` for too many.
 */
export function parseJsonPatch(text: string): PatchOperation[] {
  const given: unknown = JSON.parse(text)
  if (!Array.isArray(given)) throw new KvistError('invalid_request', 'a JSON patch is an array of operations')
  if (given.length > maxPatchOperations) {
    throw new KvistError('too_large', `a JSON patch has at most ${maxPatchOperations} operations`, {
      limit: maxPatchOperations,
    })
  }
  return rawElements(text).map((raw, i) => ofOperation(i, () => parseOperation(given[i], raw)))
}

function parseOperation(given: unknown, raw: string): PatchOperation {
  if (!isObjectText(raw)) throw new KvistError('invalid_request', 'it is not an object')
  const { op: name, path, from } = given as Readonly<Record<string, unknown>>
  const op = names.find((one) => one === name)
  if (op === undefined) {
    throw new KvistError('invalid_request', `its "op" is not one of ${names.join(', ')}`)
  }
  const value = needs[op] === 'value' ? rawMember(raw, 'value') : ''
  if (value === undefined) throw new KvistError('invalid_request', 'it has no "value"')
  const operation = {
    op,
    path: parsePointer('path', path),
    from: parsePointer('from', needs[op] === 'from' ? from : ''),
    value,
  }
  if (op === 'move' && isWithin(operation.path, operation.from)) {
    throw new KvistError('invalid_request', 'nothing can be moved into itself')
  }
  return operation
}

function parsePointer(name: string, given: unknown): Pointer {
  if (typeof given === 'string') return { text: given, steps: pointerSteps(given) }
  throw new KvistError('invalid_request', `its "${name}" is not a JSON pointer`)
}

function isWithin(inner: Pointer, outer: Pointer): boolean {
  return inner.steps.length > outer.steps.length && outer.steps.every((step, i) => step === inner.steps[i])
}

/** What fails in an operation names it. */
function ofOperation<Result>(index: number, work: () => Result): Result {
  return failingAt(`operation ${index}`, { operation: index }, work)
}

/**
 * All operations on a value, or none. Throws, with the index of the operation at fault, `conflict` for a test that
 * fails, and `unprocessable` for a path that leads nowhere, or more work than a patch may be; `too_large`.
 */
export function applyJsonPatch(target: string, operations: readonly PatchOperation[]): string {
  const document = openDocument(target)
  for (const [i, operation] of operations.entries()) ofOperation(i, () => document.apply(operation))
  return document.text()
}

/** A value: text that nothing has looked into yet, or what is in it. */
type Node = string | Container
type Container = Map<string, Node> | Node[]

function openDocument(target: string) {
  // In a container of its own, so that the whole value lies in a place like any other.
  const holder: Node[] = [target]
  const spend = boundedWork()

  /** The container of a place, and the step that leads from there to it. All on the way is opened. */
  function parentOf({ text, steps }: Pointer, missing?: ErrorCode): { parent: Container; step: string } {
    let parent: Container = holder
    let step = '0'
    for (const [i, next] of steps.entries()) {
      const child: Node | undefined = childOf(parent, step)
      const opened: Container | null = child === undefined ? null : open(child)
      if (opened === null) throw nothingAt(text, child === undefined ? i : i + 1, missing)
      setChild(parent, step, opened)
      parent = opened
      step = next
    }
    return { parent, step }
  }

  function open(node: Node): Container | null {
    if (typeof node !== 'string') return node
    const isObject = isObjectText(node)
    if (!isObject && !/^\s*\[/.test(node)) return null
    spend(node.length)
    const opened = isObject ? rawMembers(node) : rawElements(node)
    spend(0, opened instanceof Map ? opened.size : opened.length)
    return opened
  }

  function textAt(pointer: Pointer, missing?: ErrorCode): string {
    const { parent, step } = parentOf(pointer, missing)
    const node = childOf(parent, step)
    if (node === undefined) throw nothingAt(pointer.text, pointer.steps.length, missing)
    return textOf(node)
  }

  /** Calls itself no deeper than a pointer has steps: what is put in anywhere is text, also when it was open before. */
  function textOf(node: Node): string {
    if (typeof node === 'string') return node
    const isArray = Array.isArray(node)
    const parts = isArray ? node.map(textOf) : Array.from(node.values(), textOf)
    const chars = parts.reduce((sum, part) => sum + part.length + 1, 1)
    spend(chars, parts.length)
    if (chars > maxValueBytes) throw new KvistError('too_large', 'the value would become too large')
    if (isArray) return `[${parts.join(',')}]`
    return objectText(new Map(Array.from(node.keys(), (name, i) => [name, parts[i]!])))
  }

  function add(pointer: Pointer, value: string): void {
    const { parent, step } = parentOf(pointer)
    if (!Array.isArray(parent) || parent === holder) {
      setChild(parent, step, value)
      return
    }
    const index = step === '-' ? parent.length : indexOf(step)
    if (index === null || index > parent.length) throw nothingAt(pointer.text, pointer.steps.length)
    spend(parent.length)
    parent.splice(index, 0, value)
  }

  function remove(pointer: Pointer): void {
    const { parent, step } = parentOf(pointer)
    if (parent === holder)
      throw new KvistError('unprocessable', 'the whole value cannot be removed; DELETE does that')
    if (childOf(parent, step) === undefined) throw nothingAt(pointer.text, pointer.steps.length)
    if (!Array.isArray(parent)) {
      parent.delete(step)
      return
    }
    spend(parent.length)
    parent.splice(Number(step), 1)
  }

  function requireEqual(pointer: Pointer, value: string): void {
    const isSame = isEqualJson(textAt(pointer, 'conflict'), value, (depth, chars) => {
      spend(chars)
      if (depth <= maxPatchDepth) return
      const detail = `what is tested may be nested ${maxPatchDepth} levels at most`
      throw new KvistError('unprocessable', detail, { limit: maxPatchDepth })
    })
    if (!isSame) throw new KvistError('conflict', `what is at "${pointer.text}" is not what the test says`)
  }

  const appliers: Readonly<Record<Name, (operation: PatchOperation) => void>> = {
    add: ({ path, value }) => add(path, value),
    remove: ({ path }) => remove(path),
    replace({ path, value }) {
      const { parent, step } = parentOf(path)
      if (childOf(parent, step) === undefined) throw nothingAt(path.text, path.steps.length)
      setChild(parent, step, value)
    },
    move({ path, from }) {
      const value = textAt(from)
      if (from.text === path.text) return
      remove(from)
      add(path, value)
    },
    copy: ({ path, from }) => add(path, textAt(from)),
    test: ({ path, value }) => requireEqual(path, value),
  }

  return {
    apply: (operation: PatchOperation) => appliers[operation.op](operation),
    text: () => textOf(holder[0]!),
  }
}

function childOf(parent: Container, step: string): Node | undefined {
  if (!Array.isArray(parent)) return parent.get(step)
  const index = indexOf(step)
  return index === null ? undefined : parent[index]
}

/** In an array, of an element that is there. */
function setChild(parent: Container, step: string, node: Node): void {
  if (Array.isArray(parent)) parent[Number(step)] = node
  else parent.set(step, node)
}

/** RFC 6901, 4: digits without zeros before them. */
function indexOf(step: string): number | null {
  return /^(?:0|[1-9]\d*)$/.test(step) ? Number(step) : null
}

/** The first `steps` steps of a pointer lead to nothing. */
function nothingAt(pointer: string, steps: number, code: ErrorCode = 'unprocessable'): KvistError {
  const place = pointer
    .split('/')
    .slice(0, steps + 1)
    .join('/')
  return new KvistError(code, `there is nothing at "${place}"`)
}
