import { wholeCollection } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { parseCollection, parseKey } from '../../core/keys.ts'
import { maxValueBytes } from '../../core/limits.ts'
import { everything } from '../../core/list.ts'
import { jsonContentType, type Member, type Value } from '../../core/member.ts'
import type { NewPut } from '../../core/operations.ts'
import { compilePattern } from '../../core/pattern.ts'
import type { Store } from '../../core/store.ts'
import { isObjectText, objectText } from '../../json/object.ts'
import { rawMember, rawMembers } from '../../json/scan.ts'
import type { RequestContext } from '../context.ts'
import type { Parameter } from '../operation.ts'
import { pathParameter } from '../path.ts'
import { jsonResponse, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import type { Dialect } from './dialect.ts'
import { expiryAfter, jsonBody, keyText, queryParameter, refuseParameters } from './request.ts'
import { getShown, jsonDocs, listResponse, valueJson } from './response.ts'

/**
 * The dialect of Ozza Store: resources of members, which are JSON objects with an `id`. A resource is the collection of
 * its name.
 */
export const ozza: Dialect = {
  name: 'ozza',
  tag: {
    name: 'ozza',
    description: 'Ozza Store: a resource is a collection, a member an object with an `id`',
  },
  refuse: ({ status, detail }, headers) => jsonResponse(JSON.stringify({ error: detail }), status, headers),
  routes: (db) => [
    {
      method: 'GET',
      path: '/:resource',
      access: 'read',
      summary: 'All members of a resource',
      docs: {
        parameters: [filter],
        responses: { 200: jsonDocs('The members; none of an unknown resource', { result: [exampleMember] }) },
      },
      handle: (request, context) => getMembers(db, request, context),
    },
    {
      method: 'PUT',
      path: '/:resource',
      access: 'write',
      summary: 'Creates a member, or updates the fields that are named',
      docs: {
        parameters: [expireIn],
        body: {
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['id'],
                properties: { id: { type: ['string', 'number'] } },
              },
              example: exampleFields,
            },
          },
        },
        responses: {
          200: jsonDocs('The member as it is now', { result: exampleMember }),
          400: jsonDocs('No object, no id, or no such time', exampleError),
        },
      },
      handle: (request, context) => putMember(db, request, context),
    },
    {
      method: 'DELETE',
      path: '/:resource',
      access: 'admin',
      summary: 'Deletes a resource with all its members',
      docs: {
        responses: {
          200: jsonDocs('It is gone', { result: 'Resource deleted' }),
          404: jsonDocs('There was none', { error: 'Resource not found' }),
        },
      },
      handle: (request, context) => deleteResource(db, request, context),
    },
    {
      method: 'GET',
      path: '/:resource/:id',
      access: 'read',
      summary: 'One member',
      docs: { responses: { 200: jsonDocs('The member, or an empty list', { result: exampleMember }) } },
      handle: async (request, context) => memberResponse(await getShown(db, refOf(request), context)),
    },
    {
      method: 'HEAD',
      path: '/:resource/:id',
      access: 'read',
      summary: 'Whether a member exists',
      docs: { responses: { 200: { description: 'It does' }, 204: { description: 'It does not' } } },
      handle: async (request) => {
        const { collection, key } = refOf(request)
        return responseOf((await db.getHead(collection, key)) === null ? 204 : 200)
      },
    },
    {
      method: 'DELETE',
      path: '/:resource/:id',
      access: 'write',
      summary: 'Deletes a member',
      docs: { responses: { 200: jsonDocs('What became of it', { result: 'Delete successful' }) } },
      handle: async (request, context) => {
        const { collection, key } = refOf(request)
        const revision = await db.delete(collection, key)
        context.wrote(revision)
        return jsonResponse(
          JSON.stringify({ result: revision > 0 ? 'Delete successful' : 'Member not found' }),
        )
      },
    },
  ],
}

const minuteMs = 60_000

const filter: Parameter = {
  in: 'query',
  name: 'filter',
  description: 'Members with a top-level value that matches as text; `*` is any run of characters',
  schema: { type: 'string' },
  example: 'w*d',
}

