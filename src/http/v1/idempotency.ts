import { createHash } from 'node:crypto'
import type { Outcome } from '../../core/content.ts'
import type { Database } from '../../core/database.ts'
import type { Check, MemberRef, Put } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { keyedMutex, type RunExclusive } from '../../core/keyed-mutex.ts'
import { keyAfter } from '../../core/keys.ts'
import { idempotencyMs, maxIdempotencyKeyBytes } from '../../core/limits.ts'
import { everything } from '../../core/list.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { Operation } from '../../core/operations.ts'
import type { Plan } from '../../core/plan.ts'
import { type RecordedOutcome, recordOutcomes, replayOutcomes } from '../../core/replay.ts'
import type { RequestContext } from '../context.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'

/**
 * `Idempotency-Key`: a request that is sent again under the same key is not done again, and has the response that it had.
 * What a command came to is recorded in the command's own commit, so after a crash either both are there or neither.
 * Requests that fail are not recorded: they did nothing, and are tried anew. See docs/design/idempotency.md.
 */
export interface Idempotency {
  readonly db: Database
  readonly exclusive: RunExclusive
}

export function idempotency(db: Database): Idempotency {
  return { db, exclusive: keyedMutex() }
}

/** What a request asks for, as data: it is done, or what it came to before is shown. */
export interface Work {
  readonly operations: readonly Operation[]
  readonly checks?: readonly Check[]
  /** What of the body, and of headers, makes it this request and no other. */
  readonly content: readonly (string | Uint8Array | null)[]
  /** What the response needs beside the outcomes: it is recorded with them. */
  readonly note?: string
  /** Throws the error for the client where nothing is to be done, and so nothing recorded; `respond` throws the same. */
  readonly require?: (plan: Plan) => void
  respond(outcomes: readonly Outcome[], note: string): HttpResponse
}

const recordsCollection = '_idempotency'

const keyBits = headerBits(['idempotency-key'])

/** Does the work, or with a key that was sent before, shows what it came to then. */
export async function perform(
  { db, exclusive }: Idempotency,
  request: HttpRequest,
  context: RequestContext,
  work: Work,
): Promise<HttpResponse> {
  const { operations, checks = [], require, note = '' } = work
  if ((request.present & keyBits) === 0) return work.respond(await db.batch(checks, operations), note)
  const recordKey = `${context.principal.name}/${parseIdempotencyKey(request)}`
  const fingerprint = fingerprintOf(request, work.content)
  // Of several that are sent at once one runs, and the others wait for what it comes to.
  return exclusive([recordKey], async () => {
    const record = await findRecord(db, recordKey)
    if (record !== null) return replay(record, fingerprint, work)
    const outcomes = await db.execute({
      operations,
      checks,
      alongside: {
        writes(plan, nowMs) {
          require?.(plan)
          const recorded: Recorded = { fingerprint, note, outcomes: recordOutcomes(plan, nowMs) }
          return [recordPut(recordKey, recorded, nowMs, operations[0] ?? checks[0])]
        },
      },
    })
    return work.respond(outcomes, note)
  })
}

interface Recorded {
  readonly fingerprint: string
  readonly note: string
  readonly outcomes: readonly RecordedOutcome[]
}

function recordPut(key: string, recorded: Recorded, nowMs: number, near: MemberRef | undefined): Put {
  return {
    op: 'put',
    collection: recordsCollection,
    key,
    value: JSON.stringify(recorded),
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: nowMs + idempotencyMs,
    ...(near === undefined ? {} : { near: { collection: near.collection, key: near.key } }),
  }
}

/** By a scan: a record lies with the members of its command, where a read by its key need not find it. */
async function findRecord(db: Database, key: string): Promise<Member | null> {
  const { members } = await db.page(recordsCollection, {
    ...everything,
    from: key,
    to: keyAfter(key),
    order: 'asc',
    limit: 1,
    cursor: null,
    keysOnly: false,
  })
  return members[0] ?? null
}

function replay(record: Member, fingerprint: string, { respond }: Work): HttpResponse {
  const recorded: Recorded = JSON.parse(String(record.value))
  if (recorded.fingerprint !== fingerprint) {
    throw new KvistError('unprocessable', 'the Idempotency-Key was sent with another request before')
  }
  return respond(replayOutcomes(recorded.outcomes, record), recorded.note)
}

const keyForm = /^(?:"([\x21\x23-\x5b\x5d-\x7e]+)"|([\x21\x23-\x5b\x5d-\x7e]+))$/

/** In quotes, as the draft of the header has it, or without, as most send it. */
function parseIdempotencyKey(request: HttpRequest): string {
  const [, quoted, plain] = keyForm.exec(request.header('idempotency-key') ?? '') ?? []
  const key = quoted ?? plain
  if (key !== undefined && key.length <= maxIdempotencyKeyBytes) return key
  throw new KvistError(
    'invalid_request',
    `Idempotency-Key is 1 to ${maxIdempotencyKeyBytes} characters of ASCII without spaces, such as a UUID`,
    { limit_bytes: maxIdempotencyKeyBytes },
  )
}

/** Headers that change what a request does. */
const meantHeaders = ['content-type', 'if-match', 'if-none-match', 'if-unmodified-since']

function fingerprintOf(request: HttpRequest, content: Work['content']): string {
  const hash = createHash('sha256')
  const { method, path, query } = request
  for (const part of [method, path, query, ...meantHeaders.map((name) => request.header(name)), ...content]) {
    // Lengths keep what one part ends with from being what the next begins with.
    hash.update(part === null ? 'null:' : `${Buffer.byteLength(part)}:`)
    if (part !== null) hash.update(part)
  }
  return hash.digest('base64url')
}
