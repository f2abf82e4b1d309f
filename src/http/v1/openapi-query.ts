import { maxExaminedMembers } from '../../core/limits.ts'
import type { OperationDocs } from '../operation.ts'
import { json, ndjson, query, readFaults, storedExample, text, valueExample } from './openapi-parts.ts'
import * as requests from './request-schemas.ts'
import * as responses from './response-schemas.ts'

/** Documentation of what finds members by their values. */

const whereText =
  'a logical expression of JSONPath (RFC 9535), `@` being the value: `@.country == "SE" && @.population >= 100000`. A value that is not JSON matches none'

export const where = query('where', `Members whose value matches ${whereText}`)

/** Of a feed or a watch. */
export const whereOfChanges = query(
  'where',
  `Changes to members whose value matches ${whereText}. A put of another value comes as \`leave\`, without the value, as it may have matched before; deletes and expiries always come`,
)

export const order = query(
  'order',
  'By the bytes of the key, `asc` or `desc`; or by fields of the values, `-@.population,@.name`: descending with a minus, members with equal fields by key. Without an index that orders them so, members are sorted in memory',
  { ...text, default: 'asc', examples: ['asc', 'desc', '-@.population,@.name'] },
)

export const finding = [
  where,
  query('fields', 'Show only these fields of each value, as they are stored: `@.name,@.population`'),
  query('count', 'Also count all that match, on whatever page: `true`'),
  query('explain', 'Say which index served, and how many members were examined: `true`'),
]

export const findNote = `With \`where\`, \`fields\`, \`count\`, \`explain\` or an order by fields the page also has \`complete\`: false if ${maxExaminedMembers} members were examined and there are more, as without an index that serves; \`next\` goes on, and \`count\` is then of those examined. With \`where\` and no \`order\` the members come in the order that costs least.`

export const queryMembers: OperationDocs = {
  id: 'queryMembers',
  description: `What \`GET /v1/{collection}\` lists, with its parameters as fields of a body: for what is too long for a URL. It changes nothing, and needs \`read\`. With \`Accept: ${ndjson}\` all of it streams, without \`cursor\`, \`count\` and \`explain\`. ${findNote}`,
  body: {
    content: {
      [json]: {
        schema: requests.query,
        example: { collection: 'books', where: '@.year < 1970', order: ['-@.year', '@.title'], count: true },
      },
    },
  },
  responses: {
    200: {
      description: 'A page, or everything',
      content: {
        [json]: {
          schema: responses.page,
          example: {
            members: [{ ...storedExample, value: valueExample }],
            next: null,
            complete: true,
            count: 1,
          },
        },
        [ndjson]: { schema: responses.listLine },
      },
    },
  },
  problems: [
    'invalid_request',
    'invalid_json',
    'invalid_collection',
    'invalid_key',
    'invalid_parameter',
    'invalid_where',
    'invalid_cursor',
    'no_index',
    'unprocessable',
    'too_large',
    'unsupported_media_type',
    ...readFaults,
  ],
}
