import { isUtf8 } from 'node:buffer'
import { KvistError } from '../../core/errors.ts'
import { maxLineBytes } from '../../core/limits.ts'
import type { JsonFields } from './fields.ts'

/** The lines of an NDJSON body, as they arrive, and what they have in common. */

export interface NumberedLine {
  /** From 1. */
  readonly line: number
  readonly text: string
}

const lineFeed = 0x0a
const byteOrderMark = Buffer.from('\ufeff')

/**
 * Yields the non-blank lines of a body as they arrive. Yields many at once, because a promise costs more than a line.
 */
export async function* linesOf(
  parts: AsyncIterable<Uint8Array>,
  fail: (line: number, error: KvistError) => void,
  waitForMemory: (bytes: number) => Promise<void>,
): AsyncGenerator<Iterable<NumberedLine>> {
  const number = { last: 0 }
  for await (const block of blocksOf(parts, waitForMemory)) yield linesIn(block, number, fail)
}

/** Yields a body in blocks of whole lines, without a byte order mark at its start. */
export async function* blocksOf(
  parts: AsyncIterable<Uint8Array>,
  waitForMemory: (bytes: number) => Promise<void>,
): AsyncGenerator<Buffer> {
  let isFirst = true
  let carried: Buffer[] = []
  let carriedBytes = 0

  function blockOf(bytes: readonly Buffer[]): Buffer {
    const block = bytes.length === 1 ? bytes[0]! : Buffer.concat(bytes)
    const hasMark = isFirst && block.indexOf(byteOrderMark) === 0
    isFirst = false
    return hasMark ? block.subarray(byteOrderMark.length) : block
  }

  for await (const part of parts) {
    // A line is in memory twice, as bytes and as text.
    await waitForMemory(2 * (Math.min(carriedBytes, maxLineBytes) + part.length))
    const chunk = Buffer.from(part.buffer, part.byteOffset, part.length)
    const last = chunk.lastIndexOf(lineFeed)
    if (last === -1) {
      // A line over the limit is discarded as it arrives; only its beginning is kept.
      if (carriedBytes <= maxLineBytes) carried.push(chunk)
      carriedBytes += chunk.length
      continue
    }
    // Only the line that two parts share is copied.
    const first = carriedBytes === 0 ? -1 : chunk.indexOf(lineFeed)
    if (first >= 0) yield blockOf([...carried, chunk.subarray(0, first)])
    if (first < last) yield blockOf([chunk.subarray(first + 1, last)])
    carried = [chunk.subarray(last + 1)]
    carriedBytes = carried[0]!.length
  }
  if (carriedBytes > 0) yield blockOf(carried)
}

/** Yields the non-blank lines of a block, and counts all of them in `number`. */
export function* linesIn(
  block: Buffer,
  number: { last: number },
  fail: (line: number, error: KvistError) => void,
): Generator<NumberedLine> {
  // All lines of a block are decoded at once, unless one of them is not UTF-8.
  const texts = isUtf8(block) ? block.toString().split('\n') : null
  if (texts !== null) {
    for (const text of texts) {
      const line = ++number.last
      if (isTooLong(text)) fail(line, lineTooLong())
      else if (!isBlank(text)) yield { line, text }
    }
    return
  }
  for (let from = 0; from <= block.length; ) {
    const found = block.indexOf(lineFeed, from)
    const end = found === -1 ? block.length : found
    const bytes = block.subarray(from, end)
    const line = ++number.last
    if (bytes.length > maxLineBytes) fail(line, lineTooLong())
    else if (!isUtf8(bytes)) fail(line, new KvistError('invalid_json', 'the line is not UTF-8'))
    else if (!isBlank(bytes.toString())) yield { line, text: bytes.toString() }
    from = end + 1
  }
}

/** The first test decides most lines, which begin with a brace. */
export function isBlank(text: string): boolean {
  return !(text.charCodeAt(0) > 32) && /^[ \t\r]*$/.test(text)
}

/** The first test avoids measuring lines that are short enough. */
export function isTooLong(text: string): boolean {
  return text.length * 3 > maxLineBytes && Buffer.byteLength(text) > maxLineBytes
}

export function lineTooLong(): KvistError {
  return new KvistError('too_large', `the line has more than ${maxLineBytes} bytes`)
}

/** Parses a line as a JSON object. */
export function parseObject(text: string): JsonFields {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch {
    throw new KvistError('invalid_json', 'the line is not JSON')
  }
  if (typeof line === 'object' && line !== null && !Array.isArray(line)) return line as JsonFields
  throw new KvistError('invalid_json', 'the line is not a JSON object')
}
