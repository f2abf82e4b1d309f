import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { maxValueBytes } from '../../core/limits.ts'
import { jsonContentType } from '../../core/member.ts'
import type { Parameter, ResponseDocs } from '../operation.ts'
import { jsonResponse, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { Dialect } from './dialect.ts'
import { queryParameter } from './request.ts'
import { getShown, jsonDocs, valueText } from './response.ts'

const collection = 'keys'
/** FastAPI's message for a missing parameter. */
const isMissing = 'field required'
const greeting = { message: 'Hello!' }

/** The dialect of Reforg: text under keys, both in the query. It ran on FastAPI, whose error format it copies. */
export const reforg: Dialect = {
  name: 'reforg',
  tag: { name: 'reforg', description: 'Reforg: text under keys of the collection `keys`' },
  refuse({ status, code, detail, parameter }, headers) {
    const isInvalid = code === 'invalid_parameter' || code === 'invalid_key'
    const type = detail === isMissing ? 'value_error.missing' : 'value_error'
    const shown = isInvalid ? [{ loc: ['query', parameter ?? 'key'], msg: detail, type }] : detail
    return jsonResponse(JSON.stringify({ detail: shown }), isInvalid ? 422 : status, headers)
  },
  routes: (db) => [
    {
      method: 'GET',
      path: '/api/v1/keys',
      access: 'read',
      summary: 'The value of a key',
      docs: {
        parameters: [parameter('key')],
        responses: {
          200: jsonDocs('The value, as text', { key: 'a', value: 'b' }),
          404: jsonDocs('There is none', null),
          422: unprocessable,
        },
      },
      async handle(request, context) {
        const key = parseKey(required(request, 'key'))
        const member = await getShown(db, { collection, key }, context)
        if (member === null) return jsonResponse('null', 404)
        return jsonResponse(JSON.stringify({ key, value: valueText(member.value) }))
      },
    },
    {
      method: 'PUT',
      path: '/api/v1/keys',
      access: 'write',
      summary: 'Stores a value under a key',
      docs: {
        parameters: [parameter('key'), parameter('value')],
        responses: { 200: jsonDocs('It is stored', null), 422: unprocessable },
      },
      async handle(request, context) {
        const key = parseKey(required(request, 'key'))
        const value = JSON.stringify(required(request, 'value'))
        if (Buffer.byteLength(value) > maxValueBytes) {
          throw new KvistError('too_large', `the value has more than ${maxValueBytes} bytes`)
        }
        const content = { value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
        context.wrote((await db.put(collection, key, content)).revision)
        return jsonResponse('null')
      },
    },
    {
      method: 'GET',
      path: '/docs',
      access: 'open',
      summary: 'The page of the API',
      docs: { responses: { 307: { description: 'It is that of all of kvist' } } },
      handle: () => responseOf(307, { Location: '/docs' }),
    },
  ],
  rootRoutes: [
    {
      method: 'GET',
      path: '/',
      access: 'open',
      isPage: true,
      summary: 'A greeting',
      docs: { responses: { 200: jsonDocs('It is there', greeting) } },
      handle: () => jsonResponse(JSON.stringify(greeting)),
    },
  ],
}

const unprocessable: ResponseDocs = jsonDocs('A parameter is missing', {
  detail: [{ loc: ['query', 'key'], msg: isMissing, type: 'value_error.missing' }],
})

function parameter(name: string): Parameter {
  return { in: 'query', name, description: 'Text', schema: { type: 'string' }, required: true }
}

function required(request: HttpRequest, name: string): string {
  const given = queryParameter(request, name)
  if (given === undefined) throw new KvistError('invalid_parameter', isMissing, { parameter: name })
  return given
}
