import { skipSpace, valueEnd } from '../json/scan.ts'
import { compareNumbers } from './decimal.ts'

/** The kinds of JSON values, in the order in which values of different kinds are sorted. */
export const kinds = {
  nothing: 0,
  null: 1,
  false: 2,
  true: 3,
  number: 4,
  string: 5,
  array: 6,
  object: 7,
} as const

const kindOfUnit = new Map([
  [0x6e, kinds.null],
  [0x66, kinds.false],
  [0x74, kinds.true],
  [0x22, kinds.string],
  [0x5b, kinds.array],
  [0x7b, kinds.object],
])

/** Returns the kind of the value at an offset; a negative offset is nothing. */
export function kindAt(text: string, start: number): number {
  if (start < 0) return kinds.nothing
  return kindOfUnit.get(text.charCodeAt(start)) ?? kinds.number
}

/** Returns what a string between these offsets stands for, its quotes included. */
export function stringValue(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1)
  return raw.includes('\\') ? String(JSON.parse(`"${raw}"`)) : raw
}

/**
 * THE order of all values, of sorting and of indexes (docs/find.md): nothing, null, false, true, numbers by their exact
 * value, strings by code points, arrays, objects. Arrays, and objects, are ordered by their text. Takes JSON texts;
 * undefined is nothing.
 */
export function compareJson(a: string | undefined, b: string | undefined): number {
  const one = a === undefined ? -1 : skipSpace(a, 0)
  const other = b === undefined ? -1 : skipSpace(b, 0)
  const kind = kindAt(a ?? '', one)
  const order = kind - kindAt(b ?? '', other)
  if (order !== 0 || a === undefined || b === undefined || kind < kinds.number) return order
  const oneEnd = valueEnd(a, one)
  const otherEnd = valueEnd(b, other)
  if (kind === kinds.string)
    return compareStrings(stringValue(a, one, oneEnd), stringValue(b, other, otherEnd))
  const [left, right] = [a.slice(one, oneEnd), b.slice(other, otherEnd)]
  return kind === kinds.number ? compareNumbers(left, right) : compareStrings(left, right)
}

/** Compares texts by code points; half of a surrogate pair is a code point of its own. */
export function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let at = 0
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++
  if (at > 0 && isHighSurrogate(a.charCodeAt(at - 1))) {
    const order = a.codePointAt(at - 1)! - b.codePointAt(at - 1)!
    if (order !== 0) return order
  }
  return (a.codePointAt(at) ?? -1) - (b.codePointAt(at) ?? -1)
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
