import { JsonError, type JsonErrorCode } from './errors.ts'
import { eachElement, eachMember, isName, openBrace, openBracket, skipSpace, valueEnd } from './scan.ts'

/** Finds the values that JSON pointers (RFC 6901) name in JSON text. */

/** The longest pointer in characters. A pointer is followed by recursion, and errors repeat its text. */
const maxPointerLength = 1024

/** Returns the names and indexes of an RFC 6901 pointer. Throws `invalid_parameter` if it is malformed. */
export function pointerSteps(pointer: string): string[] {
  if (pointer.length > maxPointerLength) {
    throw new JsonError(
      'invalid_parameter',
      `a JSON pointer may have ${maxPointerLength} characters at most`,
      {
        limit: maxPointerLength,
      },
    )
  }
  if (pointer !== '' && !pointer.startsWith('/')) {
    throw new JsonError('invalid_parameter', `the JSON pointer "${pointer}" must be empty or begin with "/"`)
  }
  if (/~(?![01])/.test(pointer)) {
    throw new JsonError('invalid_parameter', `in the JSON pointer "${pointer}" a "~" must be written "~0"`)
  }
  const [, ...steps] = pointer.split('/')
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * Returns the index that a step names in an array (RFC 6901, 4): digits without leading zeros. Null for other steps.
 */
export function arrayIndex(step: string): number | null {
  return /^(?:0|[1-9]\d*)$/.test(step) ? Number(step) : null
}

/** Returns the error of a pointer whose first `steps` steps lead nowhere. */
export function nothingAt(pointer: string, steps: number, code: JsonErrorCode = 'unprocessable'): JsonError {
  const missing = pointer
    .split('/')
    .slice(0, steps + 1)
    .join('/')
  return new JsonError(code, `there is nothing at "${missing}"`)
}

/** The part of a text to replace. With `insert` the part is empty, and that text is inserted before the new value. */
export interface Slot {
  readonly start: number
  readonly end: number
  readonly insert: string
}

/** Finds the value at a pointer in one pass over the text. If there is none, returns how many steps led to a value. */
export function locate(text: string, steps: readonly string[]): Slot | number {
  const nowhere: Slot = { start: -1, end: -1, insert: '' }
  let slot = nowhere
  let reached = 0

  /** Follows the pointer into the value at `start`, which `depth` steps led to, and returns the end of that value. */
  function walk(start: number, depth: number): number {
    const step = steps[depth]
    const first = text.charCodeAt(start)
    if (step === undefined) {
      const end = valueEnd(text, start)
      slot = { start, end, insert: '' }
      return end
    }
    // A repeated name leads here again; only its last occurrence counts.
    slot = nowhere
    reached = depth
    if (first === openBrace) return walkObject(start, depth, step)
    if (first === openBracket) return walkArray(start, depth, step)
    return valueEnd(text, start)
  }

  function walkObject(open: number, depth: number, step: string): number {
    let found = false
    let last = open + 1
    const end = eachMember(text, open, (nameStart, nameEnd, start) => {
      const is = isName(text, nameStart, nameEnd, step)
      if (is) found = true
      last = is ? walk(start, depth + 1) : valueEnd(text, start)
      return last
    })
    if (!found && depth === steps.length - 1) {
      const separator = last === open + 1 ? '' : ','
      slot = { start: last, end: last, insert: `${separator}${JSON.stringify(step)}:` }
    }
    return end
  }

  function walkArray(open: number, depth: number, step: string): number {
    const searched = arrayIndex(step)
    let index = 0
    return eachElement(text, open, (start) => {
      return index++ === searched ? walk(start, depth + 1) : valueEnd(text, start)
    })
  }

  walk(skipSpace(text, 0), 0)
  return slot === nowhere ? reached : slot
}
