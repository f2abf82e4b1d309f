import type { ErrorCode } from '../../core/errors.ts'
import { maxComparedMembers, maxDigestedRange, maxDigestedRanges } from '../../core/limits.ts'
import type { OperationDocs, Schema } from '../operation.ts'
import { json, ndjson, readFaults, text } from './openapi-parts.ts'
import { collectionName, key, time } from './schema-parts.ts'

/** Documentation of what nodes ask each other to find where they differ. */

const count: Schema = { type: 'integer', minimum: 0 }
const nullable = (schema: Schema): Schema => ({ ...schema, type: [schema.type, 'null'] }) as Schema
const object = (properties: Readonly<Record<string, Schema>>, ...optional: readonly string[]): Schema => ({
  type: 'object',
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
})
const list = (items: Schema): Schema => ({ type: 'array', items })

const node: Schema = { ...text, description: 'The id of this node' }
const origin = object({ node: text, clock: { type: 'integer', minimum: 1 } })
const bound: Schema = { ...nullable(text), description: 'A key; null for no bound' }
const range = {
  collection: { ...collectionName, description: 'Also `_settings` and `_tokens`' },
  from: { ...bound, description: 'The first key; null for the start' },
  to: { ...bound, description: 'The first key past the end; null for no end' },
  at: { ...time, description: 'Members that have expired at this time are left out, on both nodes alike' },
}
const refs: Schema = { ...list(object({ collection: collectionName, key })), maxItems: maxComparedMembers }
const at = '2026-01-01T00:00:00Z'
const exampleOrigin = { node: 'b7m2c9x4p0qd', clock: 3629292748800000 }
const exampleRef = { collection: 'books', key: 'dune' }

const faults: readonly ErrorCode[] = [
  'invalid_parameter',
  'invalid_request',
  'invalid_json',
  'invalid_collection',
  'invalid_key',
  'too_large',
  'unsupported_media_type',
  ...readFaults,
]

type Example = Readonly<Record<string, unknown>>

function operation(
  id: string,
  description: string,
  [body, bodyExample]: readonly [Schema, Example],
  [response, example, type = json]: readonly [Schema, Example, string?],
): OperationDocs {
  return {
    id,
    description,
    body: { content: { [json]: { schema: body, example: bodyExample } } },
    responses: {
      200: { description: 'What this node has', content: { [type]: { schema: response, example } } },
    },
    problems: faults,
  }
}

export const getCompared: OperationDocs = {
  id: 'getCompared',
  description:
    'Collections in which the token grants `replicate`. `members` is null where it does not on all of one.',
  responses: {
    200: {
      description: 'The collections, with the id and the time of this node',
      content: {
        [json]: {
          schema: object({
            node,
            now: time,
            collections: list(object({ name: text, members: nullable(count) })),
          }),
          example: { node: 'k3v9x2m7q1ab', now: at, collections: [{ name: 'books', members: 1204 }] },
        },
      },
    },
  },
  problems: ['invalid_parameter', ...readFaults],
}

export const postDigests: OperationDocs = operation(
  'digests',
  'Two ranges have the same digest exactly if they hold the same keys with the same origins and expiries. A response has at least one range, and may end before the last; ask again from the end of its last range. Needs `replicate` on all keys of the range, for `_tokens` also `admin` on `*`.',
  [
    object(
      {
        ...range,
        members: {
          type: 'integer',
          minimum: 1,
          maximum: maxDigestedRange,
          description: 'Members of a range',
        },
        ends: {
          ...list(bound),
          maxItems: maxDigestedRanges,
          description: 'The ends of the ranges, in place of `members` and `to`',
        },
      },
      ...['from', 'to', 'members', 'ends'],
    ),
    { collection: 'books', from: null, to: null, at, members: 4096 },
  ],
  [
    object({
      node,
      ranges: list(
        object({
          to: bound,
          members: count,
          digest: {
            ...nullable(text),
            description: `Null if the range has more than ${maxDigestedRange} members`,
          },
        }),
      ),
    }),
    { node: 'k3v9x2m7q1ab', ranges: [{ to: null, members: 1204, digest: 'q83vEjRWeJASNFZ4kBI0Vg' }] },
  ],
)

export const postVersions: OperationDocs = operation(
  'versions',
  'The versions that live at a time, in the order of their keys. Needs what digests of the range need.',
  [
    object(
      { ...range, limit: { type: 'integer', minimum: 1, maximum: maxComparedMembers } },
      ...['from', 'to'],
    ),
    { collection: 'books', from: null, to: null, at, limit: 100 },
  ],
  [
    object({
      node,
      versions: list(object({ key, origin, expires_at: nullable(time) })),
      next: { ...bound, description: 'The `from` of the next page; null when there are no more' },
    }),
    {
      node: 'k3v9x2m7q1ab',
      versions: [{ key: 'dune', origin: exampleOrigin, expires_at: null }],
      next: null,
    },
  ],
)

export const postStates: OperationDocs = operation(
  'states',
  'In the order of the request. `none` is what the node has neither as a member nor as a tombstone: it may have forgotten a tombstone with a stamp of at most `forgotten_clock`. Needs `replicate` on each member.',
  [object({ members: refs, at: range.at }), { members: [exampleRef], at }],
  [
    object({
      node,
      forgotten_clock: count,
      states: list(
        object(
          {
            type: { enum: ['put', 'delete', 'expire', 'none'] },
            origin: { ...origin, description: 'Missing for `none`' },
            expires_at: { ...nullable(time), description: 'Of a member' },
          },
          ...['origin', 'expires_at'],
        ),
      ),
    }),
    { node: 'k3v9x2m7q1ab', forgotten_clock: 0, states: [{ type: 'delete', origin: exampleOrigin }] },
  ],
)

export const postEntries: OperationDocs = operation(
  'entries',
  'Lines for the `_replicate` of another node, for those of the members that exist or have a tombstone. Needs `replicate` and `read` on each member.',
  [object({ members: refs }), { members: [exampleRef] }],
  [
    { type: 'object', description: 'A `ReplicatedChange`, one a line' },
    { op: 'delete', ...exampleRef, origin: exampleOrigin },
    ndjson,
  ],
)
