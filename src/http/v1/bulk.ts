import { type ErrorCode, KvistError } from '../../core/errors.ts'
import { maxNamedFailures, smallBytes } from '../../core/limits.ts'
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
import { blocksOf } from './lines.ts'
import { type MemberLine, membersOf } from './member-lines.ts'

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
  // Refused before the body is read if nothing of the collection may be written.
  await db.putAll(collection, [])
  const failed: LineFailure[] = []
  let unnamed = 0
  let stored = 0
  let group: MemberLine[] = []
  let bytes = 0
  const inFlight: Promise<void>[] = []
  const number = { last: 0 }
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
    for await (const block of blocksOf(parts, waitForMemory)) {
      for (const line of membersOf(block, number, context.now(), fail)) {
        group.push(line)
        bytes += line.value.length
        groupedBytes += line.value.length
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
