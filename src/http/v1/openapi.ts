import type { ErrorCode } from '../../core/errors.ts'
import {
  defaultPageCollections,
  defaultPageMembers,
  maxPageMembers,
  maxPatternBytes,
  maxWaitMs,
} from '../../core/limits.ts'
import type { AnswerDocs, Header, Operation, Parameter, Schema, Tag } from '../operation.ts'
import * as schemas from './schemas.ts'

/** What the API's document says of `/v1`, for routes.ts to put beside its rows. */

export const v1Tag: Tag = {
  name: 'v1',
  description:
    "The API of kvist's own. Collections hold members; a member is a key with its value. A collection comes into being with its first member.",
}

const json = 'application/json'
const ndjson = 'application/x-ndjson'
const events = 'text/event-stream'
const text: Schema = { type: 'string' }

const readFaults: readonly ErrorCode[] = ['damaged', 'storage_failed', 'unavailable', 'closing']
const writeFaults: readonly ErrorCode[] = [...readFaults, 'busy', 'storage_full', 'outcome_unknown']
/** A process of the collection may refuse a value. */
const valueFaults: readonly ErrorCode[] = [
  'invalid_json',
  'too_large',
  'unsupported_media_type',
  'unprocessable',
]

// No examples: the page would send them along unasked.
function query(name: string, description: string, schema: Schema = text): Parameter {
  return { in: 'query', name, description, schema }
}

function header(name: string, description: string): Parameter {
  return { in: 'header', name, description, schema: text }
}

const collection: Parameter = {
  in: 'path',
  name: 'collection',
  description: "Up to 128 bytes; names that begin with `_` are kvist's own",
  schema: schemas.collectionName,
  example: 'books',
}

const key: Parameter = {
  in: 'path',
  name: 'key',
  description:
    'The rest of the path, decoded once: a `/` in a key may stand as it is, or as `%2F`; the keys `.` and `..` follow an escaped slash, `/v1/c%2F..`, where the client resolves path steps',
  schema: schemas.key,
  example: 'dune',
}

const expiry: readonly Parameter[] = [
  query(
    'expire_in',
    'How long it lives: seconds (`90`), with a unit (`90s`, `15m`, `12h`, `7d`), or `never`',
  ),
  query(
    'expire_at',
    'When it is gone: RFC 3339, Unix seconds, or `null` for never; not together with `expire_in`. In the past: at once',
  ),
]

const onKeys: readonly Parameter[] = [
  query('prefix', 'Keys that begin so'),
  query(
    'filter',
    'Keys that match: `*` is any run of characters, `?` any one; a backslash before one, or before a backslash, takes its meaning away',
    {
      ...text,
      maxLength: maxPatternBytes,
    },
  ),
]

const selection: readonly Parameter[] = [
  ...onKeys,
  query('match', 'Members with a top-level value that matches, as text; wildcards as in `filter`', {
    ...text,
    maxLength: maxPatternBytes,
  }),
  query('from', 'Keys from this one on'),
  query('to', 'Keys before this one'),
]

const conditions: readonly Parameter[] = [
  header('If-Match', 'Only if the member has one of these revisions (`"12"`); `*`: only if there is one'),
  header('If-None-Match', 'Only if it has none of them; `*`: only if there is none'),
  header('If-Unmodified-Since', 'Only if there is one that was not written since; `If-Match` goes before'),
]

const pageLimit: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: maxPageMembers,
  default: defaultPageMembers,
}

/** Of the rows that answer with a stream of events to who accepts that. */
const watching: readonly Parameter[] = [
  query(
    'since',
    'Of a watch: where to begin. `0`: with everything that exists; missing: with what changes from now on',
  ),
  header(
    'Last-Event-ID',
    'Of a watch: where to go on; goes before `since`, and browsers send it by themselves',
  ),
]

const watchNote = `With \`Accept: ${events}\` it is a watch: events \`put\`, \`delete\` and \`expire\` with a change as their data, whose ids say where to go on after a break, so that nothing is missed. \`reset\` comes when the feed does not reach back so far any more: everything that exists follows. Every 15 seconds there is a comment.`

const changeExample = {
  revision: 12,
  type: 'put',
  collection: 'books',
  key: 'dune',
  value: { title: 'Dune', year: 1965 },
  created_at: '2026-06-01T12:00:00.000Z',
  updated_at: '2026-06-01T12:00:00.000Z',
  expires_at: null,
  content_type: json,
}

const eventsContent = { [events]: { schema: { ...text, description: 'Server-sent events (HTML, 9.2)' } } }

