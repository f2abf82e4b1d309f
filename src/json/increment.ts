import { JsonError } from './errors.ts'
import { locate, nothingAt, pointerSteps } from './pointer.ts'

const minus = 0x2d
const nine = 0x39

/**
 * Adds `by` to the number at an RFC 6901 pointer and returns the new text; no other character changes. A member that is
 * missing in its object counts as 0 and is appended to the object. A missing value (`text` undefined) becomes the
 * number, or an object with it. Missing parents and array elements are not created.
 *
 * Throws `invalid_parameter` for a malformed pointer or a `by` that is not finite; `unprocessable` if the pointer leads
 * nowhere or to something other than a number, or if one of the numbers is beyond ±(2^53 - 1), where an addition would
 * silently lose units.
 */
export function incrementAt(
  text: string | undefined,
  pointer: string,
  by: number,
): { text: string; value: number } {
  if (!Number.isFinite(by)) throw new JsonError('invalid_parameter', 'what is to be added must be a number')
  const steps = pointerSteps(pointer)
  if (text === undefined) return incrementNothing(pointer, steps, by)

  const slot = locate(text, steps)
  if (typeof slot === 'number') throw nothingAt(pointer, slot + 1)
  const { start, end, insert } = slot
  if (insert !== '') {
    const value = sum(pointer, 0, by)
    return { text: text.slice(0, start) + insert + value + text.slice(end), value }
  }
  const first = text.charCodeAt(start)
  // Of all characters that can begin a value, only digits and the minus sign are in this range.
  if (first < minus || first > nine) {
    throw new JsonError('unprocessable', `the value at "${pointer}" is not a number`)
  }
  const value = sum(pointer, Number(text.slice(start, end)), by)
  return { text: text.slice(0, start) + value + text.slice(end), value }
}

/** Returns the text of the number at a pointer; null if there is none. */
export function numberAt(text: string, pointer: string): string | null {
  const slot = locate(text, pointerSteps(pointer))
  if (typeof slot === 'number' || slot.insert !== '') return null
  const number = text.slice(slot.start, slot.end)
  return /^[-\d]/.test(number) ? number : null
}

function incrementNothing(pointer: string, steps: readonly string[], by: number) {
  const value = sum(pointer, 0, by)
  if (steps.length === 0) return { text: String(value), value }
  if (steps.length > 1) throw nothingAt(pointer, 1)
  return { text: `{${JSON.stringify(steps[0])}:${value}}`, value }
}

function sum(pointer: string, current: number, by: number): number {
  const value = current + by + 0 // + 0 turns -0 into 0, as its text will
  for (const number of [current, by, value]) {
    if (Math.abs(number) > Number.MAX_SAFE_INTEGER) {
      throw new JsonError('unprocessable', `"${pointer}" cannot be added to exactly beyond ±(2^53 - 1)`)
    }
  }
  return value
}
