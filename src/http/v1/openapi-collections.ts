import type { HeaderDocs, OperationDocs, Parameter, ResponseDocs } from '../operation.ts'
import {
  collection,
  etag,
  eventsContent,
  expiry,
  header,
  idempotencyKey,
  json,
  ndjson,
  pageLimit,
  query,
  readFaults,
  selection,
  storedExample,
  text,
  value,
  valueExample,
  valueFaults,
  watching,
  watchNote,
  writeFaults,
} from './openapi-parts.ts'
import { finding, findNote, order, where } from './openapi-query.ts'
import * as requests from './request-schemas.ts'
import * as responses from './response-schemas.ts'

/** Documentation of `/v1/{collection}` and of the settings of collections. */

const listTag: HeaderDocs = {
  description:
    'Changes with every change in the collection, whatever of it is listed; missing while something expires',
  schema: text,
}

export const listMembers: OperationDocs = {
  id: 'listMembers',
  description: `By key. A page may be short, even empty, while there are more: \`next\` is null at the end. With \`Accept: ${ndjson}\`, or one of its other names \`application/ndjson\` and \`application/jsonl\`, all of them stream, a member a line, in constant memory; \`cursor\` does not go with that, and \`limit\` has no upper end; with \`delimiter\` a prefix is a line \`{"prefix": …}\` in its place among them. A limit counts members and prefixes together; \`delimiter\` does not go with what finds by value. ${findNote} ${watchNote} Only \`prefix\`, \`filter\` and \`where\` go with it.`,
  parameters: [
    collection,
    ...selection,
    query(
      'delimiter',
      'List one level: keys that contain this text after the prefix are listed by their common beginning up to it, in `prefixes`',
    ),
    order,
    ...finding,
    query('limit', 'Members of a page', pageLimit),
    query(
      'cursor',
      'The `next` of the page before, with the parameters of that page; only `limit` and `include` may change',
    ),
    query(
      'include',
      'What to show of each member: `keys` alone; `values`, and of the rest what storing it again takes; `all`, with `flags` and `origin`, so that another store can have it exactly as it is here. Left out: the value and its metadata',
      { type: 'string', enum: ['all', 'values', 'keys'] },
    ),
    header(
      'If-None-Match',
      'Respond with 304 if nothing in the collection has changed since a list of this URL had this tag',
    ),
    ...watching,
  ],
  responses: {
    304: { description: 'Nothing in the collection has changed', headers: { ETag: listTag } },
    200: {
      description: 'A page, or everything',
      headers: {
        ETag: listTag,
        Link: { description: 'With `rel="next"`: the next page', schema: text },
      },
      content: {
        [json]: {
          schema: responses.page,
          example: { members: [{ ...storedExample, value: valueExample }], next: null },
        },
        [ndjson]: { schema: responses.listLine },
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
    'no_index',
    'unprocessable',
    ...readFaults,
  ],
}

export const postMembers: OperationDocs = {
  id: 'addMember',
  description: `A value is stored under an id that grows with time (UUIDv7). NDJSON (\`${ndjson}\`, \`application/ndjson\`, \`application/jsonl\`) is an import: a member a line, as a list shows it, of any length, with or without a \`Content-Encoding\` of gzip, br, zstd or deflate, in constant memory; a bad line is named in the summary and stops no other. \`expire_in\` and \`expire_at\` are for a single value.`,
  parameters: [collection, ...expiry, idempotencyKey],
  body: {
    ...value,
    content: {
      [json]: value.content[json]!,
      [ndjson]: {
        schema: requests.bulkLine,
        example: { key: 'dune', value: valueExample, expire_in: '7d' },
      },
      '*/*': value.content['*/*']!,
    },
  },
  responses: {
    200: {
      description: 'The summary of the import',
      content: {
        [json]: {
          schema: responses.bulkSummary,
          example: { stored: 2, failed: [{ line: 3, code: 'invalid_json', detail: 'the line is not JSON' }] },
        },
      },
    },
    201: {
      description: 'Stored',
      headers: { Location: { description: 'The URL of the member', schema: text }, ETag: etag },
      content: { [json]: { schema: responses.stored, example: storedExample } },
    },
  },
  problems: ['invalid_collection', 'invalid_parameter', ...valueFaults, ...writeFaults],
}

export const dropMembers: OperationDocs = {
  id: 'dropMembers',
  description:
    'All that was written before now, or what of it the parameters select; an empty one is refused, for it would select everything. Each member goes by itself.',
  parameters: [collection, ...selection, where],
  responses: {
    200: {
      description: 'The number of deleted members',
      content: { [json]: { schema: responses.deleted, example: { deleted: 2 } } },
    },
  },
  problems: [
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'invalid_where',
    'unprocessable',
    ...writeFaults,
  ],
}

const settingsExample = {
  processes: ['detect-language', 'mark'],
  default_ttl: 604800,
  sliding: false,
  schema: { type: 'object', required: ['title'], properties: { title: { type: 'string' } } },
  max_members: 100_000,
  max_bytes: 67_108_864,
  max_value_bytes: null,
  indexes: [
    {
      name: 'by_country',
      on: ['@.country', '@.population'],
      unique: false,
      state: 'building',
      examined: 25_600,
    },
  ],
}

const settingsResponse: ResponseDocs = {
  description: 'The settings; null for one that is not set',
  headers: {
    ETag: {
      ...etag,
      description:
        'The revision of the settings, in quotes, for `If-Match`; it stays while indexes are built. Missing if none are stored',
    },
  },
  content: { [json]: { schema: responses.settings, example: settingsExample } },
}

const settingsConditions: readonly Parameter[] = [
  header(
    'If-Match',
    'Only if the settings have one of these revisions (`"12"`), so that two that read, change and put them do not undo each other; `*`: only if some are stored',
  ),
  header('If-None-Match', 'Only if they have none of them; `*`: only if none are stored'),
]

export const getSettings: OperationDocs = {
  id: 'getSettings',
  parameters: [collection],
  responses: { 200: settingsResponse },
  problems: ['invalid_collection', 'invalid_parameter'],
}

export const putSettings: OperationDocs = {
  id: 'putSettings',
  description:
    'All of them: what is left out is as if it had never been set. They apply to what is written from now on. A write that would make the collection or a value grow past a quota is refused as `quota_exceeded`; deletes and writes that do not grow are done, also above it. A value that breaks the `schema` is refused as `schema_violation`; members that exist are not checked. A process can be named when the server has it; files of processes are named in its configuration only, and settings that stand there cannot be changed here. An index that is new here is built in the background, and one that is left out is deleted; what a response says of an index beside its definition is ignored. While a unique index is kept, a write that would give a member the values of another one is refused as `not_unique`.',
  parameters: [collection, ...settingsConditions],
  body: { content: { [json]: { schema: responses.settings, example: settingsExample } } },
  responses: { 200: settingsResponse },
  problems: [
    'invalid_request',
    'invalid_schema',
    'invalid_json',
    'invalid_collection',
    'invalid_parameter',
    'conflict',
    'precondition_failed',
    'too_large',
    'unsupported_media_type',
    'unprocessable',
    ...writeFaults,
  ],
}

export const deleteSettings: OperationDocs = {
  id: 'deleteSettings',
  parameters: [collection, ...settingsConditions],
  responses: { 204: { description: 'The settings are removed' } },
  problems: [
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'conflict',
    'precondition_failed',
    ...writeFaults,
  ],
}

export const checkMembers: OperationDocs = {
  id: 'checkMembers',
  description:
    'Checks the members against a schema before it is set, or against the one that is set. A response is about a part of the members: until `complete` is true, repeat the request with `next` as `cursor`. Needs `read` and `admin` on the whole collection.',
  parameters: [collection],
  body: {
    content: {
      [json]: {
        schema: requests.membersCheck,
        example: { schema: { type: 'object', required: ['title'] }, limit: 10 },
      },
    },
  },
  responses: {
    200: {
      description:
        'How many members were checked, and those that break the schema, in the order of their keys',
      content: {
        [json]: {
          schema: responses.checkedMembers,
          example: {
            checked: 2,
            broken: [
              {
                key: 'dune',
                violations: [{ pointer: '', reason: 'must have the property "title"', keyword: 'required' }],
              },
            ],
            complete: true,
            next: null,
          },
        },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_schema',
    'invalid_json',
    'invalid_collection',
    'invalid_parameter',
    'invalid_cursor',
    'too_large',
    'unsupported_media_type',
    'unprocessable',
    ...readFaults,
  ],
}
