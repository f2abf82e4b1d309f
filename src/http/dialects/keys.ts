import type { Outcome } from '../../core/content.ts'
import { wholeCollection } from '../../core/database.ts'
import type { Put } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import {
  defaultPageMembers,
  maxBatchBytes,
  maxBatchOperations,
  maxPageMembers,
  maxValueBytes,
} from '../../core/limits.ts'
import { everything } from '../../core/list.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { Operation } from '../../core/operations.ts'
import { merged } from '../../core/patch.ts'
import { compilePattern } from '../../core/pattern.ts'
import type { Store } from '../../core/store.ts'
import { isObjectText } from '../../json/object.ts'
import { rawMembers } from '../../json/scan.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor } from '../cursor.ts'
import type { Parameter, ResponseDocs } from '../operation.ts'
import { ResponsePages } from '../page-memory.ts'
import { pathParameter } from '../path.ts'
import { jsonResponse } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import type { Dialect } from './dialect.ts'
import { expiryAfter, jsonBody, queryParameter, refuseParameters } from './request.ts'
import { getShown, jsonDocs, listResponse, valueJson } from './response.ts'

const collection = 'keys'
const secondMs = 1000

/** The error texts of the original store, by status. */
const words: Readonly<Record<number, string>> = {
  400: 'Bad request',
  404: 'Not found',
  405: 'Method not allowed',
}

/** The dialect of a key-value application on Flask and PickleDB: values under keys, all in the collection `keys`. */
export const keys: Dialect = {
  name: 'keys',
  tag: { name: 'keys', description: 'Key value application: any JSON under keys of the collection `keys`' },
  refuse({ status, detail }, headers) {
    const isFailure = status >= 500
    const error = isFailure ? 'Internal error :(' : (words[status] ?? detail)
    return jsonResponse(JSON.stringify({ error }), isFailure ? 500 : status, headers)
  },
  routes(db) {
    const patch = {
      method: 'PATCH',
      access: 'write',
      summary: 'Merges an object into a value (RFC 7396)',
      docs: {
        body: { content: { 'application/json': { schema: { type: 'object' }, example: { count: 2 } } } },
        responses: {
          200: jsonDocs('The value as it is now', { response: { count: 2 } }),
          400: badRequest,
          ...missing,
        },
      },
      handle: (request: HttpRequest, context: RequestContext) => patchKey(db, request, context),
    } as const
    return [
      {
        method: 'PUT',
        path: '/keys',
        access: 'write',
        summary: 'Stores several values, all or none',
        docs: {
          parameters: [
            {
              in: 'query',
              name: 'expire_in',
              description: 'In seconds',
              schema: { type: 'number' },
              example: 60,
            },
          ],
          body: {
            content: {
              'application/json': { schema: { type: 'object' }, example: { k1: 'word', k2: [1, 2] } },
            },
          },
          responses: { 200: jsonDocs('They are stored', { response: allStored }), 400: badRequest },
        },
        handle: (request, context) => putKeys(db, request, context),
      },
      {
        method: 'GET',
        path: '/keys',
        access: 'read',
        summary: 'All values, or a page of them',
        docs: {
          parameters: listParameters,
          responses: {
            200: jsonDocs('The values in the order of their keys', { response: ['word', [1, 2]] }),
            400: badRequest,
          },
        },
        handle: (request, context) => getKeys(db, request, context),
      },
      {
        method: 'DELETE',
        path: '/keys',
        access: 'admin',
        summary: 'Deletes all keys',
        docs: { responses: { 200: jsonDocs('They are gone', { response: 'all keys have been deleted' }) } },
        async handle(request, context) {
          refuseParameters(request)
          await db.drop(collection, everything, () => context.connection.resetTimeout())
          return jsonResponse('{"response":"all keys have been deleted"}')
        },
      },
      {
        method: 'GET',
        path: '/keys/:id',
        access: 'read',
        summary: 'One value',
        docs: {
          responses: { 200: jsonDocs('The value', { response: 'word' }), ...missing },
          head: 'Whether it exists',
        },
        handle: (request, context) => respondKey(db, idOf(request), context),
      },
      { ...patch, path: '/keys/:id' },
      { ...patch, path: '/key/:id' },
      {
        method: 'DELETE',
        path: '/keys/:id',
        access: 'write',
        summary: 'Deletes a key',
        docs: {
          responses: { 200: jsonDocs('It is gone', { response: 'k1 has been deleted' }), 404: missing[404] },
        },
        async handle(request, context) {
          const id = idOf(request)
          const revision = await db.delete(collection, id)
          if (revision === 0) throw new KvistError('not_found', 'Not found')
          context.wrote(revision)
          return jsonResponse(JSON.stringify({ response: `${id} has been deleted` }))
        },
      },
    ]
  },
}

const allStored = 'all key value pair are persisted'

const badRequest: ResponseDocs = jsonDocs('No JSON, or a parameter that is none', { error: 'Bad request' })

const missing = {
  404: jsonDocs('There is none', { error: 'Not found' }),
  410: jsonDocs('It expired, and was not written since', { error: 'Expired' }),
}