const expireIn: Parameter = {
  in: 'query',
  name: 'expire_in',
  description: 'In minutes; 0 for never. Left out, an update keeps what the member has',
  schema: { type: 'number' },
}

const exampleFields = { id: '1', name: 'word' }
const exampleMember = { ...exampleFields, created_at: 1735689600000, expiry_time: 0 }
const exampleError = { error: 'the member has no "id" that is text or a number' }

/** Fields that the server adds to responses. They are removed from requests, because clients send them back. */
const reportedFields = ['created_at', 'expiry_time']

function resourceOf(request: HttpRequest): string {
  return parseCollection(pathParameter(request, 'resource'))
}

function refOf(request: HttpRequest) {
  return { collection: resourceOf(request), key: parseKey(pathParameter(request, 'id')) }
}

function getMembers(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const pattern = queryParameter(request, 'filter') ?? ''
  const match =
    pattern === '' ? null : compilePattern(pattern, { anyRun: '*', anyOne: null, otherBackslash: 'literal' })
  const resource = resourceOf(request)
  const query = { ...wholeCollection, match }
  return listResponse((memory) => db.all(resource, query, memory), memberJson, ['{"result":[', ']}'], context)
}

async function putMember(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const collection = resourceOf(request)
  const expiresAtMs = expiryOf(queryParameter(request, 'expire_in'), context.now())
  const text = await jsonBody(request, context, maxValueBytes)
  const key = keyText(rawMember(text, 'id'))
  if (key === undefined) {
    throw new KvistError('invalid_request', 'the member has no "id" that is text or a number')
  }
  const ref = { collection, key: parseKey(key) }
  const written = await db.update(ref, (current): NewPut => {
    const value = current === null ? withoutReported(text) : updated(current.value, text)
    const kept = current?.expiresAtMs ?? null
    return {
      op: 'put',
      ...ref,
      value,
      contentType: jsonContentType,
      flags: 0,
      expiresAtMs: expiresAtMs === undefined ? kept : expiresAtMs,
    }
  })
  context.wrote(written?.revision ?? 0)
  // Respond with the stored member, because processes may have changed it.
  return memberResponse(await getShown(db, ref, context))
}

/** Returns the expiry of `expire_in` in minutes; undefined when missing, and never for 0. */
function expiryOf(expireIn: string | undefined, nowMs: number): number | 'never' | undefined {
  if (expireIn === undefined) return undefined
  return /^0+$/.test(expireIn) ? 'never' : expiryAfter(expireIn, minuteMs, nowMs)
}

/** Merges the fields sent into the stored value; other fields are kept. */
function updated(value: Value, text: string): string {
  const merged = objectText(new Map([...fieldsOf(value), ...rawMembers(withoutReported(text))]))
  if (Buffer.byteLength(merged) > maxValueBytes) {
    throw new KvistError('too_large', `the member would have more than ${maxValueBytes} bytes`)
  }
  return merged
}

/** Removes the reported fields; returns the text unchanged when it has none. */
function withoutReported(text: string): string {
  const fields = rawMembers(text)
  return reportedFields.filter((name) => fields.delete(name)).length === 0 ? text : objectText(fields)
}

/**
 * Returns the fields of a value. A value stored through another API may not be an object: it becomes the field `value`.
 */
function fieldsOf(value: Value): Map<string, string> {
  if (typeof value === 'string' && isObjectText(value)) return rawMembers(value)
  return new Map([['value', valueJson(value)]])
}

function memberResponse(member: Member | null): HttpResponse {
  return jsonResponse(`{"result":${member === null ? '[]' : memberJson(member)}}`)
}

function memberJson({ key, value, createdAtMs, expiresAtMs }: Member): string {
  const fields = fieldsOf(value)
  const withId = fields.has('id') ? fields : new Map([['id', JSON.stringify(key)], ...fields])
  return objectText(
    withId.set('created_at', String(createdAtMs)).set('expiry_time', String(expiresAtMs ?? 0)),
  )
}

async function deleteResource(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  refuseParameters(request)
  const collection = resourceOf(request)
  const deleted = await db.drop(collection, everything, () => context.connection.resetTimeout())
  if (deleted === 0) throw new KvistError('not_found', 'Resource not found')
  return jsonResponse('{"result":"Resource deleted"}')
}
