import { KvistError } from './errors.ts'

/**
 * Work on JSON text without writing it anew, so that what a client sent is kept byte for byte: `1.0`, `1e400`,
 * numbers of twenty digits, spaces and repeated names survive.
 *
 * Every text given to these functions must be one that `JSON.parse` has accepted: they only look for where things
 * begin and end. With any other text they end as well, but what they answer or throw means nothing. Names are compared
 * as decoded, and of several members with one name the last counts, both as in `JSON.parse`. Texts that are cut out
 * share the memory of the text they come from, and keep it alive.
 */

/** A pointer is walked by recursion and its text repeated in errors, so its length in characters has an end. */
const maxPointerLength = 1024

const quote = 0x22
const comma = 0x2c
const minus = 0x2d
const nine = 0x39
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
const space = 0x20 // in JSON all white space is this or below, and what is this or below is white space

/** The text of the value of one top-level member; undefined when the text is no object or has none of that name. */
export function rawMember(text: string, name: string): string | undefined {
  const open = skipSpace(text, 0)
  if (text.charCodeAt(open) !== openBrace) return undefined
  let foundStart = -1
  let foundEnd = -1
  eachMember(text, open, (nameStart, nameEnd, start) => {
    const end = valueEnd(text, start)
    if (isName(text, nameStart, nameEnd, name)) {
      foundStart = start
      foundEnd = end
    }
    return end
  })
  return foundStart === -1 ? undefined : text.slice(foundStart, foundEnd)
}

/** The texts of the values of all top-level members by name; none when the text is no object. */
export function rawMembers(text: string): Map<string, string> {
  const members = new Map<string, string>()
  const open = skipSpace(text, 0)
  if (text.charCodeAt(open) !== openBrace) return members
  eachMember(text, open, (nameStart, nameEnd, start) => {
    const end = valueEnd(text, start)
    members.set(decodedString(text, nameStart, nameEnd), text.slice(start, end))
    return end
  })
  return members
}

/** The texts of the elements of an array; none when the text is no array. */
export function rawElements(text: string): string[] {
  const elements: string[] = []
  const open = skipSpace(text, 0)
  if (text.charCodeAt(open) !== openBracket) return elements
  eachElement(text, open, (start) => {
    const end = valueEnd(text, start)
    elements.push(text.slice(start, end))
    return end
  })
  return elements
}

/**
 * Adds `by` to the number that an RFC 6901 pointer names; no other character of the text changes. A member that is
 * missing in its object counts as 0 and comes last in it; so does a missing value (`text` undefined), which becomes
 * the number, or an object with it. Missing parents are not made, nor are elements of arrays.
 *
 * Throws `invalid_parameter` for a malformed pointer or a `by` that is not finite; `unprocessable` when the pointer
 * leads nowhere or to something else than a number, and when one of the numbers is beyond ±(2^53 - 1), where adding
 * would silently lose units.
 */
export function incrementAt(
  text: string | undefined,
  pointer: string,
  by: number,
): { text: string; value: number } {
  if (!Number.isFinite(by)) throw new KvistError('invalid_parameter', 'what is to be added must be a number')
  const steps = pointerSteps(pointer)
  if (text === undefined) return incrementNothing(pointer, steps, by)

  const place = locate(text, steps)
  if (typeof place === 'number') throw leadsNowhere(pointer, place)
  const { start, end, insert } = place
  if (insert !== '') {
    const value = sum(pointer, 0, by)
    return { text: text.slice(0, start) + insert + value + text.slice(end), value }
  }
  const first = text.charCodeAt(start)
  // Of all that begins a value only digits and the minus sign lie in this range.
  if (first < minus || first > nine) {
    throw new KvistError('unprocessable', `the value at "${pointer}" is not a number`)
  }
  const value = sum(pointer, Number(text.slice(start, end)), by)
  return { text: text.slice(0, start) + value + text.slice(end), value }
}

/** The text of the number that a pointer names; null where there is none. */
export function numberAt(text: string, pointer: string): string | null {
  const place = locate(text, pointerSteps(pointer))
  if (typeof place === 'number' || place.insert !== '') return null
  const number = text.slice(place.start, place.end)
  return /^[-\d]/.test(number) ? number : null
}

function incrementNothing(pointer: string, steps: readonly string[], by: number) {
  const value = sum(pointer, 0, by)
  if (steps.length === 0) return { text: String(value), value }
  if (steps.length > 1) throw leadsNowhere(pointer, 0)
  return { text: `{${JSON.stringify(steps[0])}:${value}}`, value }
}

