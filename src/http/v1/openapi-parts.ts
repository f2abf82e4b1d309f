import type { ErrorCode } from '../../core/errors.ts'
import { defaultPageMembers, maxPageMembers, maxPatternBytes } from '../../core/limits.ts'
import type { HeaderDocs, Parameter, Schema, Tag } from '../operation.ts'
import * as parts from './schema-parts.ts'

/** Common parts of the documentation of `/v1`. */

export const v1Tag: Tag = {
  name: 'v1',
  description:
    "The API of kvist's own. Collections hold members; a member is a key with its value. A collection comes into being with its first member.",
}

export const json = 'application/json'
export const ndjson = 'application/x-ndjson'
const events = 'text/event-stream'
export const text: Schema = { type: 'string' }

export const readFaults: readonly ErrorCode[] = ['damaged', 'storage_failed', 'unavailable', 'closing']
export const writeFaults: readonly ErrorCode[] = [...readFaults, 'busy', 'storage_full', 'outcome_unknown']
/** Errors of a value, also from a process or a quota of the collection that rejects it. */
export const valueFaults: readonly ErrorCode[] = [
  'invalid_json',
  'too_large',
  'unsupported_media_type',
  'unprocessable',
  'schema_violation',
  'not_unique',
  'quota_exceeded',
]

// No examples: the page of the API would send them by default.
export function query(name: string, description: string, schema: Schema = text): Parameter {
  return { in: 'query', name, description, schema }
}

export function header(name: string, description: string): Parameter {
  return { in: 'header', name, description, schema: text }
}

export const collection: Parameter = {
  in: 'path',
  name: 'collection',
  description: "Up to 128 bytes; names that begin with `_` are kvist's own",
  schema: parts.collectionName,
  example: 'books',
}

export const key: Parameter = {
  in: 'path',
  name: 'key',
  description:
    'The rest of the path, decoded once: a `/` in a key may stand as it is, or as `%2F`; the keys `.` and `..` follow an escaped slash, `/v1/c%2F..`, where the client resolves path steps',
  schema: parts.key,
  example: 'dune',
}

export const expiry: readonly Parameter[] = [
  query(
    'expire_in',
    'How long it lives: seconds (`90`), with a unit (`90s`, `15m`, `12h`, `7d`), or `never`',
  ),
  query(
    'expire_at',
    'When it is gone: RFC 3339, Unix seconds, or `null` for never; not together with `expire_in`. In the past: at once',
  ),
]

export const onKeys: readonly Parameter[] = [
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

export const selection: readonly Parameter[] = [
  ...onKeys,
  query('match', 'Members with a top-level value that matches, as text; wildcards as in `filter`', {
    ...text,
    maxLength: maxPatternBytes,
  }),
  query('from', 'Keys from this one on'),
  query('to', 'Keys before this one'),
]

export const idempotencyKey: Parameter = header(
  'Idempotency-Key',
  'Sent again within a day under the same key, the request is not done again and has the response that it had, also after a crash; another request under the key is 422. 1 to 255 characters, a UUID for example',
)

export const conditions: readonly Parameter[] = [
  header('If-Match', 'Only if the member has one of these revisions (`"12"`); `*`: only if there is one'),
  header('If-None-Match', 'Only if it has none of them; `*`: only if there is none'),
  header('If-Unmodified-Since', 'Only if there is one that was not written since; `If-Match` goes before'),
]

export const pageLimit: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: maxPageMembers,
  default: defaultPageMembers,
}

/** Parameters of the routes that respond with a stream of events when the client accepts it. */
export const watching: readonly Parameter[] = [
  query(
    'since',
    'Of a watch: where to begin. `0`: with everything that exists; missing: with what changes from now on',
  ),
  header(
    'Last-Event-ID',
    'Of a watch: where to go on; goes before `since`, and browsers send it by themselves',
  ),
]

export const watchNote = `With \`Accept: ${events}\` it is a watch: events \`put\`, \`delete\` and \`expire\` with a change as their data, whose ids say where to go on after a break, so that nothing is missed. \`reset\` comes when the feed does not reach back so far any more: everything that exists follows. Every 15 seconds there is a comment.`

export const changeExample = {
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

export const eventsContent = {
  [events]: { schema: { ...text, description: 'Server-sent events (HTML, 9.2)' } },
}

export const etag: HeaderDocs = { description: 'The revision, in quotes', schema: text, example: '"12"' }

export const memberHeaders: Readonly<Record<string, HeaderDocs>> = {
  ETag: etag,
  'Last-Modified': {
    description: 'The first whole second after the last write; left out until then',
    schema: text,
  },
  'Accept-Ranges': { description: '`bytes`: range requests work', schema: text },
  'Kvist-Expires-At': {
    description: 'When it expires; missing for never',
    schema: { type: 'string', format: 'date-time' },
  },
}

export const storedExample = {
  key: 'dune',
  revision: 12,
  created_at: '2026-06-01T12:00:00.000Z',
  updated_at: '2026-06-01T12:00:00.000Z',
  expires_at: null,
  content_type: json,
}
export const valueExample = { title: 'Dune', year: 1965 }

export const value = {
  description:
    'JSON where the `Content-Type` says so or says nothing, kept byte for byte; otherwise bytes, kept with their type. JSON may have a `Content-Encoding`: gzip, br, zstd or deflate',
  content: {
    [json]: { schema: parts.anyJson, example: valueExample },
    '*/*': { schema: { description: 'Any bytes' } },
  },
}
