import {
  defaultPageMembers,
  maxConflicts,
  maxConflictValueBytes,
  maxLookupMembers,
  maxPageMembers,
} from '../../core/limits.ts'
import { named, type OperationDocs, type Schema } from '../operation.ts'
import { header, json, ndjson, query, readFaults, text, writeFaults } from './openapi-parts.ts'
import { failure, target, targetExample } from './openapi-targets.ts'
import { lineFailures } from './response-schemas.ts'
import { collectionName, key, time } from './schema-parts.ts'

/** Documentation of what nodes tell and send each other. */

const count: Schema = { type: 'integer', minimum: 0 }
const nullable = (schema: Schema): Schema => ({ ...schema, type: [schema.type, 'null'] }) as Schema

const leader = named('Leader', {
  type: 'object',
  required: ['url'],
  properties: {
    url: text,
    state: {
      enum: ['filling', 'receiving', 'current', 'retrying', 'circular'],
      description:
        '`filling`: this node gets everything for the first time. `retrying`: the leader does not respond. `circular`: it follows this node in turn',
    },
    node: { ...nullable(text), description: 'The id of its node; null until it has responded' },
    last_current_at: {
      ...nullable(time),
      description:
        'When this node last had everything that the leader had, as far as it knows; null for never',
    },
    received: { ...count, description: 'Changes that were received since the start' },
    failures: count,
    last_error: failure,
    merged: { ...count, description: 'Changes of this node that the leader lacked, and got from it' },
  },
})

const followerOf = named('Follower', {
  type: 'object',
  required: ['node', 'is_current', 'last_seen_at'],
  properties: {
    node: text,
    is_current: { type: 'boolean', description: 'It had everything when it asked last' },
    last_seen_at: time,
  },
})

const role: Schema = {
  enum: ['leader', 'follower', 'demoted', 'cache'],
  description:
    '`leader`: it takes writes. `demoted`: another node was promoted in its place. `cache`: it has no store, and passes requests on',
}
const term: Schema = { ...count, description: 'The number of the last promotion that it knows of' }

const originStatus = named('OriginStatus', {
  type: 'object',
  required: ['url', 'state', 'node', 'failures', 'last_error'],
  properties: {
    url: text,
    state: {
      enum: ['followed', 'passing', 'idle', 'down'],
      description:
        '`followed`: requests go there, and its changes are read. `passing`: its changes cannot be read, so that nothing is held. `idle`: requests go to another origin',
    },
    node: { ...nullable(text), description: 'The id of its node; null unless it is followed' },
    failures: { ...count, description: 'Failures to read its changes, since the start' },
    last_error: {
      type: ['object', 'null'],
      required: ['detail', 'at'],
      properties: { detail: text, at: time },
    },
  },
})

const nodes = named('Nodes', {
  type: 'object',
  required: ['node', 'conflicts', 'targets', 'role', 'term', 'leader', 'followers'],
  properties: {
    node: { ...text, description: 'The id of this node' },
    conflicts: {
      ...count,
      description: 'Versions that were lost because two nodes wrote the same member at once, since the start',
    },
    targets: { type: 'array', items: target },
    role,
    term,
    leader: {
      oneOf: [leader, { type: 'null' }],
      description: 'The node that it follows; of a demoted one only `url`; null for a leader',
    },
    followers: { type: 'array', items: followerOf },
    lookup: { const: true, description: 'It looks up on other nodes what it does not hold' },
    origins: { type: 'array', items: originStatus, description: 'Of a cache: what it is a cache of' },
    cache: {
      type: 'object',
      additionalProperties: count,
      description: 'Of a cache: what it holds, and what it did since its start',
    },
  },
})

const origin: Schema = {
  type: 'object',
  required: ['node', 'clock'],
  properties: { node: text, clock: { type: 'integer', minimum: 1 } },
}

