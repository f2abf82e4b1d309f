import {
  maxCollectionBytes,
  maxKeyBytes,
  maxPatchOperations,
  maxProcesses,
  maxReadMembers,
} from '../../core/limits.ts'
import { named, type Schema } from '../operation.ts'

/** The shapes of `/v1` as the API's document has them; shapes.ts writes them. */

const time: Schema = { type: 'string', format: 'date-time', examples: ['2030-01-31T12:00:00.000Z'] }

export const collectionName: Schema = {
  type: 'string',
  minLength: 1,
  maxLength: maxCollectionBytes,
  examples: ['books'],
}

export const key: Schema = { type: 'string', minLength: 1, maxLength: maxKeyBytes, examples: ['dune'] }

export const anyJson: Schema = { description: 'Any JSON, byte for byte as it was sent' }

const expiresAt: Schema = {
  ...time,
  type: ['string', 'null'],
  description: 'When the member will be gone; null for never',
}

const revision: Schema = {
  type: 'integer',
  minimum: 1,
  description: 'Grows with every change in the store; as an ETag it stands in quotes',
}

const metadata = {
  revision,
  created_at: time,
  updated_at: time,
  expires_at: expiresAt,
  content_type: { type: 'string', examples: ['application/json'] },
}

export const stored = named('Stored', {
  type: 'object',
  description: 'What is known of a member that was stored: all but its value',
  required: ['key', ...Object.keys(metadata)],
  properties: { key, ...metadata },
})

export const patched = named('Patched', {
  ...stored,
  description:
    'What is known of a member that was stored; after an increment with the number that it came to',
  properties: {
    ...(stored.properties as object),
    value: { type: ['number', 'null'], description: 'Of an increment alone' },
  },
})

const origin = named('Origin', {
  type: 'object',
  description:
    'With `include=all`: where and when this was written. The larger clock is newer, of equal ones the larger node',
  required: ['node', 'clock'],
  properties: {
    node: { type: 'string', description: 'The id of a node' },
    clock: { type: 'integer', minimum: 1, description: 'Milliseconds * 2048 + a counter' },
  },
})

const member = named('Member', {
  type: 'object',
  description:
    'With `include=keys` the key alone; with `include=values` also the value, and of the rest only what storing it again takes',
  required: ['key'],
  properties: {
    key,
    value: anyJson,
    value_text: {
      type: 'string',
      description: 'In place of `value`, of text: a type such as `text/plain`, in UTF-8',
    },
    value_base64: {
      type: 'string',
      contentEncoding: 'base64',
      description: 'In place of `value`, of other bytes that are not JSON',
    },
    ...metadata,
    flags: {
      type: 'integer',
      description: 'What memcached clients keep beside a value; with `include=values` unless it is 0',
    },
    origin,
  },
})

const prefix: Schema = {
  type: 'string',
  description: 'What the keys below it begin with, the delimiter at its end',
  examples: ['a/'],
}

export const listLine: Schema = {
  anyOf: [member, { type: 'object', required: ['prefix'], properties: { prefix } }],
}

export const page = named('Page', {
  type: 'object',
  required: ['members', 'next'],
  properties: {
    members: { type: 'array', items: member },
    prefixes: { type: 'array', items: prefix, description: 'With `delimiter`, in the order of the keys' },
    next: {
      type: ['string', 'null'],
      description: 'The `cursor` of the next page; null when this is the last',
    },
  },
})

const point: Schema = {
  type: ['integer', 'string'],
  description: 'Where a reader of the feed stands; opaque, to be given back as it is',
}

const change = named('Change', {
  type: 'object',
  description: 'The latest state of a member: with all there is of it, or that it is gone',
  required: ['revision', 'type', 'collection', 'key'],
  properties: {
    revision,
    type: { enum: ['put', 'delete', 'expire'] },
    collection: collectionName,
    key,
    value: anyJson,
    value_text: {
      type: 'string',
      description: 'In place of `value`, of text: a type such as `text/plain`, in UTF-8',
    },
    value_base64: {
      type: 'string',
      contentEncoding: 'base64',
      description: 'In place of `value`, of other bytes that are not JSON',
    },
    created_at: time,
    updated_at: time,
    expires_at: expiresAt,
    content_type: { type: 'string' },
    flags: { type: 'integer', description: 'With `include=all`: what memcached clients keep beside a value' },
    origin,
  },
})

