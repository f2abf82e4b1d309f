import { maxKeyBytes, maxValueBytes } from '../../core/limits.ts'
import { jsonContentType } from '../../core/member.ts'
import { type PlainText, skipSpaces, validEnd } from '../../json/validate.ts'

/**
 * Scans the lines of an import that most imports consist of: a key and a JSON value, and the metadata that an export adds.
 * No object is made of them. A line of any other form, and every bad one, is left to `parseLine` (member-lines.ts).
 */
export interface ScannedLine {
  key: string
  value: string
  /** See `AskedExpiry`. */
  expiresAtMs: 'never' | null
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBrace = 0x7b
const closeBrace = 0x7d

/** A character has at most this many bytes for each UTF-16 unit. */
const unitBytes = 3
const longestKey = Math.floor(maxKeyBytes / unitBytes)
const longestLine = Math.floor(maxValueBytes / unitBytes)

interface Field {
  /** With its quotes. */
  readonly name: string
  /** Only this value is taken; missing for a value that is ignored. */
  readonly text?: string
}

const keyField: Field = { name: '"key"' }
const valueField: Field = { name: '"value"' }
const expiryField: Field = { name: '"expires_at"', text: 'null' }
const fields: readonly Field[] = [
  keyField,
  valueField,
  { name: '"revision"' },
  { name: '"created_at"' },
  { name: '"updated_at"' },
  expiryField,
  { name: '"content_type"', text: `"${jsonContentType}"` },
  { name: '"origin"' },
]

/** Scans the line from `start` to `end` into `line`; returns false, and leaves anything in that, for a line to be parsed. */
export function scanLine(plain: PlainText, start: number, end: number, line: ScannedLine): boolean {
  const { text } = plain
  if (end - start > longestLine) return false
  let at = skipSpaces(text, start)
  if (text.charCodeAt(at) !== openBrace) return false
  line.key = ''
  line.value = ''
  line.expiresAtMs = null
  do {
    at = skipSpaces(text, at + 1)
    const field = fieldAt(text, at)
    if (field === undefined) return false
    const from = valueStart(plain, at + field.name.length)
    at = validEnd(plain, from)
    if (at === -1 || !isTaken(plain, field, from, at, line)) return false
    at = skipSpaces(text, at)
  } while (text.charCodeAt(at) === comma)
  if (line.key === '' || line.value === '') return false
  // The end is compared, because a string without an end goes on in the next line.
  return text.charCodeAt(at) === closeBrace && skipSpaces(text, at + 1) === end
}

function fieldAt(text: string, at: number): Field | undefined {
  for (const field of fields) if (text.startsWith(field.name, at)) return field
  return undefined
}

/** Returns where the value behind a name begins; the end of the text where there is none. */
function valueStart({ text }: PlainText, nameEnd: number): number {
  const at = skipSpaces(text, nameEnd)
  return text.charCodeAt(at) === colon ? skipSpaces(text, at + 1) : text.length
}

function isTaken(plain: PlainText, field: Field, from: number, to: number, line: ScannedLine): boolean {
  const { text, hasEscapes } = plain
  if (field === valueField) line.value = text.slice(from, to)
  else if (field === keyField) {
    const units = to - from - 2
    if (text.charCodeAt(from) !== quote || units < 1 || units > longestKey) return false
    line.key = text.slice(from + 1, to - 1)
    if (hasEscapes && line.key.includes('\\')) return false
  } else if (field.text !== undefined) {
    if (to - from !== field.text.length || !text.startsWith(field.text, from)) return false
    if (field === expiryField) line.expiresAtMs = 'never'
  }
  return true
}