const etag: Header = { description: 'The revision, in quotes', schema: text, example: '"12"' }

const memberHeaders: Readonly<Record<string, Header>> = {
  ETag: etag,
  'Last-Modified': {
    description: 'The first whole second after it was last written; left out until that has come',
    schema: text,
  },
  'Accept-Ranges': { description: '`bytes`: parts can be had', schema: text },
  'Kvist-Expires-At': {
    description: 'When it will be gone; missing for never',
    schema: { type: 'string', format: 'date-time' },
  },
}

const storedExample = {
  key: 'dune',
  revision: 12,
  created_at: '2026-06-01T12:00:00.000Z',
  updated_at: '2026-06-01T12:00:00.000Z',
  expires_at: null,
  content_type: json,
}
const valueExample = { title: 'Dune', year: 1965 }

const value = {
  description:
    'JSON where the `Content-Type` says so or says nothing, kept byte for byte; otherwise bytes, kept with their type. JSON may have a `Content-Encoding`: gzip, br, zstd or deflate',
  content: {
    [json]: { schema: schemas.anyJson, example: valueExample },
    '*/*': { schema: { description: 'Any bytes' } },
  },
}

export const listCollections: Operation = {
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
  answers: {
    200: {
      description: 'A page of them',
      headers: { Link: { description: 'With `rel="next"`: the next page', schema: text } },
      content: {
        [json]: {
          schema: schemas.collections,
          example: { collections: [{ name: 'books', members: 2, bytes: 71 }], next: null },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'invalid_cursor', ...readFaults],
}

export const postBatch: Operation = {
  id: 'batch',
  description:
    'All of it happens, or nothing. A check names a member and the revision that it must have; the first that fails is told in the answer, with the revision that there is.',
  body: {
    content: {
      [json]: {
        schema: schemas.batch,
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
  answers: {
    200: {
      description: 'Committed',
      content: {
        [json]: {
          schema: schemas.revisions,
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
    ...writeFaults,
  ],
}

const listTag: Header = {
  description:
    'Changes with every change in the collection, whatever of it is listed; missing while something expires',
  schema: text,
}

export const readMembers: Operation = {
  id: 'readMembers',
  description:
    'All of them are of one moment: a batch that is committed meanwhile is in the response whole, or not at all. Values may come to 64 MiB together.',
  body: {
    content: {
      [json]: {
        schema: schemas.read,
        example: {
          members: [
            { collection: 'books', key: 'dune' },
            { collection: 'books', key: 'none' },
          ],
        },
      },
    },
  },
  answers: {
    200: {
      description: 'What is there',
      content: {
        [json]: {
          schema: schemas.readResult,
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

export const listMembers: Operation = {
  id: 'listMembers',
  description: `By key. A page may be short, even empty, while there are more: \`next\` tells. With \`Accept: ${ndjson}\`, or one of its other names \`application/ndjson\` and \`application/jsonl\`, all of them stream, a member a line, in constant memory; \`cursor\` does not go with that, and \`limit\` has no upper end; with \`delimiter\` a prefix is a line \`{"prefix": …}\` in its place among them. A limit counts members and prefixes together. ${watchNote} Only \`prefix\` and \`filter\` go with it.`,
  parameters: [
    collection,
    ...selection,
    query(
      'delimiter',
      'List one level: keys that have this text after the prefix are told by what they have in common up to it, in `prefixes`',
    ),
    query('order', 'By the bytes of the key', { type: 'string', enum: ['asc', 'desc'], default: 'asc' }),
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
      'Answer 304 if nothing in the collection has changed since a list of this URL had this tag',
    ),
    ...watching,
  ],
  answers: {
    304: { description: 'Nothing in the collection has changed', headers: { ETag: listTag } },
    200: {
      description: 'A page, or everything',
      headers: {
        ETag: listTag,
        Link: { description: 'With `rel="next"`: the next page', schema: text },
      },
      content: {
        [json]: {
          schema: schemas.page,
          example: { members: [{ ...storedExample, value: valueExample }], next: null },
        },
        [ndjson]: { schema: schemas.listLine },
        ...eventsContent,
      },
    },
  },
  problems: ['invalid_collection', 'invalid_key', 'invalid_parameter', 'invalid_cursor', ...readFaults],
}

export const getChanges: Operation = {
  id: 'getChanges',
  description: `The latest state of every member that has changed, in the order of the changes, those that are gone among them. A page may be short, even empty, while there are more: at the end \`next\` is the \`since\` that was sent. ${watchNote} \`limit\` does not go with that.`,
  parameters: [
    query('since', 'The `next` of the page before; missing, of a page, or `0`: from the beginning'),
    query('limit', 'Changes of a page', pageLimit),
    query(
      'include',
      '`all`: with `flags` and `origin`, so that another store can have every member exactly as it is here',
      { type: 'string', enum: ['all'] },
    ),
    query('collection', 'Of this collection alone', schemas.collectionName),
    ...onKeys,
    ...watching.filter(({ name }) => name !== 'since'),
  ],
  answers: {
    200: {
      description: 'A page, or a stream',
      content: {
        [json]: { schema: schemas.changes, example: { changes: [changeExample], next: 12 } },
        ...eventsContent,
      },
    },
  },
  problems: [
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'invalid_cursor',
    'compacted',
    ...readFaults,
  ],
}

export const postMembers: Operation = {
  id: 'addMember',
  description: `A value is stored under an id that grows with time (UUIDv7). NDJSON (\`${ndjson}\`, \`application/ndjson\`, \`application/jsonl\`) is an import: a member a line, as a list shows it, of any length, with or without a \`Content-Encoding\` of gzip, br, zstd or deflate, in constant memory; a bad line is named in the summary and stops no other. \`expire_in\` and \`expire_at\` are for a single value.`,
  parameters: [collection, ...expiry],
  body: {
    ...value,
    content: {
      [json]: value.content[json]!,
      [ndjson]: {
        schema: schemas.bulkLine,
        example: { key: 'dune', value: valueExample, expire_in: '7d' },
      },
      '*/*': value.content['*/*']!,
    },
  },
  answers: {
    200: {
      description: 'What became of the import',
      content: {
        [json]: {
          schema: schemas.bulkSummary,
          example: { stored: 2, failed: [{ line: 3, code: 'invalid_json', detail: 'the line is not JSON' }] },
        },
      },
    },
    201: {
      description: 'Stored',
      headers: { Location: { description: 'Where it is', schema: text }, ETag: etag },
      content: { [json]: { schema: schemas.stored, example: storedExample } },
    },
  },
  problems: ['invalid_collection', 'invalid_parameter', ...valueFaults, ...writeFaults],
}

export const dropMembers: Operation = {
  id: 'dropMembers',
  description:
    'All that was written before now, or what of it the parameters select; an empty one is refused, for it would select everything. Each member goes by itself.',
  parameters: [collection, ...selection],
  answers: {
    200: {
      description: 'How many there were',
      content: { [json]: { schema: schemas.deleted, example: { deleted: 2 } } },
    },
  },
  problems: ['invalid_collection', 'invalid_key', 'invalid_parameter', ...writeFaults],
}

export const getMember: Operation = {
  id: 'getMember',
  description: `With \`wait\` and \`If-None-Match\` it is a long poll: while the member is as the client knows it, the answer waits for the next change. ${watchNote} The member need not be there yet.`,
  parameters: [
    collection,
    key,
    header(
      'If-None-Match',
      'Answer 304 if the member has one of these revisions (`"12"`); with `wait`, `"0"` means that there is none',
    ),
    header('If-Modified-Since', 'Answer 304 if it was not written since; `If-None-Match` goes before'),
    header('If-Match', 'Answer 412 unless it has one of these revisions'),
    header('If-Unmodified-Since', 'Answer 412 if it was written since; `If-Match` goes before'),
    header(
      'Range',
      'One range of bytes, as `bytes=1000-`, `bytes=0-99` or `bytes=-100`; several give the whole value',
    ),
    header('If-Range', 'The part only if it is of this revision (`"12"`), and else the whole value'),
    query(
      'wait',
      `How long to wait for a change before a 304, with \`If-None-Match\`: seconds, or with a unit; at most ${maxWaitMs / 60_000} minutes`,
    ),
    ...watching,
  ],
  answers: {
    200: {
      description: 'The value, byte for byte, with its content type',
      headers: memberHeaders,
      content: {
        [json]: { schema: schemas.anyJson, example: valueExample },
        '*/*': { schema: { description: 'Any bytes' } },
        ...eventsContent,
      },
    },
    206: {
      description: 'The part that `Range` asks for',
      headers: {
        ...memberHeaders,
        'Content-Range': {
          description: 'Which bytes, of how many',
          schema: text,
          example: 'bytes 1000-1999/2000',
        },
      },
      content: { '*/*': { schema: { description: 'Some of its bytes' } } },
    },
    304: { description: 'It is as the client knows it', headers: memberHeaders },
  },
  problemHeaders: {
    416: {
      'Content-Range': { description: 'How many bytes there are', schema: text, example: 'bytes */2000' },
    },
  },
  problems: [
    'range_not_satisfiable',
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'invalid_cursor',
    'not_found',
    'key_too_long',
    'precondition_failed',
    ...readFaults,
  ],
  head: 'What is known of a member, without its value',
}

export const putMember: Operation = {
  id: 'putMember',
  parameters: [collection, key, ...expiry, ...conditions],
  body: value,
  answers: {
    200: {
      description: 'Stored in place of what was there',
      headers: { ETag: etag },
      content: { [json]: { schema: schemas.stored, example: storedExample } },
    },
    201: {
      description: 'Stored; it is new',
      headers: { ETag: etag },
      content: { [json]: { schema: schemas.stored, example: storedExample } },
    },
  },
  problems: [
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'key_too_long',
    'conflict',
    'precondition_failed',
    ...valueFaults,
    ...writeFaults,
  ],
}

export const patchMember: Operation = {
  id: 'patchMember',
  description:
    "What is not touched keeps its bytes; content type, expiry and `created_at` stay. A merge patch (RFC 7396), also as `application/json` where it is an object, and an increment make a member that is missing; a JSON patch (RFC 6902) answers 404 then, 409 when a `test` fails, and 422 for a path that leads nowhere, each with the operation's index. Of many patches at once none is lost. Without a body, `expire_in` or `expire_at` change the expiry of a member of any kind, and nothing else: its revision and its entity tag stay, and watchers hear of nothing.",
  parameters: [collection, key, ...expiry, ...conditions],
  body: {
    required: false,
    content: {
      'application/merge-patch+json': { schema: schemas.anyJson, example: { year: 1965, draft: null } },
      'application/json-patch+json': {
        schema: schemas.jsonPatch,
        example: [
          { op: 'test', path: '/title', value: 'Dune' },
          { op: 'replace', path: '/year', value: 1965 },
        ],
      },
      'application/vnd.kvist.increment+json': {
        schema: schemas.increment,
        example: { path: '/views', by: 1, if_created: { expire_in: '60s' } },
      },
      'application/json': { schema: { type: 'object' }, example: { year: 1965, draft: null } },
    },
  },
  answers: {
    200: {
      description: 'Changed',
      headers: { ETag: etag },
      content: { [json]: { schema: schemas.patched, example: storedExample } },
    },
    201: {
      description: 'Stored; it is new',
      headers: { ETag: etag },
      content: { [json]: { schema: schemas.patched, example: storedExample } },
    },
  },
  problems: [
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'not_found',
    'key_too_long',
    'conflict',
    'precondition_failed',
    ...valueFaults,
    ...writeFaults,
  ],
  problemHeaders: { 415: { 'Accept-Patch': { description: 'The types that are taken', schema: text } } },
}

export const deleteMember: Operation = {
  id: 'deleteMember',
  parameters: [collection, key, ...conditions],
  answers: { 204: { description: 'It is gone' } },
  problems: [
    'invalid_request',
    'invalid_collection',
    'invalid_parameter',
    'not_found',
    'key_too_long',
    'conflict',
    'precondition_failed',
    ...writeFaults,
  ],
}

const settingsExample = { processes: ['detect-language', 'mark'], default_ttl: 604800, sliding: false }

const settingsAnswer: AnswerDocs = {
  description: 'What is set; null where nothing is',
  content: { [json]: { schema: schemas.settings, example: settingsExample } },
}

export const getSettings: Operation = {
  id: 'getSettings',
  parameters: [collection],
  answers: { 200: settingsAnswer },
  problems: ['invalid_collection', 'invalid_parameter'],
}

export const putSettings: Operation = {
  id: 'putSettings',
  description:
    'All of them: what is left out is as if it had never been set. They apply to what is written from now on. A process can be named when the server has it; files of processes are named in its configuration only, and settings that stand there cannot be changed here.',
  parameters: [collection],
  body: { content: { [json]: { schema: schemas.settings, example: settingsExample } } },
  answers: { 200: settingsAnswer },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_collection',
    'invalid_parameter',
    'conflict',
    'too_large',
    'unsupported_media_type',
    'unprocessable',
    ...writeFaults,
  ],
}

export const deleteSettings: Operation = {
  id: 'deleteSettings',
  parameters: [collection],
  answers: { 204: { description: 'Nothing is set' } },
  problems: ['invalid_collection', 'invalid_parameter', 'conflict', ...writeFaults],
}
