import {
  defaultNamedMembers,
  defaultPageMembers,
  maxNamedMembers,
  maxPageMembers,
  maxPatchOperations,
  maxReadMembers,
} from '../../core/limits.ts'
import { named } from '../operation.ts'
import {
  anyJson,
  collectionName,
  contentFields,
  expiryFields,
  key,
  ofMember,
  revision,
} from './schema-parts.ts'

/** The schemas of requests to `/v1`. */

export const bulkLine = named('BulkLine', {
  type: 'object',
  description:
    'A line of an import. What a list shows of a member beside these (`revision`, `created_at`, `updated_at`, `origin`) is passed over; other fields fail the line',
  required: ['key'],
  properties: {
    key,
    ...contentFields,
    ...expiryFields,
  },
})

const whatGrows = {
  path: {
    type: 'string',
    format: 'json-pointer',
    default: '',
    description: 'JSON pointer to the number; empty for the value itself',
  },
  by: { type: 'number', default: 1 },
  if_created: {
    type: 'object',
    additionalProperties: false,
    description: 'The expiry of the member, if it is the increment that makes it',
    properties: expiryFields,
  },
}

export const batch = named('Batch', {
  type: 'object',
  additionalProperties: false,
  properties: {
    atomic: {
      type: 'boolean',
      default: true,
      description: 'false: each operation is executed by itself; without checks and without Idempotency-Key',
    },
    checks: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['collection', 'key', 'revision'],
        properties: {
          ...ofMember,
          revision: {
            ...revision,
            type: ['integer', 'null'],
            description: 'null: the member must not exist',
          },
        },
      },
    },
    operations: {
      type: 'array',
      items: {
        oneOf: [
          {
            type: 'object',
            title: 'put',
            additionalProperties: false,
            required: ['op', 'collection', 'key'],
            properties: { op: { const: 'put' }, ...ofMember, ...contentFields, ...expiryFields },
          },
          {
            type: 'object',
            title: 'delete',
            additionalProperties: false,
            required: ['op', 'collection', 'key'],
            properties: { op: { const: 'delete' }, ...ofMember },
          },
          {
            type: 'object',
            title: 'touch',
            description: 'Changes the expiry, and nothing else: the revision stays',
            additionalProperties: false,
            required: ['op', 'collection', 'key'],
            properties: { op: { const: 'touch' }, ...ofMember, ...expiryFields },
          },
          {
            type: 'object',
            title: 'increment',
            additionalProperties: false,
            required: ['op', 'collection', 'key'],
            properties: {
              op: { const: 'increment' },
              ...ofMember,
              ...whatGrows,
            },
          },
        ],
      },
    },
  },
})

export const increment = named('Increment', {
  type: 'object',
  additionalProperties: false,
  properties: whatGrows,
})

export const jsonPatch = named('JsonPatch', {
  type: 'array',
  description: 'All operations or none, in their order',
  maxItems: maxPatchOperations,
  items: {
    type: 'object',
    required: ['op', 'path'],
    properties: {
      op: { enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] },
      path: { type: 'string', format: 'json-pointer' },
      from: { type: 'string', format: 'json-pointer', description: 'Of `move` and `copy`' },
      value: { ...anyJson, description: 'Any JSON, of `add`, `replace` and `test`' },
    },
  },
})

export const read = named('Read', {
  type: 'object',
  additionalProperties: false,
  required: ['members'],
  properties: {
    members: {
      type: 'array',
      maxItems: maxReadMembers,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['collection', 'key'],
        properties: ofMember,
      },
    },
  },
})

const textOrTexts = {
  oneOf: [{ type: 'string' }, { type: 'array', minItems: 1, items: { type: 'string' } }],
}

function textOrNull(description: string) {
  return { type: ['string', 'null'], description }
}

export const query = named('Query', {
  type: 'object',
  description: 'The parameters of `GET /v1/{collection}`; null is as good as left out',
  additionalProperties: false,
  required: ['collection'],
  properties: {
    collection: collectionName,
    where: textOrNull('A filter on values'),
    order: {
      ...textOrTexts,
      description: '`asc`, `desc`, or fields: `"-@.year,@.title"`, or a list of them',
    },
    fields: { ...textOrTexts, description: 'The fields to show: `"@.title,@.year"`, or a list of them' },
    limit: { type: 'integer', minimum: 1, maximum: maxPageMembers, default: defaultPageMembers },
    cursor: textOrNull('The `next` of the page before'),
    count: { type: 'boolean', default: false },
    explain: { type: 'boolean', default: false },
    prefix: textOrNull('Keys that begin so'),
    filter: textOrNull('Keys that match'),
    match: textOrNull('Members with a top-level value that matches'),
    from: textOrNull('Keys from this one on'),
    to: textOrNull('Keys before this one'),
    include: { enum: ['all', 'values', 'keys', null] },
  },
})

export const membersCheck = named('MembersCheck', {
  type: 'object',
  additionalProperties: false,
  properties: {
    schema: {
      type: ['object', 'boolean', 'null'],
      description: 'A JSON Schema (2020-12); left out or null for the one that is set',
    },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: maxNamedMembers,
      default: defaultNamedMembers,
      description: 'How many members that break the schema are named',
    },
    cursor: { type: ['string', 'null'], description: '`next` of the response before' },
  },
})