const listParameters: readonly Parameter[] = [
  {
    in: 'query',
    name: 'filter',
    description: 'Keys that match: `$` is any run of characters',
    schema: { type: 'string' },
    example: 'wo$d',
  },
  {
    in: 'query',
    name: 'limit',
    description: 'A page of so many at most; the Link header names the next one',
    schema: { type: 'integer', minimum: 1, maximum: maxPageMembers },
  },
  { in: 'query', name: 'cursor', description: 'Where an earlier page ended', schema: { type: 'string' } },
]

function idOf(request: HttpRequest): string {
  return parseKey(pathParameter(request, 'id'))
}

async function putKeys(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const expireIn = queryParameter(request, 'expire_in')
  const expiresAtMs = expireIn === undefined ? null : expiryAfter(expireIn, secondMs, context.now())
  const values = rawMembers(await jsonBody(request, context, maxBatchBytes))
  if (values.size === 0) throw new KvistError('invalid_request', 'there are no keys in the body')
  if (values.size > maxBatchOperations) {
    throw new KvistError('too_large', `at most ${maxBatchOperations} keys can be stored at once`)
  }
  const content = { contentType: jsonContentType, flags: 0, expiresAtMs }
  const puts = Array.from(values, ([name, value]) => {
    requireSize(value)
    return { op: 'put', collection, key: parseKey(name), value, ...content } as const
  })
  for (const { revision } of await putTogether(db, puts)) context.wrote(revision)
  return jsonResponse(JSON.stringify({ response: allStored }))
}

/** Stores all or none, or each by itself where the engine has them on several lines: clients of this API know no other way. */
async function putTogether(db: Store, puts: readonly Operation[]): Promise<readonly Outcome[]> {
  try {
    return await db.execute({ operations: puts })
  } catch (error) {
    if (!(error instanceof KvistError && 'together' in error.extra)) throw error
  }
  return (await Promise.all(puts.map((put) => db.execute({ operations: [put] })))).flat()
}

function requireSize(value: string): void {
  if (Buffer.byteLength(value) <= maxValueBytes) return
  throw new KvistError('too_large', `a value has more than ${maxValueBytes} bytes`)
}

async function getKeys(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const pattern = queryParameter(request, 'filter') ?? ''
  const filter =
    pattern === '' ? null : compilePattern(pattern, { anyRun: '$', anyOne: null, otherBackslash: 'literal' })
  const limit = queryParameter(request, 'limit')
  const cursor = queryParameter(request, 'cursor')
  const question = [collection, pattern]
  const brackets = ['{"response":[', ']}'] as const
  if (limit === undefined && cursor === undefined) {
    const query = { ...wholeCollection, filter }
    return listResponse((memory) => db.all(collection, query, memory), shownValue, brackets, context)
  }
  const pages = new ResponsePages(context.connection)
  const query = {
    ...wholeCollection,
    filter,
    limit: parseLimit(limit),
    cursor: cursor === undefined ? null : decodeCursor(question, cursor),
  }
  const { members, next } = await db.page(collection, query, { memory: pages })
  pages.hold(members.reduce((bytes, { value }) => bytes + value.length, 0))
  const link =
    next === null ? null : nextPath(request, { filter: pattern, limit, cursor: encodeCursor(question, next) })
  return jsonResponse(
    brackets.join(members.map(shownValue).join(',')),
    200,
    link === null ? {} : { Link: `<${link}>; rel="next"` },
  )
}

function parseLimit(given: string | undefined): number {
  if (given === undefined) return defaultPageMembers
  const limit = /^\d{1,15}$/.test(given) ? Number(given) : 0
  if (limit >= 1 && limit <= maxPageMembers) return limit
  throw new KvistError('invalid_parameter', `limit is a number from 1 to ${maxPageMembers}`)
}

function nextPath(request: HttpRequest, given: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(given)) if (value) query.set(name, value)
  return `${request.path}?${query}`
}

function shownValue({ value }: Member): string {
  return valueJson(value)
}

async function respondKey(db: Store, id: string, context: RequestContext): Promise<HttpResponse> {
  const member = await getShown(db, { collection, key: id }, context)
  return member === null ? respondMissing(db, id) : jsonResponse(`{"response":${valueJson(member.value)}}`)
}

async function respondMissing(db: Store, id: string): Promise<HttpResponse> {
  const hasExpired = (await db.removalCause(collection, id)) === 'expire'
  return hasExpired ? jsonResponse('{"error":"Expired"}', 410) : jsonResponse('{"error":"Not found"}', 404)
}

async function patchKey(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const key = idOf(request)
  const patch = await jsonBody(request, context, maxValueBytes)
  if (!isObjectText(patch)) throw new KvistError('invalid_request', 'the patch is not a JSON object')
  const written = await db.update({ collection, key }, (current): Put | null => {
    if (current === null) return null
    const value = merged(typeof current.value === 'string' ? current.value : undefined, patch)
    requireSize(value)
    const contentType = typeof current.value === 'string' ? current.contentType : jsonContentType
    const { flags, expiresAtMs } = current
    return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
  })
  if (written === null) return respondMissing(db, key)
  context.wrote(written.revision)
  return respondKey(db, key, context)
}
