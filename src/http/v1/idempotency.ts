import { createHash } from 'node:crypto'
import type { Outcome } from '../../core/content.ts'
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
import type { Store } from '../../core/store.ts'
import type { RequestContext } from '../context.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'

/**
 * `Idempotency-Key`: a request that is sent again with the same key is not executed again and gets the same response.
 * The outcome of a command is recorded in the command's own commit, so after a crash both are stored or neither.
 * Requests that fail are not recorded: they had no effect and are executed again. See docs/design/idempotency.md.
 */
export interface Idempotency {
  readonly db: Store
  /** The store with the records, which no client may see. */
  readonly records: Pick<Store, 'page'>
  readonly exclusive: RunExclusive
}

export function idempotency(db: Store, records: Pick<Store, 'page'>): Idempotency {
  return { db, records, exclusive: keyedMutex() }
}

/** The command of a request, as data: it is executed, or its recorded outcome is replayed. */
export interface Work {
  readonly operations: readonly Operation[]
  readonly checks?: readonly Check[]
  /** The parts of the body and headers that identify the request. */
  readonly content: readonly (string | Uint8Array | null)[]
  /** Data that the response needs besides the outcomes; recorded with them. */
  readonly note?: string
  /** Throws the client's error when the plan must not be executed or recorded; `respond` throws the same. */
  readonly require?: (plan: Plan) => void
  respond(outcomes: readonly Outcome[], note: string): HttpResponse
}

const recordsCollection = '_idempotency'

const keyBits = headerBits(['idempotency-key'])

/** Throws `invalid_request` if the request has a key although it is executed in several commits. */
export function requireNoKey(request: HttpRequest, what: string): void {
  if ((request.present & keyBits) !== 0) {
    throw new KvistError('invalid_request', `${what} cannot have an Idempotency-Key`)
  }
}

/** Executes the work, or replays its recorded outcome when the request has a key that was sent before. */
export async function perform(
  { db, records, exclusive }: Idempotency,
  request: HttpRequest,
  context: RequestContext,
  work: Work,
): Promise<HttpResponse> {
  const { operations, checks = [], require, note = '' } = work
  if ((request.present & keyBits) === 0) return done(await db.execute({ checks, operations }))
  const recordKey = `${context.principal.id}/${parseIdempotencyKey(request)}`
  const fingerprint = fingerprintOf(request, work.content)
  // Of several concurrent requests with one key, one runs and the others wait for its record.
  return exclusive([recordKey], async () => {
    const record = await findRecord(records, recordKey)
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
    return done(outcomes)
  })

  function done(outcomes: readonly Outcome[]): HttpResponse {
    for (const { isWritten, revision } of outcomes) if (isWritten) context.wrote(revision)
    return work.respond(outcomes, note)
  }
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

/**
 * Returns the record of a key. Uses a scan, because a record is stored near the members of its command, where a read by
 * its key may not find it.
 */
async function findRecord(records: Pick<Store, 'page'>, key: string): Promise<Member | null> {
  const { members } = await records.page(recordsCollection, {
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

/**
 * Returns the key, which may be in quotes, as the draft of the header specifies, or without, as most clients send it.
 * Throws `invalid_request`.
 */
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

/** Headers that change the effect of a request. */
const meantHeaders = ['content-type', 'if-match', 'if-none-match', 'if-unmodified-since']

function fingerprintOf(request: HttpRequest, content: Work['content']): string {
  const hash = createHash('sha256')
  const { method, path, query } = request
  for (const part of [method, path, query, ...meantHeaders.map((name) => request.header(name)), ...content]) {
    // The lengths keep parts apart that would otherwise concatenate to the same bytes.
    hash.update(part === null ? 'null:' : `${Buffer.byteLength(part)}:`)
    if (part !== null) hash.update(part)
  }
  return hash.digest('base64url')
}
