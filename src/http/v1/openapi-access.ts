import { capabilities } from '../../core/grants.ts'
import { maxGrants, maxSubjectBytes, maxTokenNameBytes } from '../../core/limits.ts'
import { named, type OperationDocs, type Schema } from '../operation.ts'
import { json, text, writeFaults } from './openapi-parts.ts'
import { time } from './schema-parts.ts'

/** Documentation of tokens and tickets. */

const grant = named('Grant', {
  type: 'object',
  additionalProperties: false,
  required: ['collections', 'can'],
  properties: {
    collections: {
      ...text,
      description:
        "A name, or a pattern of names with `*` and `?`; it never matches a collection of kvist's own",
    },
    key_prefix: { ...text, description: 'Only for keys that begin with this' },
    can: {
      type: 'array',
      minItems: 1,
      items: { enum: [...capabilities] },
      description:
        '`read`: get, list, watch, changes. `write`: put, patch, delete, batch, import. `admin`: settings and drops; on `*` also tokens. `replicate`: exchange changes as a node does',
    },
  },
})

const nullableTime: Schema = { ...time, type: ['string', 'null'] }
const grants: Schema = { type: 'array', minItems: 1, maxItems: maxGrants, items: grant }
const subject: Schema = {
  ...text,
  maxLength: maxSubjectBytes,
  description:
    'The subject of client certificates that stand for the token, as RFC 2253 writes it: `CN=app,O=Acme`. Such a token has no secret',
}
const rateLimit: Schema = {
  ...text,
  description: 'Requests of this token, in place of `--rate-limit`: `50/s`, or `50/s:100` with bursts',
}
const tokenProperties = {
  id: text,
  name: { ...text, maxLength: maxTokenNameBytes },
  grants,
  created_at: time,
  expires_at: nullableTime,
  last_used_at: { ...nullableTime, description: 'To the hour' },
}

const token = named('Token', {
  type: 'object',
  required: Object.keys(tokenProperties),
  properties: { ...tokenProperties, subject, rate_limit: rateLimit },
})

const newToken = named('NewToken', {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'grants'],
  properties: {
    name: tokenProperties.name,
    grants,
    expires_in: {
      type: ['string', 'number', 'null'],
      description: 'Seconds, or a text such as `90d`; null for never',
    },
    subject,
    rate_limit: { ...rateLimit, type: ['string', 'null'] },
  },
})

const grantsExample = [{ collections: 'users', key_prefix: 't1/', can: ['read', 'write'] }]
const tokenExample = {
  id: 'k3v9x2m7q1ab',
  name: 'app',
  grants: grantsExample,
  created_at: '2026-01-01T00:00:00Z',
  expires_at: '2026-04-01T00:00:00Z',
  last_used_at: null,
}

export const whoami: OperationDocs = {
  id: 'whoami',
  responses: {
    200: {
      description: 'The name of the token, what it grants, and when it expires',
      content: {
        [json]: {
          schema: {
            type: 'object',
            required: ['name', 'grants', 'expires_at'],
            properties: { name: text, grants, rate_limit: rateLimit, expires_at: nullableTime },
          },
          example: { name: 'app', grants: grantsExample, expires_at: null },
        },
      },
    },
  },
  problems: ['invalid_parameter'],
}

export const postTicket: OperationDocs = {
  id: 'createTicket',
  description:
    'For clients that cannot send headers, such as EventSource and links to downloads. The ticket stands for the token of this request in one GET of this path, within a minute: `GET /v1/users?ticket=…`.',
  body: {
    content: {
      [json]: {
        schema: {
          type: 'object',
          additionalProperties: false,
          required: ['path'],
          properties: { path: { ...text, description: 'As it will be sent, without a query' } },
        },
        example: { path: '/v1/users' },
      },
    },
  },
  responses: {
    201: {
      description: 'The ticket',
      content: {
        [json]: {
          schema: {
            type: 'object',
            required: ['ticket', 'expires_at'],
            properties: { ticket: text, expires_at: time },
          },
          example: { ticket: 'kO5v…', expires_at: '2026-01-01T00:01:00Z' },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_parameter',
    'too_large',
    'unsupported_media_type',
    'busy',
  ],
}

export const listTokens: OperationDocs = {
  id: 'listTokens',
  responses: {
    200: {
      description: 'All tokens, the oldest first',
      content: {
        [json]: {
          schema: {
            type: 'object',
            required: ['tokens'],
            properties: { tokens: { type: 'array', items: token } },
          },
          example: { tokens: [tokenExample] },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'forbidden'],
}

export const postToken: OperationDocs = {
  id: 'createToken',
  description:
    'The response is the only one that shows the token: kvist keeps a hash of it. A client that may create tokens may do everything, as it can create one that may.',
  body: {
    content: {
      [json]: { schema: newToken, example: { name: 'app', grants: grantsExample, expires_in: '90d' } },
    },
  },
  responses: {
    201: {
      description: 'The token',
      headers: { Location: { description: 'Of the token, for DELETE', schema: text } },
      content: {
        [json]: {
          schema: named('CreatedToken', {
            ...token,
            properties: {
              ...tokenProperties,
              subject,
              rate_limit: rateLimit,
              token: { ...text, description: '`kvist_<id>_<secret>`; missing where a subject was given' },
            },
          }),
          example: { token: `kvist_k3v9x2m7q1ab_…`, ...tokenExample },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_parameter',
    'forbidden',
    'too_large',
    'unsupported_media_type',
    'unprocessable',
    'conflict',
    ...writeFaults,
  ],
}

export const deleteToken: OperationDocs = {
  id: 'revokeToken',
  description: 'Requests that use it are refused from now on, and streams that it opened end.',
  parameters: [
    { in: 'path', name: 'id', description: 'The id of a token', schema: text, example: 'k3v9x2m7q1ab' },
  ],
  responses: { 204: { description: 'The token is revoked' } },
  problems: ['invalid_parameter', 'forbidden', 'not_found', ...writeFaults],
}
