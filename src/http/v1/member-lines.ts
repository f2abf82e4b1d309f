import { isUtf8 } from 'node:buffer'
import type { NewContent } from '../../core/content.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { jsonContentType } from '../../core/member.ts'
import { isPlain, type PlainText } from '../../json/validate.ts'
import { contentFields, parseContent, refuseOthers } from './fields.ts'
import { type ScannedLine, scanLine } from './line-scan.ts'
import { isBlank, isTooLong, linesIn, lineTooLong, parseObject } from './lines.ts'

/** The members in the lines of an import. */

export type MemberLine = NewContent & { readonly key: string; readonly line: number }

type Fail = (line: number, error: unknown) => void

/** Returns the members of a block of whole lines, counts its lines in `number`, and reports the bad ones. */
export function membersOf(block: Buffer, number: { last: number }, nowMs: number, fail: Fail): MemberLine[] {
  const members: MemberLine[] = []

  function addParsed(line: number, text: string): void {
    try {
      members.push(parseLine(line, text, nowMs))
    } catch (error) {
      fail(line, error)
    }
  }

  const plain = plainTextOf(block)
  if (plain === null) for (const { line, text } of linesIn(block, number, fail)) addParsed(line, text)
  else addScanned(plain, number, members, fail, addParsed)
  return members
}

/** The text of a block, if scanning it finds the ends of its strings. */
function plainTextOf(block: Buffer): PlainText | null {
  if (!isPlain(block) || !isUtf8(block)) return null
  return { text: block.toString(), hasEscapes: block.includes(backslash) }
}

const backslash = 0x5c

function addScanned(
  plain: PlainText,
  number: { last: number },
  members: MemberLine[],
  fail: Fail,
  addParsed: (line: number, text: string) => void,
): void {
  const { text } = plain
  const scanned: ScannedLine = { key: '', value: '', expiresAtMs: null }
  for (let start = 0; start <= text.length; ) {
    const found = text.indexOf('\n', start)
    const end = found === -1 ? text.length : found
    const line = ++number.last
    if (scanLine(plain, start, end, scanned)) {
      const { key, value, expiresAtMs } = scanned
      members.push({ line, key, value, contentType: jsonContentType, flags: 0, expiresAtMs })
    } else {
      const own = text.slice(start, end)
      if (isTooLong(own)) fail(line, lineTooLong())
      else if (!isBlank(own)) addParsed(line, own)
    }
    start = end + 1
  }
}

/**
 * The fields of a line. Those that a list shows and an import cannot set are ignored, so that an export can be
 * imported.
 */
const lineFields: ReadonlySet<string> = new Set([
  'key',
  ...contentFields,
  'revision',
  'created_at',
  'updated_at',
  'origin',
])

function parseLine(number: number, text: string, nowMs: number): MemberLine {
  const line = parseObject(text)
  if (typeof line.key !== 'string') throw new KvistError('invalid_key', 'the line has no "key" that is text')
  refuseOthers(line, lineFields, 'the line')
  // Written out: spreading the content costs as much as checking the names of all fields.
  const { value, contentType, flags, expiresAtMs } = parseContent(line, text, 'the line', nowMs)
  return { line: number, key: parseKey(line.key), value, contentType, flags, expiresAtMs }
}
