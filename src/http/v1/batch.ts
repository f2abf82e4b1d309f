import type { Database } from '../../core/database.ts'
import type { Check, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { rawElements, rawMember } from '../../core/json.ts'
import { parseCollection, parseKey } from '../../core/keys.ts'
import { maxBatchBytes, maxBatchOperations, maxValueBytes } from '../../core/limits.ts'
import { jsonContentType } from '../../core/member.ts'
import type { Operation } from '../../core/operations.ts'
import { type Answer, jsonTextLine } from '../answer.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import type { HttpRequest } from '../wire/request.ts'
import { parseExpiry } from './expiry.ts'

/** `POST /v1/_batch`: checks and operations, together or not at all. All of it is parsed before any is done. */
export async function postBatch(
  db: Database,
  request: HttpRequest,
  context: RequestContext,
): Promise<Answer> {
  parametersOf(request, [])
  const text = jsonText(await readBody(request, maxBatchBytes, context))
  const body = asObject(JSON.parse(text), 'the batch')
  refuseOthers(body, ['checks', 'operations'], 'the batch')
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
  const outcomes = await db.batch(checks, operations)
  return jsonTextLine(JSON.stringify({ revisions: outcomes.map(({ revision }) => revision) }))
}

type Fields = Readonly<Record<string, unknown>>

function asObject(given: unknown, where: string): Fields {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given as Fields
  throw new KvistError('invalid_request', `${where} is not an object`)
}

function asArray(given: unknown, where: string): readonly unknown[] {
  if (given === undefined) return []
  if (Array.isArray(given)) return given
  throw new KvistError('invalid_request', `${where} is not an array`)
}

function refuseOthers(fields: Fields, known: readonly string[], where: string): void {
  const other = Object.keys(fields).find((name) => !known.includes(name))
  if (other !== undefined) {
    throw new KvistError(
      'invalid_request',
      `${where} has ${JSON.stringify(other)}; known are ${known.join(', ')}`,
    )
  }
}

function parseRef({ collection, key }: Fields, where: string): MemberRef {
  if (typeof collection !== 'string')
    throw new KvistError('invalid_collection', `${where} has no "collection"`)
  if (typeof key !== 'string') throw new KvistError('invalid_key', `${where} has no "key"`)
  return { collection: parseCollection(collection), key: parseKey(key) }
}

function parseCheck(given: unknown, where: string): Check {
  const fields = asObject(given, where)
  refuseOthers(fields, ['collection', 'key', 'revision'], where)
  const { revision } = fields
  if (revision !== null && !(Number.isSafeInteger(revision) && Number(revision) > 0)) {
    throw new KvistError(
      'invalid_request',
      `${where}.revision is neither a revision nor null, for must not exist`,
    )
  }
  return { ...parseRef(fields, where), revision: revision === null ? null : Number(revision) }
}

type OperationParser = (fields: Fields, raw: string, where: string, nowMs: number) => Operation

const operationParsers: Readonly<Record<'put' | 'delete' | 'increment', OperationParser>> = {
  put(fields, raw, where, nowMs) {
    refuseOthers(fields, ['op', 'collection', 'key', 'value', 'expire_in', 'expire_at'], where)
    const value = rawMember(raw, 'value')
    if (value === undefined) throw new KvistError('invalid_request', `${where} has no "value"`)
    if (Buffer.byteLength(value) > maxValueBytes) {
      throw new KvistError('too_large', `${where}.value has more than ${maxValueBytes} bytes`, {
        limit_bytes: maxValueBytes,
      })
    }
    const expiresAtMs = parseExpiry(asText(fields.expire_in), asText(fields.expire_at), nowMs)
    return {
      op: 'put',
      ...parseRef(fields, where),
      value,
      contentType: jsonContentType,
      flags: 0,
      expiresAtMs,
    }
  },
  delete(fields, _raw, where) {
    refuseOthers(fields, ['op', 'collection', 'key'], where)
    return { op: 'delete', ...parseRef(fields, where) }
  },
  increment(fields, _raw, where) {
    refuseOthers(fields, ['op', 'collection', 'key', 'path', 'by'], where)
    const { path = '', by = 1 } = fields
    if (typeof path !== 'string')
      throw new KvistError('invalid_request', `${where}.path is not a JSON pointer`)
    if (typeof by !== 'number') throw new KvistError('invalid_request', `${where}.by is not a number`)
    return { op: 'increment', ...parseRef(fields, where), path, by }
  },
}

function parseOperation(given: unknown, raw: string, where: string, nowMs: number): Operation {
  const fields = asObject(given, where)
  const { op } = fields
  const parser = Object.entries(operationParsers).find(([name]) => name === op)?.[1]
  if (parser === undefined) {
    const known = Object.keys(operationParsers).join(', ')
    throw new KvistError('invalid_request', `${where}.op is not one of ${known}`)
  }
  return parser(fields, raw, where, nowMs)
}

function asText(given: unknown): string | undefined {
  return given === undefined || given === null ? undefined : String(given)
}
