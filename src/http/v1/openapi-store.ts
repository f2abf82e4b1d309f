import { defaultPageCollections, maxPageMembers, maxWaitMs } from '../../core/limits.ts'
import type { OperationDocs } from '../operation.ts'
import {
  changeExample,
  eventsContent,
  idempotencyKey,
  json,
  onKeys,
  pageLimit,
  query,
  readFaults,
  storedExample,
  text,
  valueExample,
  watching,
  watchNote,
  writeFaults,
} from './openapi-parts.ts'
import { whereOfChanges } from './openapi-query.ts'
import * as requests from './request-schemas.ts'
import * as responses from './response-schemas.ts'
import * as parts from './schema-parts.ts'

/** Documentation of the paths of `/v1` for the whole store. */

export const listCollections: OperationDocs = {
  id: 'listCollections',
  description: 'By name. `next` is null on the last page.',
  parameters: [
    query('prefix', 'Collections whose names begin with this'),
    query('limit', 'Collections of a page', {
      type: 'integer',
      minimum: 1,
      maximum: maxPageMembers,
      default: defaultPageCollections,
    }),
    query('cursor', 'The `next` of the page before, with the same `prefix`'),
  ],
  responses: {
    200: {
      description: 'A page of collections',
      headers: { Link: { description: 'With `rel="next"`: the next page', schema: text } },
      content: {
        [json]: {
          schema: responses.collections,
          example: { collections: [{ name: 'books', members: 2, bytes: 71 }], next: null },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'invalid_cursor', ...readFaults],
}

export const postBatch: OperationDocs = {
  id: 'batch',
  description:
    'All of it happens, or nothing. A check names a member and the revision that it must have; the response names the first that fails, with the revision that there is. On a store of several lines (docs/cluster.md) one whose members are on more than one is refused with `unprocessable`; `together` groups them. With `"atomic": false` each operation is executed by itself, those on one member in their order, and `errors` names those that failed.',
  parameters: [idempotencyKey],
  body: {
    content: {
      [json]: {
        schema: requests.batch,
        example: {
          checks: [{ collection: 'books', key: 'dune', revision: 12 }],
          operations: [
            { op: 'put', collection: 'books', key: 'dune', value: valueExample },
            { op: 'increment', collection: 'counts', key: 'books', path: '/total', by: 1 },
            { op: 'delete', collection: 'wishes', key: 'dune' },
          ],
        },
      },
    },
  },
  responses: {
    200: {
      description: 'Committed',
      content: {
        [json]: {
          schema: responses.revisions,
          example: { revisions: [13, 14, 0], values: [null, 7, null] },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'conflict',
    'precondition_failed',
    'too_large',
    'unprocessable',
    'schema_violation',
    'not_unique',
    'quota_exceeded',
    ...writeFaults,
  ],
}

export const readMembers: OperationDocs = {
  id: 'readMembers',
  description:
    'All of them are of one moment: a batch that is committed meanwhile is in the response whole, or not at all. Values may come to 64 MiB together.',
  body: {
    content: {
      [json]: {
        schema: requests.read,
        example: {
          members: [
            { collection: 'books', key: 'dune' },
            { collection: 'books', key: 'none' },
          ],
        },
      },
    },
  },
  responses: {
    200: {
      description: 'The members, or null',
      content: {
        [json]: {
          schema: responses.readResult,
          example: { members: [{ ...storedExample, value: valueExample }, null] },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'too_large',
    ...readFaults,
  ],
}

export const getChanges: OperationDocs = {
  id: 'getChanges',
  description: `The latest state of every member that has changed, in the order of the changes, with tombstones of deleted and expired members. A page may be short, even empty, while there are more: at the end \`next\` is the \`since\` that was sent. ${watchNote} \`limit\` does not go with that.`,
  parameters: [
    query(
      'since',
      'The `next` of the page before; missing, of a page, or `0`: from the beginning; `now`, of a page: from the next change on',
    ),
    query(
      'wait',
      `How long a page that would be empty waits for a change: seconds, or with a unit; at most ${maxWaitMs / 60_000} minutes. The page then has \`at_end\`, whether nothing followed it, and \`node\`, the id of the store`,
    ),
    query('limit', 'Changes of a page', pageLimit),
    query(
      'include',
      '`all`: with `flags` and `origin`, so that another store can have every member exactly as it is here; `keys`, also of a stream: without values and their metadata',
      { type: 'string', enum: ['all', 'keys'] },
    ),
    query('collection', 'Of this collection alone', parts.collectionName),
    ...onKeys,
    whereOfChanges,
    ...watching.filter(({ name }) => name !== 'since'),
  ],
  responses: {
    200: {
      description: 'A page, or a stream',
      content: {
        [json]: { schema: responses.changes, example: { changes: [changeExample], next: 12 } },
        ...eventsContent,
      },
    },
  },
  problems: [
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'invalid_where',
    'invalid_cursor',
    'compacted',
    'unprocessable',
    ...readFaults,
  ],
}