const conflict = named('Conflict', {
  type: 'object',
  required: ['collection', 'key', 'seen_at', 'lost', 'kept'],
  properties: {
    collection: collectionName,
    key,
    seen_at: time,
    lost: {
      type: 'object',
      required: ['type', 'origin', 'written_at', 'revision'],
      properties: {
        type: { enum: ['put', 'delete'] },
        origin,
        written_at: time,
        revision: {
          ...nullable(count),
          description: 'The ETag that the version had on this node; null if it was not stored here',
        },
        created_at: { ...time, description: 'Missing, like what follows, where it is not known any more' },
        expires_at: nullable(time),
        content_type: text,
        flags: count,
        bytes: count,
        value: {
          description: `Of a put of at most ${maxConflictValueBytes} bytes: JSON, or else \`value_text\` or \`value_base64\``,
        },
        value_text: text,
        value_base64: text,
      },
    },
    kept: { type: 'object', required: ['origin', 'written_at'], properties: { origin, written_at: time } },
  },
})

const conflicts = named('Conflicts', {
  type: 'object',
  required: ['conflicts', 'unlisted', 'next'],
  properties: {
    conflicts: { type: 'array', items: conflict },
    unlisted: {
      ...nullable(count),
      description: `Conflicts that are not listed, because there were ${maxConflicts} already or their values were too large together; null for a token without \`read\` on \`*\``,
    },
    next: { ...nullable(text), description: 'The cursor of the next page' },
  },
})

const entry = named('ReplicatedChange', {
  type: 'object',
  required: ['op', 'collection', 'key', 'origin'],
  properties: {
    op: { enum: ['put', 'delete', 'expire'] },
    collection: { ...collectionName, description: 'Also `_settings` and `_tokens`' },
    key,
    origin,
    value: { description: 'Of a put: JSON, or else `value_text` or `value_base64`' },
    value_text: text,
    value_base64: text,
    content_type: text,
    flags: count,
    created_at: { ...time, description: 'Of a put' },
    expires_at: { ...nullable(time), description: 'Of a put; null for never' },
    is_renewal: { type: 'boolean', description: 'Only the expiry of the version is new' },
  },
})

const summary = named('ReplicationSummary', {
  type: 'object',
  required: ['node', 'applied', 'superseded', 'failed'],
  properties: {
    node: { ...text, description: 'The id of the node that took the changes' },
    applied: count,
    superseded: { ...count, description: 'Changes that were not newer than what the node has' },
    ...lineFailures,
    position: {
      ...nullable(text),
      description:
        'With `Kvist-Position`, where the node was before; null for not known. It is missing for a token that does not grant `replicate` on `*`',
    },
  },
})

const memberVersion = named('LookedUpMember', {
  type: 'object',
  required: ['type', 'origin', 'created_at', 'expires_at', 'content_type', 'flags', 'value_bytes'],
  properties: {
    type: { enum: ['put'] },
    origin,
    created_at: time,
    expires_at: nullable(time),
    content_type: text,
    flags: count,
    value_bytes: count,
    value_text: { ...text, description: 'JSON as it is stored; missing if it is larger than was asked for' },
    value_base64: { ...text, description: 'Other bytes; missing likewise' },
  },
})

const tombstoneVersion = named('LookedUpTombstone', {
  type: 'object',
  required: ['type', 'origin'],
  properties: { type: { enum: ['delete', 'expire'] }, origin },
})

const lookedUp = named('LookedUp', {
  type: 'object',
  required: ['node', 'versions'],
  properties: {
    node: { ...text, description: 'The id of this node' },
    versions: {
      type: 'array',
      items: { oneOf: [memberVersion, tombstoneVersion, { type: 'null' }] },
      description: 'In the order of the question; null for what it does not hold and knows no tombstone of',
    },
  },
})

const bodyProblems = [
  ...(['invalid_parameter', 'invalid_request', 'invalid_json'] as const),
  ...(['too_large', 'unsupported_media_type'] as const),
]

export const getNodes: OperationDocs = {
  id: 'getNodes',
  responses: {
    200: {
      description: 'The id of this node, and its targets',
      content: {
        [json]: {
          schema: nodes,
          example: {
            node: 'b7m2c9x4p0qd',
            conflicts: 0,
            targets: [targetExample],
            role: 'leader',
            term: 0,
            leader: null,
            followers: [],
          },
        },
      },
    },
  },
  problems: ['invalid_parameter'],
}

