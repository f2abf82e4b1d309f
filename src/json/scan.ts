/**
 * Scans JSON text without parsing and rewriting it, so that the text of a client is kept byte for byte: `1.0`, `1e400`,
 * numbers of twenty digits, spaces and repeated names survive.
 *
 * `JSON.parse` must have accepted every text given to these functions: they only find where values begin and end. With
 * any other text they terminate as well, but their results are meaningless. Names are compared as decoded, and of
 * several members with one name the last counts, both as in `JSON.parse`. Slices share the memory of the text that they
 * are taken from, and keep it alive.
 */

const quote = 0x22
const comma = 0x2c
export const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
export const openBrace = 0x7b
const closeBrace = 0x7d
const shortString = 24
const space = 0x20 // in JSON a character up to this one is white space, and no other is

/**
 * Returns the text of the value of one top-level member; undefined if the text is not an object or has no such member.
 */
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

/** Returns the texts of the values of all top-level members by name; empty if the text is not an object. */
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

/** Returns the texts of the elements of an array; empty if the text is not an array. */
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
 * Calls `visit` with each member of the object that begins at `open`, and returns where the object ends. `visit` must
 * return where the value at `start` ends; the offsets of the name include its quotes.
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

/** Does what `eachMember` does, for the elements of an array. */
export function eachElement(text: string, open: number, visit: (start: number) => number): number {
  let at = skipSpace(text, open + 1)
  while (at < text.length && text.charCodeAt(at) !== closeBracket) {
    at = skipSpace(text, visit(at))
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return at + 1
}

/** Returns whether the name between these offsets, quotes included, equals `name`, however it is escaped. */
export function isName(text: string, start: number, end: number, name: string): boolean {
  const length = end - start - 2
  // An escape is longer than its character, so only a longer text can have escapes for this name.
  if (length < name.length) return false
  if (length === name.length) return text.startsWith(name, start + 1) && !name.includes('\\')
  for (let at = start + 1; at < end - 1; at++)
    if (text.charCodeAt(at) === backslash) return decodedString(text, start, end) === name
  return false
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

/**
 * Returns where a string ends. Jumping from quote to quote costs a third of reading each character, but for short strings,
 * where each jump costs as much as 20 characters.
 */
export function stringEnd(text: string, start: number): number {
  const near = Math.min(start + shortString, text.length)
  for (let at = start + 1; at < near; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) return at + 1
    if (unit === backslash) break
  }
  let end = text.indexOf('"', start + 1)
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end + 1
}

function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return ((at - first) & 1) === 1
}

/** Returns where the value at `start` ends. */
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
