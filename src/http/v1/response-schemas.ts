import {
  maxIndexes,
  maxIndexFields,
  maxIndexNameBytes,
  maxProcesses,
  maxQuotaBytes,
  maxQuotaMembers,
  maxValueBytes,
} from '../../core/limits.ts'
import { named, type Schema } from '../operation.ts'
import { collectionName, expiresAt, key, revision, shownValue, time } from './schema-parts.ts'

/** The schemas of responses of `/v1`; serializers.ts writes them. */

const metadata = {
  revision,
  created_at: time,
  updated_at: time,
  expires_at: expiresAt,
  content_type: { type: 'string', examples: ['application/json'] },
}

export const stored = named('Stored', {
  type: 'object',
  description: 'The metadata of a stored member: all but its value',
  required: ['key', ...Object.keys(metadata)],
  properties: { key, ...metadata },
})

export const patched = named('Patched', {
  ...stored,
  description:
    'What is known of a member that was stored; after an increment with the number that it came to',
  properties: {
    ...(stored.properties as object),
    value: { type: ['number', 'null'], description: 'The result of an increment only' },
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
    ...shownValue,
    ...metadata,
    flags: {
      type: 'integer',
      description: 'The flags of memcached clients; with `include=values` unless 0',
    },
    origin,
  },
})

const prefix: Schema = {
  type: 'string',
  description: 'The common beginning of keys, with the delimiter at its end',
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
    complete: {
      type: 'boolean',
      description:
        'Of what is found by value: false if the limit of examined members ended the page or the count before the end',
    },
    count: {
      type: 'integer',
      minimum: 0,
      description: 'With `count`: all that match, on whatever page; at least so many if not complete',
    },
    explain: {
      type: 'object',
      description: 'With `explain`: how the page was found',
      required: ['index', 'examined', 'returned', 'sorted_in_memory'],
      properties: {
        index: { type: ['string', 'null'], description: 'The index that served; null for none' },
        examined: { type: 'integer', minimum: 0, description: 'Members that were read for it' },
        returned: { type: 'integer', minimum: 0 },
        sorted_in_memory: { type: 'boolean', description: 'No index gave the order' },
      },
    },
  },
})

const point: Schema = {
  type: ['integer', 'string'],
  description: 'A resume point in the feed: opaque; send it back unchanged',
}

const change = named('Change', {
  type: 'object',
  description: 'The latest state of a member, or its tombstone',
  required: ['revision', 'type', 'collection', 'key'],
  properties: {
    revision,
    type: {
      enum: ['put', 'delete', 'expire', 'leave'],
      description: '`leave`: put, and does not match `where`',
    },
    collection: collectionName,
    key,
    ...shownValue,
    created_at: time,
    updated_at: time,
    expires_at: expiresAt,
    content_type: { type: 'string' },
    flags: { type: 'integer', description: 'With `include=all`: the flags of memcached clients' },
    origin,
  },
})

export const changes = named('Changes', {
  type: 'object',
  required: ['changes', 'next'],
  properties: {
    changes: { type: 'array', items: change },
    next: { ...point, description: 'The `since` of the next page' },
    at_end: { type: 'boolean', description: 'With `wait`: whether nothing followed the page' },
    node: { type: 'string', description: 'With `wait`: the id of the store among nodes' },
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

/** The fields of a summary that name lines which could not be stored. */
export const lineFailures = {
  failed: {
    type: 'array',
    description: 'The lines that were not stored, at most 1,000',
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
  failed_more: {
    type: 'integer',
    minimum: 1,
    description: 'The number of further lines that were not stored',
  },
}

export const bulkSummary = named('BulkSummary', {
  type: 'object',
  required: ['stored', 'failed'],
  properties: {
    stored: { type: 'integer', minimum: 0 },
    ...lineFailures,
  },
})

export const revisions = named('Revisions', {
  type: 'object',
  required: ['revisions', 'values'],
  properties: {
    revisions: {
      type: 'array',
      description:
        'One for each operation; 0 for a delete or touch of a missing member; null for one that failed, which only `"atomic": false` allows',
      items: { type: ['integer', 'null'], minimum: 0 },
    },
    values: {
      type: 'array',
      description: 'One for each operation: the result of an increment, null for all others',
      items: { type: ['number', 'null'] },
    },
    errors: {
      type: 'array',
      description: 'With `"atomic": false` the operations that failed',
      items: {
        type: 'object',
        required: ['index', 'code', 'detail'],
        properties: {
          index: { type: 'integer', minimum: 0, description: 'Of the operation, from 0' },
          code: { type: 'string' },
          detail: { type: 'string' },
        },
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
      description: 'In the order of the request; null for a missing member',
      items: { oneOf: [member, { type: 'null' }] },
    },
  },
})

export const settings = named('Settings', {
  type: 'object',
  properties: {
    processes: {
      type: ['array', 'null'],
      description: 'Processes that transform members before they are stored, in this order',
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
      description: 'Reads renew the expiry to `default_ttl` from then on; needs a `default_ttl`',
    },
    schema: {
      type: ['object', 'boolean', 'null'],
      description: 'A JSON Schema (2020-12), of at most 64 KiB, that values must match when they are written',
    },
    max_members: {
      type: ['integer', 'null'],
      minimum: 1,
      maximum: maxQuotaMembers,
      description: 'The number of members that the collection may have',
    },
    max_bytes: {
      type: ['integer', 'string', 'null'],
      minimum: 1,
      maximum: maxQuotaBytes,
      description: 'The bytes of all keys and values together; a size such as `64MiB` may be sent',
    },
    max_value_bytes: {
      type: ['integer', 'string', 'null'],
      minimum: 1,
      maximum: maxValueBytes,
      description: 'The bytes of each value; a size such as `64KiB` may be sent',
    },
    indexes: {
      type: 'array',
      maxItems: maxIndexes,
      description: 'What orders the members by their values',
      items: {
        type: 'object',
        required: ['name', 'on'],
        properties: {
          name: { type: 'string', pattern: '^[A-Za-z0-9_-]+$', maxLength: maxIndexNameBytes },
          on: {
            type: 'array',
            items: { type: 'string' },
            minItems: 1,
            maxItems: maxIndexFields,
            description: 'Fields, each a JSONPath query for a single value such as `@.country`',
          },
          unique: {
            type: 'boolean',
            default: false,
            description: 'No two members may have the same values in all of the fields',
          },
          state: {
            type: 'string',
            enum: ['building', 'ready', 'failed'],
            description:
              '`failed`: members have the same values. Delete one of them, and send the settings again',
          },
          examined: { type: 'integer', description: 'Members that the build has examined' },
          failure: { type: 'string', description: 'Why it failed' },
        },
      },
    },
  },
})

export const checkedMembers = named('CheckedMembers', {
  type: 'object',
  required: ['checked', 'broken', 'complete', 'next'],
  properties: {
    checked: { type: 'integer', minimum: 0, description: 'Members that this request checked' },
    broken: {
      type: 'array',
      items: {
        type: 'object',
        required: ['key', 'violations'],
        properties: {
          key,
          violations: {
            type: 'array',
            description: 'The first 20',
            items: {
              type: 'object',
              required: ['pointer', 'reason', 'keyword'],
              properties: {
                pointer: { type: 'string', description: 'JSON pointer to the part of the value' },
                reason: { type: 'string' },
                keyword: {
                  type: 'string',
                  description: 'Of the schema; `json` for a value that is not JSON',
                },
              },
            },
          },
        },
      },
    },
    complete: { type: 'boolean', description: 'Every member has been checked' },
    next: { type: ['string', 'null'], description: 'The `cursor` of the next request' },
  },
})