export const changes = named('Changes', {
  type: 'object',
  required: ['changes', 'next'],
  properties: {
    changes: { type: 'array', items: change },
    next: { ...point, description: 'The `since` of the next page' },
  },
})

export const collections = named('Collections', {
  type: 'object',
  required: ['collections', 'next'],
  properties: {
    next: { type: ['string', 'null'], description: 'The `cursor` of the next page; null at the end' },
    collections: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name', 'members', 'bytes'],
        properties: {
          name: collectionName,
          members: { type: 'integer', minimum: 1 },
          bytes: { type: 'integer', minimum: 0, description: 'Of keys and values' },
        },
      },
    },
  },
})

export const deleted = named('Deleted', {
  type: 'object',
  required: ['deleted'],
  properties: { deleted: { type: 'integer', minimum: 0 } },
})

const expiryFields = {
  expire_in: {
    type: ['string', 'number'],
    description: 'How long the member lives: seconds, a duration, or `never`',
    examples: ['15m'],
  },
  expire_at: {
    type: ['string', 'number', 'null'],
    description: 'When it will be gone; null for never. Not together with `expire_in`',
    examples: ['2030-01-31T12:00:00Z'],
  },
  expires_at: {
    type: ['string', 'number', 'null'],
    description: 'The same as `expire_at`, as lists show it',
  },
}

/** One of the three, and the type of what it is. */
const contentFields = {
  value: anyJson,
  value_text: { type: 'string', description: 'Text, in place of `value`' },
  value_base64: { type: 'string', contentEncoding: 'base64', description: 'Bytes, in place of `value`' },
  content_type: {
    type: 'string',
    description: 'Left out: `application/json`, and of `value_text` plain text in UTF-8',
  },
}

export const bulkLine = named('BulkLine', {
  type: 'object',
  description:
    'A line of an import. What a list shows of a member beside these (`revision`, `created_at`, `updated_at`, `origin`) is passed over; other fields fail the line',
  required: ['key'],
  properties: {
    key,
    ...contentFields,
    ...expiryFields,
    flags: { type: 'integer', minimum: 0, maximum: 4_294_967_295 },
  },
})

export const bulkSummary = named('BulkSummary', {
  type: 'object',
  required: ['stored', 'failed'],
  properties: {
    stored: { type: 'integer', minimum: 0 },
    failed: {
      type: 'array',
      description: 'The lines that were not stored, the first thousand of them',
      items: {
        type: 'object',
        required: ['line', 'code', 'detail'],
        properties: {
          line: { type: 'integer', minimum: 1 },
          code: { type: 'string' },
          detail: { type: 'string' },
        },
      },
    },
    failed_more: { type: 'integer', minimum: 1, description: 'How many more lines were not stored' },
  },
})

const ofMember = { collection: collectionName, key }

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

export const revisions = named('Revisions', {
  type: 'object',
  required: ['revisions', 'values'],
  properties: {
    revisions: {
      type: 'array',
      description: 'One for each operation; 0 for a delete or touch of what was not there',
      items: { type: 'integer', minimum: 0 },
    },
    values: {
      type: 'array',
      description: 'One for each operation: the number that an increment came to, null for all else',
      items: { type: ['number', 'null'] },
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

export const readResult = named('ReadResult', {
  type: 'object',
  required: ['members'],
  properties: {
    members: {
      type: 'array',
      description: 'In the order of the question; null for what is not there',
      items: { oneOf: [member, { type: 'null' }] },
    },
  },
})

export const settings = named('Settings', {
  type: 'object',
  properties: {
    processes: {
      type: ['array', 'null'],
      description: 'What members go through before they are stored, in this order',
      items: { type: 'string' },
      maxItems: maxProcesses,
    },
    default_ttl: {
      type: ['number', 'string', 'null'],
      description: 'For members stored without an expiry: seconds; a duration such as `7d` may be sent',
    },
    sliding: {
      type: 'boolean',
      default: false,
      description: 'A member that expires and is read lives on for `default_ttl` from then; needs one',
    },
  },
})
