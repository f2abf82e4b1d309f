import { wholeCollection } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { maxBatchBytes, maxValueBytes } from '../../core/limits.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import type { Store } from '../../core/store.ts'
import { rawMember } from '../../json/scan.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import type { Body, Parameter, ResponseDocs } from '../operation.ts'
import { type Fields, jsonResponse, responseOf } from '../response.ts'
import type { Route } from '../route.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import type { Dialect } from './dialect.ts'
import { jsonBody, keyText, queryParameter } from './request.ts'
import { getShown, jsonDocs, listResponse, valueJson } from './response.ts'

const collection = 'cache'

const preflight = {
  'Access-Control-Allow-Methods': 'GET, POST, DELETE',
  // `*` does not include Authorization.
  'Access-Control-Allow-Headers': '*, authorization',
  'Access-Control-Max-Age': '86400',
}

/**
 * The dialect of TenantBase: values under keys, with verbs in the path. It ran on aiohttp, whose errors are plain text.
 */
export const tenantbase: Dialect = {
  name: 'tenantbase',
  tag: {
    name: 'tenantbase',
    description:
      'TenantBase: values under keys of the collection `cache`, for any origin where it is `--dialect`',
  },
  anyOrigin: true,
  refuse: ({ status, detail }, headers) => textResponse(`${status}: ${detail}`, status, headers),
  routes: (db) => [
    {
      method: 'POST',
      path: '/set-value',
      access: 'write',
      summary: 'Stores a value under a key',
      docs: {
        body: {
          content: {
            'application/json': {
              schema: { type: 'object', required: ['key', 'value'], properties: { key: {}, value: {} } },
              example: { key: 'code', value: 'test' },
            },
          },
        },
        responses: { 200: textDocs('It is stored', '200: OK'), 400: noKey },
      },
      handle: (request, context) => setValue(db, request, context),
    },
    {
      method: 'GET',
      path: '/get-value',
      access: 'read',
      summary: 'The value of a key',
      docs: {
        description:
          'Where the server runs with `--dialect tenantbase`, the key may also come as a JSON body.',
        parameters: [keyParameter],
        responses: valueResponses,
      },
      handle: (request, context) => getValue(db, request, context),
    },
    {
      method: 'POST',
      path: '/get-value',
      access: 'read',
      summary: 'As GET, for clients that can send no body with that',
      docs: { body: keyBody, responses: valueResponses },
      handle: (request, context) => getValue(db, request, context),
    },
    {
      method: 'DELETE',
      path: '/delete-value',
      access: 'write',
      summary: 'Deletes a key',
      docs: {
        parameters: [keyParameter],
        body: keyBody,
        responses: { 204: { description: 'There is none any more' }, 400: noKey },
      },
      async handle(request, context) {
        context.wrote(await db.delete(collection, await keyOf(request, context)))
        return responseOf(204)
      },
    },
    {
      method: 'GET',
      path: '/get-values',
      access: 'read',
      summary: 'All keys with their values',
      docs: {
        responses: {
          200: jsonDocs('Each with an id of its own', {
            value: [{ id: exampleId, key: 'code', value: 'test' }],
          }),
        },
      },
      handle: (_request, context) =>
        listResponse(
          (memory) => db.all(collection, wholeCollection, memory),
          entryJson,
          ['{"value":[', ']}'],
          context,
        ),
    },
    {
      method: 'GET',
      path: '/health-check',
      access: 'open',
      summary: 'The service is up',
      docs: { responses: { 200: textDocs('It is', 'service is up and running') } },
      handle: () => textResponse('service is up and running', 200),
    },
    ...['/set-value', '/get-value', '/delete-value', '/get-values', '/health-check'].map(preflightRoute),
  ],
}

const exampleId = '1cf93550-8eb4-5c32-a229-826cf8c1be59'
const noKey: ResponseDocs = textDocs(
  'No key, no value, or no JSON',
  '400: You have not specified key and value',
)
const keyParameter: Parameter = {
  in: 'query',
  name: 'key',
  description: 'The key',
  schema: { type: 'string' },
}
const valueResponses = {
  200: jsonDocs('The value', { value: 'test' }),
  400: noKey,
  404: jsonDocs('There is none', { value: null }),
}
const keyBody: Body = {
  content: { 'application/json': { schema: { type: 'object' }, example: { key: 'code' } } },
}

/** Returns the route of a preflight, which a browser sends before a request from another origin, without the token. */
function preflightRoute(path: string): Route {
  return {
    method: 'OPTIONS',
    path,
    access: 'open',
    summary: 'What other origins may do here',
    docs: { responses: { 204: { description: 'All of it' } } },
    handle: () => responseOf(204, preflight),
  }
}

function textResponse(text: string, status: number, fields: Fields = {}): HttpResponse {
  return responseOf(status, { 'Content-Type': 'text/plain; charset=utf-8', ...fields }, text)
}

function textDocs(description: string, example: string): ResponseDocs {
  return { description, content: { 'text/plain': { schema: { type: 'string' }, example } } }
}

async function setValue(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const text = await jsonBody(request, context, maxBatchBytes)
  const key = keyText(rawMember(text, 'key'))
  const value = rawMember(text, 'value')
  if (key === undefined || value === undefined) {
    throw new KvistError('invalid_request', 'You have not specified key and value')
  }
  if (Buffer.byteLength(value) > maxValueBytes) {
    throw new KvistError('too_large', `the value has more than ${maxValueBytes} bytes`)
  }
  const content = { value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
  context.wrote((await db.put(collection, parseKey(key), content)).revision)
  return textResponse('200: OK', 200)
}

async function getValue(db: Store, request: HttpRequest, context: RequestContext): Promise<HttpResponse> {
  const key = await keyOf(request, context)
  const member = await getShown(db, { collection, key }, context)
  if (member === null) return jsonResponse('{"value":null}', 404)
  return jsonResponse(`{"value":${valueJson(member.value)}}`)
}

/**
 * Returns the key from the query or the body. The original documentation calls it `key`; the program itself read
 * `value`.
 */
async function keyOf(request: HttpRequest, context: RequestContext): Promise<string> {
  const inQuery = queryParameter(request, 'key')
  if (inQuery !== undefined) return parseKey(inQuery)
  const bytes = await readBody(request, maxValueBytes, context)
  const text = bytes.length === 0 ? '{}' : jsonText(bytes)
  const key = keyText(rawMember(text, 'key')) ?? keyText(rawMember(text, 'value'))
  if (key === undefined) throw new KvistError('invalid_request', 'You have not specified key')
  return parseKey(key)
}

/** Serializes an entry. Its id is derived from the key, so it never changes. */
function entryJson({ key, value }: Member): string {
  const id = Bun.randomUUIDv5(key, idNamespace)
  return `{"id":"${id}","key":${JSON.stringify(key)},"value":${valueJson(value)}}`
}

const idNamespace = 'c1a1d0a5-7f0e-5a53-9d55-3c1c3f2f6a37'
