import { JsonError } from './errors.ts'
import { isObjectText } from './object.ts'
import type { PatchLimits } from './patch-limits.ts'
import { PatchedDocument, type Pointer } from './patched-document.ts'
import { pointerSteps } from './pointer.ts'
import { rawElements, rawMember } from './scan.ts'

/**
 * Applies JSON patches (RFC 6902) to text. The value is parsed only along the paths that the operations name; the rest
 * stays text, so that numbers of twenty digits, `1.0` and escapes are kept, and names such as `__proto__` or `toString`
 * are ordinary names. docs/design/patch.md says why this is not left to a library.
 */

const names = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const
type Name = (typeof names)[number]

/** An operation, checked as far as is possible without the value that it applies to. */
export interface PatchOperation {
  readonly op: Name
  readonly path: Pointer
  /** The source of a move or copy; empty for other operations. */
  readonly from: Pointer
  /** The JSON text of an add, replace or test; empty for other operations. */
  readonly value: string
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
 * Parses a JSON patch document, text that `JSON.parse` must have accepted. Members that the RFC does not define are
 * ignored, as it requires. Throws `invalid_request` or `invalid_parameter` with the index of the bad operation, and
 * `too_large` for too many.
 */
export function parseJsonPatch(text: string, { maxOperations }: PatchLimits): PatchOperation[] {
  const given: unknown = JSON.parse(text)
  if (!Array.isArray(given)) throw new JsonError('invalid_request', 'a JSON patch is an array of operations')
  if (given.length > maxOperations) {
    throw new JsonError('too_large', `a JSON patch has at most ${maxOperations} operations`, {
      limit: maxOperations,
    })
  }
  return rawElements(text).map((raw, i) => ofOperation(i, () => parseOperation(given[i], raw)))
}

function parseOperation(given: unknown, raw: string): PatchOperation {
  if (!isObjectText(raw)) throw new JsonError('invalid_request', 'it is not an object')
  const { op: name, path, from } = given as Readonly<Record<string, unknown>>
  const op = names.find((one) => one === name)
  if (op === undefined) {
    throw new JsonError('invalid_request', `its "op" is not one of ${names.join(', ')}`)
  }
  const value = needs[op] === 'value' ? rawMember(raw, 'value') : ''
  if (value === undefined) throw new JsonError('invalid_request', 'it has no "value"')
  const operation = {
    op,
    path: parsePointer('path', path),
    from: parsePointer('from', needs[op] === 'from' ? from : ''),
    value,
  }
  if (op === 'move' && isWithin(operation.path, operation.from)) {
    throw new JsonError('invalid_request', 'nothing can be moved into itself')
  }
  return operation
}

function parsePointer(name: string, given: unknown): Pointer {
  if (typeof given === 'string') return { text: given, steps: pointerSteps(given) }
  throw new JsonError('invalid_request', `its "${name}" is not a JSON pointer`)
}

function isWithin(inner: Pointer, outer: Pointer): boolean {
  return inner.steps.length > outer.steps.length && outer.steps.every((step, i) => step === inner.steps[i])
}

/** Runs `work` and returns its result; a JsonError is thrown again with the index of the operation. */
function ofOperation<Result>(index: number, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    const extra = { ...error.extra, operation: index }
    throw new JsonError(error.code, `operation ${index}: ${error.message}`, extra)
  }
}

/**
 * Applies all operations to a value, or none, and returns the new text. Throws, with the index of the failed operation,
 * `conflict` for a failed test and `unprocessable` for a path that leads nowhere or for too much work; `too_large` for
 * the result.
 */
export function applyJsonPatch(
  target: string,
  operations: readonly PatchOperation[],
  limits: PatchLimits,
): string {
  const document = new PatchedDocument(target, limits)
  for (const [i, { op, path, from, value }] of operations.entries()) {
    ofOperation(i, () => {
      if (op === 'move' || op === 'copy') document[op](from, path)
      else document[op](path, value)
    })
  }
  return document.text()
}
