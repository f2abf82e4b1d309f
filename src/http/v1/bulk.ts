import { isUtf8 } from 'node:buffer'
import type { NewContent } from '../../core/content.ts'
import { type ErrorCode, KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { maxLineBytes, maxNamedFailures, smallBytes } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import { refuseHeaders } from '../binding-headers.ts'
import { bodyShare } from '../body.ts'
import { bodyParts, codingOf } from '../content-coding.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { contentFields, type JsonFields, parseContent, refuseOthers } from './fields.ts'

/**
 * NDJSON import. Lines are stored in groups while the next ones are read, so memory does not grow with the body. A bad
 * line is reported in the summary and does not stop the import; only a failing store does, and the response then
 * reports the lines stored and failed so far (`stored`, `failed`).
 */

const groupMembers = 1000
const groupBytes = 1024 * 1024
/** Groups that may be uncommitted while more is read. */
const groupsInFlight = 3

interface LineFailure {
  readonly line: number
  readonly code: ErrorCode
  readonly detail: string
}

type Line = NewContent & { readonly key: string; readonly line: number }

export async function importLines(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  // An import is idempotent by itself, because its lines name their keys; and its outcome spans many commits, so no
  // commit could record it.
  refuseHeaders(request, headerBits(['idempotency-key']))
  const coding = codingOf(request)
  const failed: LineFailure[] = []
  let unnamed = 0
  let stored = 0
  let group: Line[] = []
  let bytes = 0
  const inFlight: Promise<void>[] = []
  const share = bodyShare(context)
  /** Value bytes of the groups that are not stored yet. */
  let groupedBytes = 0

  /** Waits until there is memory for the groups and for `bodyBytes` of the body. */
  async function waitForMemory(bodyBytes: number): Promise<void> {
    const bytes = groupedBytes + bodyBytes
    const needed = bytes > smallBytes ? bytes : 0
    if (needed > share.bytes) await context.connection.grow(share, needed - share.bytes)
    else share.resize(needed)
  }

  async function send(): Promise<void> {
    if (group.length === 0) return
    const sent = group
    const sentBytes = bytes
    group = []
    bytes = 0
    if (inFlight.length >= groupsInFlight) await inFlight.shift()
    const done = db.putAll(collection, sent).then((rejected) => {
      stored += sent.length - rejected.length
      groupedBytes -= sentBytes
      for (const { index, error } of rejected) fail(sent[index]!.line, error)
    })
    done.catch(() => {}) // handled where it is awaited
    inFlight.push(done)
  }

  function fail(line: number, error: unknown): void {
    if (!(error instanceof KvistError)) throw error
    if (failed.length < maxNamedFailures) failed.push({ line, code: error.code, detail: error.message })
    else unnamed++
  }

  function summary() {
    // A process may reject a line after later lines have been parsed.
    failed.sort((a, b) => a.line - b.line)
    return { stored, failed, ...(unnamed === 0 ? {} : { failed_more: unnamed }) }
  }

  try {
    const parts = bodyParts(request.body, coding, () => context.connection.resetTimeout())
    for await (const lines of linesOf(parts, fail, waitForMemory)) {
      for (const { line, text } of lines) {
        try {
          const parsed = parseLine(line, text, context.now())
          group.push(parsed)
          bytes += parsed.value.length
          groupedBytes += parsed.value.length
        } catch (error) {
          fail(line, error)
        }
        if (group.length >= groupMembers || bytes >= groupBytes) await send()
      }
    }
    await send()
    for (const done of inFlight) await done
  } catch (error) {
    await Promise.allSettled(inFlight)
    if (!(error instanceof KvistError)) throw error
    throw new KvistError(error.code, error.message, { ...error.extra, ...summary() }, error.cause)
  }
  return jsonTextLine(JSON.stringify(summary()))
}

interface NumberedLine {
  /** From 1. */
  readonly line: number
  readonly text: string
}

const lineFeed = 0x0a
const byteOrderMark = Buffer.from('\ufeff')

/**
 * Yields the non-blank lines of a body as they arrive, without a byte order mark at its start. Yields many at once,
 * because a promise costs more than a line.
 */
async function* linesOf(
  parts: AsyncIterable<Uint8Array>,
  fail: (line: number, error: KvistError) => void,
  waitForMemory: (bytes: number) => Promise<void>,
): AsyncGenerator<Iterable<NumberedLine>> {
  let line = 0
  let carried: Buffer[] = []
  let carriedBytes = 0

  function* whole(given: Buffer): Generator<NumberedLine> {
    const block =
      line === 0 && given.indexOf(byteOrderMark) === 0 ? given.subarray(byteOrderMark.length) : given
    // All lines of a block are decoded at once, unless one of them is not UTF-8.
    const texts = isUtf8(block) ? block.toString().split('\n') : null
    if (texts !== null) {
      for (const text of texts) {
        line++
        if (isTooLong(text)) fail(line, lineTooLong())
        else if (!isBlank(text)) yield { line, text }
      }
      return
    }
    for (let from = 0; from <= block.length; ) {
      const found = block.indexOf(lineFeed, from)
      const end = found === -1 ? block.length : found
      const bytes = block.subarray(from, end)
      line++
      if (bytes.length > maxLineBytes) fail(line, lineTooLong())
      else if (!isUtf8(bytes)) fail(line, new KvistError('invalid_json', 'the line is not UTF-8'))
      else if (!isBlank(bytes.toString())) yield { line, text: bytes.toString() }
      from = end + 1
    }
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
    yield whole(Buffer.concat([...carried, chunk.subarray(0, last)]))
    carried = [chunk.subarray(last + 1)]
    carriedBytes = carried[0]!.length
  }
  if (carriedBytes > 0) yield whole(Buffer.concat(carried))
}

/** The first test decides most lines, which begin with a brace. */
function isBlank(text: string): boolean {
  return !(text.charCodeAt(0) > 32) && /^[ \t\r]*$/.test(text)
}

/** The first test avoids measuring lines that are short enough. */
function isTooLong(text: string): boolean {
  return text.length * 3 > maxLineBytes && Buffer.byteLength(text) > maxLineBytes
}

function lineTooLong(): KvistError {
  return new KvistError('too_large', `the line has more than ${maxLineBytes} bytes`)
}

/**
 * The fields of a line. Those that a list shows and an import cannot set are ignored, so that an export can be
 * imported.
 */
const lineFields: ReadonlySet<string> = new Set([
  'key',
  ...contentFields,
  'flags',
  'revision',
  'created_at',
  'updated_at',
  'origin',
])

function parseLine(number: number, text: string, nowMs: number): Line {
  const line = parseObject(text)
  if (typeof line.key !== 'string') throw new KvistError('invalid_key', 'the line has no "key" that is text')
  refuseOthers(line, lineFields, 'the line')
  const content = parseContent(line, text, 'the line', nowMs)
  return { ...content, line: number, key: parseKey(line.key), flags: parseFlags(line.flags) }
}

function parseObject(text: string): JsonFields {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch {
    throw new KvistError('invalid_json', 'the line is not JSON')
  }
  if (typeof line === 'object' && line !== null && !Array.isArray(line)) return line as JsonFields
  throw new KvistError('invalid_json', 'the line is not a JSON object')
}

function parseFlags(given: unknown): number {
  if (given === undefined) return 0
  if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given < 2 ** 32) return given
  throw new KvistError('invalid_request', '"flags" is not a number of 32 bits')
}