export const postLookup: OperationDocs = {
  id: 'lookup',
  description:
    'A node with `--lookup` asks this of others before it responds that a member is missing. What this node holds is all that it says: it does not ask on. Needs `read` on each member.',
  body: {
    content: {
      [json]: {
        schema: {
          type: 'object',
          required: ['members'],
          properties: {
            members: {
              type: 'array',
              maxItems: maxLookupMembers,
              items: {
                type: 'object',
                required: ['collection', 'key'],
                properties: { collection: collectionName, key },
              },
            },
            max_value_bytes: { ...count, description: 'Larger values are left out; 0 if missing' },
          },
        },
        example: { members: [{ collection: 'books', key: 'dune' }], max_value_bytes: 65536 },
      },
    },
  },
  responses: {
    200: {
      description: 'What this node holds, in the order of the question',
      content: {
        [json]: {
          schema: lookedUp,
          example: {
            node: 'k3v9x2m7q1ab',
            versions: [{ type: 'delete', origin: { node: 'b7m2c9x4p0qd', clock: 3629292748800000 } }],
          },
        },
      },
    },
  },
  problems: [
    ...([
      'invalid_parameter',
      'invalid_request',
      'invalid_json',
      'invalid_collection',
      'invalid_key',
    ] as const),
    ...(['too_large', 'unsupported_media_type'] as const),
    ...readFaults,
  ],
}

const conflictExample = {
  collection: 'books',
  key: 'dune',
  seen_at: '2026-01-01T00:00:02Z',
  lost: {
    type: 'put',
    origin: { node: 'b7m2c9x4p0qd', clock: 3629292748800000 },
    written_at: '2026-01-01T00:00:00Z',
    revision: 12,
    created_at: '2026-01-01T00:00:00Z',
    expires_at: null,
    content_type: json,
    flags: 0,
    bytes: 13,
    value: { year: 1966 },
  },
  kept: { origin: { node: 'k3v9x2m7q1ab', clock: 3629292750848000 }, written_at: '2026-01-01T00:00:01Z' },
}

export const getConflicts: OperationDocs = {
  id: 'listConflicts',
  description:
    'The version that was written last comes first. A record is kept as long as tombstones. A token sees the conflicts of members that it may read.',
  parameters: [
    {
      in: 'query',
      name: 'collection',
      description: 'Only the conflicts in this collection',
      schema: collectionName,
      example: 'books',
    },
    {
      in: 'query',
      name: 'limit',
      description: 'At most so many; a page with large values has fewer',
      schema: { type: 'integer', minimum: 1, maximum: maxPageMembers, default: defaultPageMembers },
    },
    { in: 'query', name: 'cursor', description: 'The `next` of the page before', schema: text },
  ],
  responses: {
    200: {
      description: 'A page of conflicts',
      content: {
        [json]: { schema: conflicts, example: { conflicts: [conflictExample], unlisted: 0, next: null } },
      },
    },
  },
  problems: ['invalid_parameter', 'invalid_collection', 'invalid_cursor'],
}

