import { isUtf8 } from 'node:buffer'
import { stampToMs } from '../../core/clock.ts'
import type { Condition } from '../../core/condition.ts'
import type { Content } from '../../core/content.ts'
import { type ErrorCode, KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { maxBatchBytes, maxValueBytes } from '../../core/limits.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { Store } from '../../core/store.ts'
import { isObjectText, objectText, withMembers } from '../../json/object.ts'
import { rawMember, rawMembers } from '../../json/scan.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { isNamed } from '../entity-tags.ts'
import type { Body, Parameter, ResponseDocs } from '../operation.ts'
import { ResponsePages } from '../page-memory.ts'
import { pathParameter } from '../path.ts'
import { type Fields, jsonResponse, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import type { Dialect } from './dialect.ts'
import type { RecordCache } from './minstore-cache.ts'
import { pythonHash } from './python-hash.ts'
import { formField, queryParameter } from './request.ts'
import { getShown, jsonDocs, valueText } from './response.ts'

/** The collection of the records. */
export const recordsCollection = 'text'
const collection = recordsCollection

/** The processes of records, unless the collection's settings name others. */
const usualProcesses = ['detect-language', 'mark']

/**
 * The dialect of minstore: records of text in the collection `text`. A record is the member's value: `{"uid", "value",
 * "timestamp", "check_sum", "lang", "size"}`. Of minstore's flags, `mirror` and `bridge` are here, and `cache` is in
 * minstore-cache.ts.
 */
export const minstore: Dialect = {
  name: 'minstore',
  tag: { name: 'minstore', description: 'minstore: texts that are processed, stored as records in `text`' },
  refuse: ({ status, detail }, headers) => jsonResponse(JSON.stringify({ error: detail }), status, headers),
  looksUp: true,
  routes: (db, { records }) => [
    {
      method: 'POST',
      path: '/text/:uid',
      access: 'write',
      summary: 'Creates a record',
      docs: {
        parameters: [cacheParameter],
        body,
        responses: { 200: record, 400: jsonDocs('It exists, or there is no value', exampleError) },
      },
      handle: (request, context) =>
        isPassedOn(records, request)
          ? passWriteOn(db, records, request, context)
          : createRecord(db, request, context),
    },
    {
      method: 'PUT',
      path: '/text/:uid',
      access: 'write',
      summary: 'Updates a record',
      docs: {
        description:
          'With `mirror=1`, `value` is a whole record as JSON, which is stored as it is, there or not. The servers to which this one sends its changes do not get it, unless `bridge` is `1` too.',
        parameters: [...mirrorParameters, cacheParameter],
        body,
        responses: { 200: record, 400: jsonDocs('There is no value', exampleError), 404: missing },
      },
      handle: (request, context) =>
        isPassedOn(records, request)
          ? passWriteOn(db, records, request, context)
          : updateRecord(db, request, context),
    },
    {
      method: 'GET',
      path: '/text/:uid',
      access: 'read',
      summary: 'A record',
      docs: {
        parameters: [cacheParameter],
        responses: { 200: record, 304: { description: 'As If-None-Match has it' }, 404: missing },
      },
      honours: ['if-match', 'if-none-match'],
      async handle(request, context) {
        const uid = uidOf(request)
        if (isPassedOn(records, request)) return cachedRecord(db, records, uid, request, context)
        const member = await getShown(db, { collection, key: uid }, context)
        if (member === null) throw notFound(uid)
        return respondRecord(uid, recordText(member), request)
      },
    },
    {
      method: 'DELETE',
      path: '/text/:uid',
      access: 'write',
      summary: 'Deletes a record',
      docs: { parameters: mirrorParameters, responses: { 200: jsonDocs('It is gone', null), 404: missing } },
      async handle(request, context) {
        const uid = uidOf(request)
        records.drop(uid)
        const revision =
          spreadOf(request) === 'no further'
            ? await db.deleteUnmirrored({ collection, key: uid })
            : await db.delete(collection, uid)
        if (revision === 0) throw notFound(uid)
        context.wrote(revision)
        return jsonResponse('null')
      },
    },
  ],
}

const exampleRecord = {
  uid: 'a1',
  value: 'good morning (Marked).',
  timestamp: 1447037485.564,
  check_sum: 12416037344,
  lang: 'en',
  size: 222,
}
const exampleError = { error: 'there is no value' }
const missing: ResponseDocs = jsonDocs('There is none', { error: 'there is no record "a1"' })
const record: ResponseDocs = {
  ...jsonDocs('The record', exampleRecord),
  headers: { ETag: { description: '`"<uid>:<check_sum>"`', schema: { type: 'string' } } },
}
const text = { type: 'object', required: ['value'], properties: { value: { type: 'string' } } }
const body: Body = {
  content: {
    'application/x-www-form-urlencoded': { schema: text, example: { value: 'good morning' } },
    'application/json': { schema: text, example: { value: 'good morning' } },
  },
}

const cacheParameter: Parameter = {
  in: 'query',
  name: 'cache',
  description:
    '`1`: the request is passed on to the servers of this node, which keeps the record in memory for later reads',
  schema: { type: 'string', enum: ['1'] },
}

const mirrorParameters: readonly Parameter[] = [
  {
    in: 'query',
    name: 'mirror',
    description: '`1`: another node has sent it, and it is not sent on',
    schema: { type: 'string', enum: ['1'] },
  },
  {
    in: 'query',
    name: 'bridge',
    description: '`1`, beside `mirror`: it is sent on',
    schema: { type: 'string', enum: ['1'] },
  },
]

function uidOf(request: HttpRequest): string {
  return parseKey(pathParameter(request, 'uid'))
}

function notFound(uid: string): KvistError {
  return new KvistError('not_found', `there is no record ${JSON.stringify(uid)}`)
}

async function createRecord(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const uid = uidOf(request)
  const value = await sentText(request, context)
  const why = `there is a record ${JSON.stringify(uid)} already`
  const exists = new KvistError('invalid_request', why)
  return storeRecord(db, uid, value, { ifNoneMatch: 'any' }, exists, context)
}

async function updateRecord(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const uid = uidOf(request)
  const spread = spreadOf(request)
  if (spread !== null) {
    const sent = await sentValue(request, context)
    const whole = mirroredRecord(uid, typeof sent === 'string' ? sent : sent.json)
    const { revision } =
      spread === 'no further'
        ? await db.putUnmirrored({ collection, key: uid }, contentOf(whole))
        : await db.put(collection, uid, contentOf(whole), undefined, 'mirrored')
    context.wrote(revision)
    return respondRecord(uid, whole)
  }
  const value = await sentText(request, context)
  return storeRecord(db, uid, value, { ifMatch: 'any' }, notFound(uid), context)
}

/** Whether a request is for the servers of this node. */
function isPassedOn({ isUsed }: RecordCache, request: HttpRequest): boolean {
  return isUsed && queryParameter(request, 'cache') === '1' && spreadOf(request) === null
}

async function cachedRecord(
  db: Store,
  records: RecordCache,
  uid: string,
  request: HttpRequest,
  { connection }: RequestContext,
): Promise<HttpResponse> {
  db.requireGranted('read', { collection, key: uid })
  const pages = new ResponsePages(connection)
  const found = await records.read(uid, { target: request.path, reserve: (bytes) => pages.reserve(bytes) })
  if (found === null) throw notFound(uid)
  pages.hold(found.text.length)
  return respondRecord(uid, found.text, request, { Age: `${Math.floor(found.ageMs / 1000)}` })
}

async function passWriteOn(
  db: Store,
  records: RecordCache,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const uid = uidOf(request)
  db.requireGranted('write', { collection, key: uid })
  const type = request.header('content-type') ?? 'application/x-www-form-urlencoded'
  const bytes = await readBody(request, maxBatchBytes, context)
  const pages = new ResponsePages(context.connection)
  const written = await records.write(uid, {
    method: request.method,
    target: request.path,
    body: { type, bytes },
    reserve: (size) => pages.reserve(size),
  })
  if (written === null) throw notFound(uid)
  if ('status' in written) return jsonResponse(written.json, written.status)
  pages.hold(written.text.length)
  return respondRecord(uid, written.text)
}

/** How far a record of another node goes from here (`mirror=1`); null for one that a client sends. */
function spreadOf(request: HttpRequest): 'no further' | 'on' | null {
  if (queryParameter(request, 'mirror') !== '1') return null
  return queryParameter(request, 'bridge') === '1' ? 'on' : 'no further'
}

/**
 * Parses a record that another node produced, which is stored unchanged: also its check_sum, which depends on the machine
 * that computed it. Throws `invalid_request` unless it is JSON with this uid and no value but a text.
 */
function mirroredRecord(uid: string, json: string): string {
  const whole = jsonText(Buffer.from(json))
  const named = (name: string): unknown => JSON.parse(rawMember(whole, name) ?? '""')
  if (!isObjectText(whole) || named('uid') !== uid) {
    throw new KvistError('invalid_request', 'the value is not a record with this uid, as JSON')
  }
  if (typeof named('value') !== 'string')
    throw new KvistError('invalid_request', 'the value of the record is not text')
  if (Buffer.byteLength(whole) > maxValueBytes) throw tooLarge()
  return whole
}

function tooLarge(): KvistError {
  return new KvistError('too_large', `the record would have more than ${maxValueBytes} bytes`)
}

/** Makes a record of a text, stores it and responds with it. Throws `otherwise` when the condition does not hold. */
async function storeRecord(
  db: Store,
  uid: string,
  value: string,
  condition: Condition,
  otherwise: KvistError,
  context: RequestContext,
): Promise<HttpResponse> {
  const checkSum = pythonHash(value)
  const made = objectText(
    new Map([
      ['uid', JSON.stringify(uid)],
      ['value', JSON.stringify(value)],
      ['timestamp', String(context.now() / 1000)],
      ['check_sum', checkSum],
    ]),
  )
  const prepared = await db.prepare({ collection, key: uid }, contentOf(made), usualProcesses)
  const whole = withSize(String(prepared.value))
  if (Buffer.byteLength(whole) > maxValueBytes) throw tooLarge()
  try {
    const { revision } = await db.put(collection, uid, { ...prepared, value: whole }, condition, 'prepared')
    context.wrote(revision)
  } catch (error) {
    throw isCode(error, 'precondition_failed') ? otherwise : error
  }
  return respondRecord(uid, whole)
}

function contentOf(value: string): Content {
  return { value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
}

function isCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof KvistError && error.code === code
}

/**
 * Adds the size as minstore computes it: two for each byte of the names and values, because it measured them in
 * hexadecimal.
 */
function withSize(json: string): string {
  const bytes = Array.from(rawMembers(json), ([name, value]) => Buffer.byteLength(name + valueText(value)))
  const size = 2 * bytes.reduce((sum, one) => sum + one, 0)
  return withMembers(json, [['size', String(size)]])
}

async function sentText(request: HttpRequest, context: RequestContext): Promise<string> {
  const sent = await sentValue(request, context)
  if (typeof sent === 'string') return sent
  throw new KvistError('invalid_request', 'the value is not text')
}

/** Returns the field `value` of the body: a text, or JSON that is not text. */
async function sentValue(request: HttpRequest, context: RequestContext): Promise<string | { json: string }> {
  const bytes = await readBody(request, maxBatchBytes, context)
  if (/^application\/json\s*(;|$)/i.test(request.header('content-type') ?? '')) {
    const json = rawMember(jsonText(bytes), 'value')
    if (json === undefined) throw new KvistError('invalid_request', 'there is no value')
    const value: unknown = JSON.parse(json)
    return typeof value === 'string' ? value : { json }
  }
  if (!isUtf8(bytes)) throw new KvistError('invalid_request', 'the body is not UTF-8')
  const value = formField(Buffer.from(bytes).toString(), 'value')
  if (value === undefined) throw new KvistError('invalid_request', 'there is no value')
  return value
}

/**
 * Returns a member as a record. A member stored through another API may not be one: it is converted, without a
 * language.
 */
function recordText(member: Member): string {
  const { key, value, clock } = member
  if (typeof value === 'string' && isObjectText(value) && rawMember(value, 'uid') !== undefined) return value
  const shown = valueText(value)
  return withSize(
    objectText(
      new Map([
        ['uid', JSON.stringify(key)],
        ['value', JSON.stringify(shown)],
        ['timestamp', String(stampToMs(clock) / 1000)],
        ['check_sum', pythonHash(shown)],
        ['lang', 'null'],
      ]),
    ),
  )
}

/** Responds with a record; for a read, evaluates the conditions of the request. */
function respondRecord(
  uid: string,
  whole: string,
  read: HttpRequest | null = null,
  fields: Fields = {},
): HttpResponse {
  const tag = tagOf(uid, valueText(rawMember(whole, 'check_sum') ?? 'null').toWellFormed())
  const etag = `"${tag}"`
  if (read !== null) {
    if (!isNamed(read, 'If-Match', tag, true)) {
      throw new KvistError('precondition_failed', `the record has the tag ${etag}`)
    }
    if (isNamed(read, 'If-None-Match', tag, false)) return responseOf(304, { ETag: etag, ...fields })
  }
  return jsonResponse(whole, 200, { ETag: etag, ...fields })
}

/** A record that another system stored may have anything as its check_sum. */
const maxCheckSumChars = 128

/** Returns the entity tag, in which characters that headers do not allow are escaped as in a URL. */
function tagOf(uid: string, checkSum: string): string {
  const short = checkSum.length > maxCheckSumChars ? pythonHash(checkSum) : checkSum
  return `${uid}:${short}`.replace(/[^\x21\x23-\x7e]+/gu, encodeURIComponent)
}
