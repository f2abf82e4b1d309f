import { defaultPageVersions, maxPageVersions } from '../../core/limits.ts'
import { named, type OperationDocs, type Schema } from '../operation.ts'
import { collection, json, key, query, readFaults, text } from './openapi-parts.ts'
import * as parts from './schema-parts.ts'

/** Documentation of `/v1/_history/{collection}/{key}`. */

const time: Schema = { type: 'string', format: 'date-time' }
const count: Schema = { type: 'integer', minimum: 0 }

const version = named('ArchivedVersion', {
  type: 'object',
  required: ['revision', 'at', 'type'],
  properties: {
    revision: count,
    at: {
      type: ['string', 'null'],
      format: 'date-time',
      description:
        'When it was written; null for the version in the oldest base backup, which is older than that',
    },
    type: {
      enum: ['put', 'renew', 'delete', 'expire'],
      description: '`renew`: the member got another expiry and kept its version',
    },
    bytes: { ...count, description: 'Of the value; missing for removals, like what follows' },
    content_type: text,
    expires_at: { ...time, type: ['string', 'null'] },
    value: parts.anyJson,
    value_text: text,
    value_base64: text,
  },
})

const page = named('History', {
  type: 'object',
  required: ['versions', 'next'],
  properties: {
    versions: { type: 'array', items: version },
    next: { type: ['integer', 'null'], description: '`before` of the next page; null at the end' },
  },
})

export const getHistory: OperationDocs = {
  id: 'getHistory',
  description:
    'The versions that the archive of the server has, newest first. A server without `--archive` responds with 501.',
  parameters: [
    collection,
    key,
    query('before', 'Only versions before this revision: `next` of the page before', {
      type: 'integer',
      minimum: 1,
    }),
    query('limit', 'Versions on the page', {
      type: 'integer',
      minimum: 1,
      maximum: maxPageVersions,
      default: defaultPageVersions,
    }),
    query('include', '`values`: with the values; a page ends before 16 MiB of them', {
      enum: ['metadata', 'values'],
      default: 'metadata',
    }),
  ],
  responses: {
    200: {
      description: 'A page of versions',
      content: {
        [json]: {
          schema: page,
          example: {
            versions: [
              { revision: 19, at: '2026-06-01T12:05:00.000Z', type: 'delete' },
              {
                revision: 12,
                at: '2026-06-01T12:00:00.000Z',
                type: 'put',
                bytes: 28,
                content_type: 'application/json',
                expires_at: null,
              },
            ],
            next: null,
          },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'key_too_long',
    'not_implemented',
    'busy',
    'storage_full',
    ...readFaults,
  ],
}
