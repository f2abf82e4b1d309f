import { maxWaitMs } from '../../core/limits.ts'
import type { OperationDocs } from '../operation.ts'
import {
  collection,
  conditions,
  etag,
  eventsContent,
  expiry,
  header,
  idempotencyKey,
  json,
  key,
  memberHeaders,
  query,
  readFaults,
  storedExample,
  text,
  value,
  valueExample,
  valueFaults,
  watching,
  watchNote,
  writeFaults,
} from './openapi-parts.ts'
import * as requests from './request-schemas.ts'
import * as responses from './response-schemas.ts'
import * as parts from './schema-parts.ts'

/** Documentation of `/v1/{collection}/{key}`. */

export const getMember: OperationDocs = {
  id: 'getMember',
  description: `With \`wait\` and \`If-None-Match\` it is a long poll: while the member has that ETag, the response waits for the next change. ${watchNote} The member need not exist yet.`,
  parameters: [
    collection,
    key,
    header(
      'If-None-Match',
      'Respond with 304 if the member has one of these revisions (`"12"`); with `wait`, `"0"` means that there is none',
    ),
    header('If-Modified-Since', 'Respond with 304 if it was not written since; `If-None-Match` goes before'),
    header('If-Match', 'Respond with 412 unless it has one of these revisions'),
    header('If-Unmodified-Since', 'Respond with 412 if it was written since; `If-Match` goes before'),
    header(
      'Range',
      'One range of bytes, as `bytes=1000-`, `bytes=0-99` or `bytes=-100`; several give the whole value',
    ),
    header('If-Range', 'The part only if it is of this revision (`"12"`), and else the whole value'),
    query(
      'wait',
      `How long to wait for a change before a 304, with \`If-None-Match\`: seconds, or with a unit; at most ${maxWaitMs / 60_000} minutes`,
    ),
    query(
      'at',
      'What the member was then, as the archive of the server (`--archive`) tells: a time in RFC 3339, or a revision. Not together with other parameters. 404 where there was none; 422 for a point that the archive does not have; 501 without an archive',
    ),
    ...watching,
  ],
  responses: {
    200: {
      description: 'The value, byte for byte, with its content type',
      headers: memberHeaders,
      content: {
        [json]: { schema: parts.anyJson, example: valueExample },
        '*/*': { schema: { description: 'Any bytes' } },
        ...eventsContent,
      },
    },
    206: {
      description: 'The part that `Range` asks for',
      headers: {
        ...memberHeaders,
        'Content-Range': {
          description: 'The range, and the size of the value',
          schema: text,
          example: 'bytes 1000-1999/2000',
        },
      },
      content: { '*/*': { schema: { description: 'Some of its bytes' } } },
    },
    304: { description: 'It has the ETag that the client sent', headers: memberHeaders },
  },
  problemHeaders: {
    416: {
      'Content-Range': { description: 'The size of the value', schema: text, example: 'bytes */2000' },
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
    'unprocessable',
    'not_implemented',
    'busy',
    'storage_full',
    ...readFaults,
  ],
  head: 'What is known of a member, without its value',
}

export const putMember: OperationDocs = {
  id: 'putMember',
  parameters: [collection, key, ...expiry, ...conditions],
  body: value,
  responses: {
    200: {
      description: 'Stored; it replaced a member',
      headers: { ETag: etag },
      content: { [json]: { schema: responses.stored, example: storedExample } },
    },
    201: {
      description: 'Stored; it is a new member',
      headers: { ETag: etag },
      content: { [json]: { schema: responses.stored, example: storedExample } },
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

export const patchMember: OperationDocs = {
  id: 'patchMember',
  description:
    "What is not touched keeps its bytes; content type, expiry and `created_at` stay. A merge patch (RFC 7396), also as `application/json` where it is an object, and an increment make a member that is missing; a JSON patch (RFC 6902) answers 404 then, 409 when a `test` fails, and 422 for a path that leads nowhere, each with the operation's index. Of many patches at once none is lost. Without a body, `expire_in` or `expire_at` change the expiry of a member of any kind, and nothing else: its revision and its entity tag stay, and watchers hear of nothing.",
  parameters: [collection, key, ...expiry, ...conditions, idempotencyKey],
  body: {
    required: false,
    content: {
      'application/merge-patch+json': { schema: parts.anyJson, example: { year: 1965, draft: null } },
      'application/json-patch+json': {
        schema: requests.jsonPatch,
        example: [
          { op: 'test', path: '/title', value: 'Dune' },
          { op: 'replace', path: '/year', value: 1965 },
        ],
      },
      'application/vnd.kvist.increment+json': {
        schema: requests.increment,
        example: { path: '/views', by: 1, if_created: { expire_in: '60s' } },
      },
      'application/json': { schema: { type: 'object' }, example: { year: 1965, draft: null } },
    },
  },
  responses: {
    200: {
      description: 'Changed',
      headers: { ETag: etag },
      content: { [json]: { schema: responses.patched, example: storedExample } },
    },
    201: {
      description: 'Stored; it is a new member',
      headers: { ETag: etag },
      content: { [json]: { schema: responses.patched, example: storedExample } },
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
  problemHeaders: { 415: { 'Accept-Patch': { description: 'The accepted types', schema: text } } },
}

export const deleteMember: OperationDocs = {
  id: 'deleteMember',
  parameters: [collection, key, ...conditions],
  responses: { 204: { description: 'Deleted' } },
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