function sum(pointer: string, current: number, by: number): number {
  const value = current + by + 0 // + 0 turns -0 into 0, as its text will
  for (const number of [current, by, value]) {
    if (Math.abs(number) > Number.MAX_SAFE_INTEGER) {
      throw new KvistError('unprocessable', `"${pointer}" cannot be added to exactly beyond ±(2^53 - 1)`)
    }
  }
  return value
}

/** The names and indexes that an RFC 6901 pointer goes through. Throws `invalid_parameter` when it is none. */
export function pointerSteps(pointer: string): string[] {
  if (pointer.length > maxPointerLength) {
    throw new KvistError(
      'invalid_parameter',
      `a JSON pointer may have ${maxPointerLength} characters at most`,
      {
        limit: maxPointerLength,
      },
    )
  }
  if (pointer !== '' && !pointer.startsWith('/')) {
    throw new KvistError('invalid_parameter', `the JSON pointer "${pointer}" must be empty or begin with "/"`)
  }
  if (/~(?![01])/.test(pointer)) {
    throw new KvistError('invalid_parameter', `in the JSON pointer "${pointer}" a "~" must be written "~0"`)
  }
  const [, ...steps] = pointer.split('/')
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The first `depth + 1` steps of a pointer name nothing. */
function leadsNowhere(pointer: string, depth: number): KvistError {
  const missing = pointer
    .split('/')
    .slice(0, depth + 2)
    .join('/')
  return new KvistError('unprocessable', `there is nothing at "${missing}"`)
}

/** What is to be replaced. With `insert` it is nothing yet, and that text goes before the new value. */
interface Place {
  start: number
  end: number
  insert: string
}

/** Finds the place that a pointer names in one pass over the text; where there is none, how many steps led somewhere. */
function locate(text: string, steps: readonly string[]): Place | number {
  const nowhere: Place = { start: -1, end: -1, insert: '' }
  let place = nowhere
  let reached = 0

  /** Looks into the value at `start`, to which `depth` steps led, and answers where it ends. */
  function walk(start: number, depth: number): number {
    const step = steps[depth]
    const first = text.charCodeAt(start)
    if (step === undefined) {
      const end = valueEnd(text, start)
      place = { start, end, insert: '' }
      return end
    }
    // A repeated name leads here again, and then only what is found this time counts.
    place = nowhere
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
      place = { start: last, end: last, insert: `${separator}${JSON.stringify(step)}:` }
    }
    return end
  }

  function walkArray(open: number, depth: number, step: string): number {
    const wanted = /^(?:0|[1-9]\d*)$/.test(step) ? Number(step) : -1
    let index = 0
    return eachElement(text, open, (start) => {
      return index++ === wanted ? walk(start, depth + 1) : valueEnd(text, start)
    })
  }

  walk(skipSpace(text, 0), 0)
  return place === nowhere ? reached : place
}

/**
 * Shows the members of the object that opens at `open`. `visit` answers where the value that starts at `start` ends;
 * the name's places are those of its quotes. Answers where the object ends.
 */
function eachMember(
  text: string,
  open: number,
  visit: (nameStart: number, nameEnd: number, start: number) => number,
): number {
  let at = skipSpace(text, open + 1)
  while (text.charCodeAt(at) === quote) {
    const nameEnd = stringEnd(text, at)
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1)
    at = skipSpace(text, visit(at, nameEnd, start))
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return at + 1
}

/** As `eachMember`, for the elements of an array. */
function eachElement(text: string, open: number, visit: (start: number) => number): number {
  let at = skipSpace(text, open + 1)
  while (at < text.length && text.charCodeAt(at) !== closeBracket) {
    at = skipSpace(text, visit(at))
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return at + 1
}

function isName(text: string, start: number, end: number, name: string): boolean {
  const length = end - start - 2
  // An escape is longer than what it stands for: only a longer text can be the name in another spelling.
  if (length < name.length) return false
  if (length === name.length) return text.startsWith(name, start + 1) && !name.includes('\\')
  return decodedString(text, start, end) === name
}

function decodedString(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) <= space) at++
  return at
}

/** Jumping from quote to quote costs a third of looking at each character. */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end + 1
}

function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return ((at - first) & 1) === 1
}

function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start)
  if (first === quote) return stringEnd(text, start)
  if (first === openBrace || first === openBracket) return containerEnd(text, start)
  let at = start + 1
  while (at < text.length) {
    const unit = text.charCodeAt(at)
    if (unit === comma || unit === closeBrace || unit === closeBracket || unit <= space) break
    at++
  }
  return at
}

function containerEnd(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) at = stringEnd(text, at) - 1
    else if (unit === openBrace || unit === openBracket) depth++
    else if (unit === closeBrace || unit === closeBracket) {
      depth--
      if (depth === 0) return at + 1
    }
  }
  return text.length
}
