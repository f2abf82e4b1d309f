import type { Outcome } from '../../core/content.ts'
import type { Check, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { maxBatchBytes, maxBatchOperations } from '../../core/limits.ts'
import type { Operation } from '../../core/operations.ts'
import { rawElements, rawMember } from '../../json/scan.ts'
import { bodyText, parseJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { expiryFields, fieldExpiry } from './expiry.ts'
import {
  asArray,
  asObject,
  contentFields,
  type JsonFields,
  parseContent,
  parseRef,
  refuseOthers,
} from './fields.ts'
import { type Idempotency, perform, requireNoKey } from './idempotency.ts'
import { incrementFields, parseIncrement } from './increment.ts'

/**
 * `POST /v1/_batch`: commits checks and operations together or not at all; with `"atomic": false` each operation by
 * itself. The whole body is parsed before anything is executed.
 */
export async function postBatch(
  idempotency: Idempotency,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const text = bodyText(await readBody(request, maxBatchBytes, context))
  const body = asObject(parseJson(text), 'the batch')
  refuseOthers(body, batchFields, 'the batch')
  const checks = asArray(body.checks, 'checks').map((given, i) => parseCheck(given, `checks[${i}]`))
  const nowMs = context.now()
  const rawOperations = rawElements(rawMember(text, 'operations') ?? '[]')
  const operations = asArray(body.operations, 'operations').map((given, i) =>
    parseOperation(given, rawOperations[i]!, `operations[${i}]`, nowMs),
  )
  if (operations.length > maxBatchOperations || checks.length > maxBatchOperations) {
    throw new KvistError(
      'too_large',
      `a batch has at most ${maxBatchOperations} operations and as many checks`,
      {
        limit: maxBatchOperations,
      },
    )
  }
  if (isAtomic(body.atomic)) {
    return perform(idempotency, request, context, { checks, operations, content: [text], respond })
  }
  if (checks.length > 0) {
    throw new KvistError('invalid_request', 'a batch that is not atomic has no checks')
  }
  requireNoKey(request, 'a batch that is not atomic')
  return executeApart(idempotency, context, operations)
}

function isAtomic(given: unknown): boolean {
  if (given === undefined || typeof given === 'boolean') return given !== false
  throw new KvistError('invalid_request', 'atomic is neither true nor false')
}

/** Executes each operation by itself, those on one member in their order. One that fails does not stop the others. */
async function executeApart(
  { db }: Idempotency,
  context: RequestContext,
  operations: readonly Operation[],
): Promise<HttpResponse> {
  const results = await Promise.allSettled(
    operations.map((operation) => db.execute({ operations: [operation] })),
  )
  const errors: unknown[] = []
  const revisions: (number | null)[] = []
  const values: string[] = []
  for (const [index, result] of results.entries()) {
    if (result.status === 'rejected') {
      if (!(result.reason instanceof KvistError)) throw result.reason
      errors.push({ index, code: result.reason.code, detail: result.reason.message })
    }
    const [outcome] = result.status === 'fulfilled' ? result.value : []
    if (outcome?.isWritten) context.wrote(outcome.revision)
    revisions.push(outcome?.revision ?? null)
    // JSON text of the numbers: parsing would lose digits.
    values.push(outcome?.value ?? 'null')
  }
  const failed = JSON.stringify(errors)
  return jsonTextLine(`{"revisions":${JSON.stringify(revisions)},"values":[${values}],"errors":${failed}}`)
}

function respond(outcomes: readonly Outcome[]): HttpResponse {
  const revisions = outcomes.map(({ revision }) => revision)
  // JSON text of the numbers: parsing would lose digits.
  const values = outcomes.map(({ value }) => value ?? 'null')
  return jsonTextLine(`{"revisions":[${revisions}],"values":[${values}]}`)
}

const batchFields: ReadonlySet<string> = new Set(['atomic', 'checks', 'operations'])

const checkFields: ReadonlySet<string> = new Set(['collection', 'key', 'revision'])

function parseCheck(given: unknown, where: string): Check {
  const fields = asObject(given, where)
  refuseOthers(fields, checkFields, where)
  const { revision } = fields
  if (revision !== null && !(Number.isSafeInteger(revision) && Number(revision) > 0)) {
    throw new KvistError(
      'invalid_request',
      `${where}.revision is neither a revision nor null, for must not exist`,
    )
  }
  return { ...parseRef(fields, where), revision: revision === null ? null : Number(revision) }
}

interface OperationKind {
  /** Its fields besides `op`, `collection` and `key`. */
  readonly fields: readonly string[]
  parse(ref: MemberRef, fields: JsonFields, raw: string, where: string, nowMs: number): Operation
}

const kinds: Readonly<Record<'put' | 'delete' | 'touch' | 'increment', OperationKind>> = {
  put: {
    fields: contentFields,
    parse: (ref, fields, raw, where, nowMs) => ({
      op: 'put',
      ...ref,
      ...parseContent(fields, raw, where, nowMs),
    }),
  },
  delete: { fields: [], parse: (ref) => ({ op: 'delete', ...ref }) },
  touch: {
    fields: expiryFields,
    parse(ref, fields, _raw, where, nowMs) {
      const expiresAtMs = fieldExpiry(fields, nowMs)
      if (expiresAtMs !== null) return { op: 'touch', ...ref, expiresAtMs }
      throw new KvistError('invalid_request', `${where} has neither "expire_in" nor "expire_at"`)
    },
  },
  increment: {
    fields: incrementFields,
    parse: (ref, fields, _raw, where, nowMs) => ({
      op: 'increment',
      ...ref,
      ...parseIncrement(fields, where, nowMs),
    }),
  },
}

const kindsByName = new Map<unknown, { kind: OperationKind; known: ReadonlySet<string> }>(
  Object.entries(kinds).map(([name, kind]) => [
    name,
    { kind, known: new Set(['op', 'collection', 'key', ...kind.fields]) },
  ]),
)

function parseOperation(given: unknown, raw: string, where: string, nowMs: number): Operation {
  const fields = asObject(given, where)
  const found = kindsByName.get(fields.op)
  if (found === undefined) {
    throw new KvistError('invalid_request', `${where}.op is not one of ${Object.keys(kinds).join(', ')}`)
  }
  refuseOthers(fields, found.known, where)
  return found.kind.parse(parseRef(fields, where), fields, raw, where, nowMs)
}