export const postReplicate: OperationDocs = {
  id: 'replicate',
  description:
    'A change a line. Each is applied if it is newer than what is stored: by the clock of its origin, then by the id of its node; a change that is applied twice does nothing the second time. What cannot be applied is named, and the others are applied. `_settings` needs the grant on the whole collection that is set, `_tokens` also `admin` on `*`.',
  parameters: [
    header('Kvist-Node', 'The id of the node that sends the changes'),
    header(
      'Kvist-Knows',
      'Of other nodes, the stamp of the latest write that has come to the sender: `node=clock`, separated by commas. `*` among them says that with these changes the server has all that the sender has',
    ),
    header(
      'Kvist-Position',
      'Where the sender comes to with these changes, an opaque text. With `; after=` and the one before it, the position that the node has noted moves only from there; a sender to which the node says another one takes it up there',
    ),
    header(
      'Kvist-Bridge',
      '`1`: the changes are passed on to the targets of this node, also if it is no bridge',
    ),
  ],
  body: {
    content: {
      [ndjson]: {
        schema: entry,
        example: {
          op: 'delete',
          collection: 'books',
          key: 'dune',
          origin: { node: 'b7m2c9x4p0qd', clock: 3629292748800000 },
        },
      },
    },
  },
  responses: {
    200: {
      description: 'What became of the changes',
      content: {
        [json]: {
          schema: summary,
          example: { node: 'k3v9x2m7q1ab', applied: 2, superseded: 1, failed: [] },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'unsupported_media_type', ...writeFaults],
}

const endLine: Schema = {
  type: 'object',
  description: 'The last line; those before it are changes',
  required: ['node', 'next', 'at_end', 'term', 'leaders', 'knows'],
  properties: {
    node: text,
    next: text,
    at_end: { type: 'boolean', description: 'There are no more changes, for now' },
    term,
    leaders: { type: 'array', items: text, description: 'The nodes that this one follows itself' },
    knows: { ...text, description: 'Which writes of other nodes have come to this one' },
  },
}

export const getReplica: OperationDocs = {
  id: 'getReplica',
  description:
    'What a follower reads: a change a line, as `POST /v1/_replicate` takes them, tokens and settings included, and a last line that says how to go on. Needs `read`, `replicate` and `admin` on `*`.',
  parameters: [
    header('Kvist-Node', 'The id of the follower'),
    query('since', 'The cursor of the page before, `next`; left out, everything'),
    query('fill', '`true`: also what the follower once wrote itself, until it has had everything', {
      enum: ['true'],
    }),
    query('wait', 'How long to wait for a change if there is none, like `30s`; at most 5 minutes'),
  ],
  responses: {
    200: {
      description: 'Changes, and the last line',
      content: {
        [ndjson]: {
          schema: { oneOf: [entry, endLine] },
          example: {
            node: 'b7m2c9x4p0qd',
            next: '812',
            at_end: true,
            term: 0,
            leaders: [],
            knows: 'nothing',
          },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'invalid_request', 'invalid_cursor', 'compacted', ...readFaults],
}

const ownUrl: Schema = { ...text, description: 'The URL of the new leader as clients reach it' }

export const postPromote: OperationDocs = {
  id: 'promote',
  description:
    'The leader is told first that it is none any more, and this node gets what it lacks. If the leader does not respond, or this node has not had everything, that is 409 `conflict`, unless `force` is set: then what the leader had and this node lacks is lost until the leader follows. A leader stays as it is.',
  body: {
    content: {
      [json]: {
        schema: { type: 'object', properties: { url: ownUrl, force: { type: 'boolean' } } },
        example: { url: 'http://10.0.0.2:7070' },
      },
    },
  },
  responses: {
    200: {
      description: 'This node takes writes',
      content: {
        [json]: {
          schema: named('Promotion', {
            type: 'object',
            required: ['node', 'term', 'former_leader', 'before'],
            properties: {
              node: text,
              term,
              former_leader: {
                type: ['object', 'null'],
                required: ['url', 'is_demoted', 'failure'],
                properties: {
                  url: text,
                  is_demoted: { type: 'boolean', description: 'It takes no writes any more' },
                  failure: nullable(text),
                },
              },
              before: {
                oneOf: [leader, { type: 'null' }],
                description: 'How far this node was as a follower; null if it was none',
              },
            },
          }),
          example: {
            node: 'k3v9x2m7q1ab',
            term: 1,
            former_leader: { url: 'http://10.0.0.1:7070', is_demoted: true, failure: null },
            before: null,
          },
        },
      },
    },
  },
  problems: [...bodyProblems, 'conflict', ...writeFaults],
}

export const postDemote: OperationDocs = {
  id: 'demote',
  description:
    'Sent by a node that was promoted. From then on this one takes no writes, also after a restart, until it follows or is promoted. 409 `conflict` if it knows of a later promotion, or is not the node that is meant.',
  body: {
    content: {
      [json]: {
        schema: {
          type: 'object',
          required: ['node', 'term'],
          properties: {
            node: { ...text, description: 'The id of the node that was promoted' },
            url: { ...nullable(text), description: ownUrl.description },
            term: { type: 'integer', minimum: 1, description: 'The number of the promotion' },
            of: { ...nullable(text), description: 'The id of the node that is meant; null for any' },
          },
        },
        example: { node: 'k3v9x2m7q1ab', url: 'http://10.0.0.2:7070', term: 1, of: null },
      },
    },
  },
  responses: {
    200: {
      description: 'It takes no writes',
      content: {
        [json]: {
          schema: named('Demotion', {
            type: 'object',
            required: ['node', 'role', 'term'],
            properties: { node: text, role, term },
          }),
          example: { node: 'b7m2c9x4p0qd', role: 'demoted', term: 1 },
        },
      },
    },
  },
  problems: [...bodyProblems, 'conflict', ...writeFaults],
}
