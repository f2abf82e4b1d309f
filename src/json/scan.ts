/**
 * Work on JSON text without writing it anew, so that what a client sent is kept byte for byte: `1.0`, `1e400`,
 * numbers of twenty digits, spaces and repeated names survive.
 *
 * Every text given to these functions must be one that `JSON.parse` has accepted: they only look for where things
 * begin and end. With any other text they end as well, but what they return or throw means nothing. Names are compared
 * as decoded, and of several members with one name the last counts, both as in `JSON.parse`. Texts that are cut out
 * share the memory of the text they come from, and keep it alive.
 */

const quote = 0x22
const comma = 0x2c
export const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
export const openBrace = 0x7b
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
 * Calls `visit` with each member of the object that opens at `open`, and returns where the object ends. `visit` returns where
 * the value that starts at `start` ends; the name's offsets are those of its quotes.
 */
export function eachMember(
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
export function eachElement(text: string, open: number, visit: (start: number) => number): number {
  let at = skipSpace(text, open + 1)
  while (at < text.length && text.charCodeAt(at) !== closeBracket) {
    at = skipSpace(text, visit(at))
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return at + 1
}

/** Whether the name between these offsets, quotes included, is this one, however it is escaped. */
export function isName(text: string, start: number, end: number, name: string): boolean {
  const length = end - start - 2
  // An escape is longer than its character: only a longer text can spell the name with escapes.
  if (length < name.length) return false
  if (length === name.length) return text.startsWith(name, start + 1) && !name.includes('\\')
  return decodedString(text, start, end) === name
}

function decodedString(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

export function skipSpace(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) <= space) at++
  return at
}

/** Jumping from quote to quote costs a third of reading each character. */
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

/** Where the value that starts at `start` ends. */
export function valueEnd(text: string, start: number): number {
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
