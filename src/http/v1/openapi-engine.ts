import { named, type OperationDocs, type Schema } from '../operation.ts'
import { json, text } from './openapi-parts.ts'

/** The documentation of `/v1/_engine`. */

const count: Schema = { type: 'integer', minimum: 0 }
const unknownCount: Schema = { type: ['integer', 'null'], minimum: 0 }
const unknownText: Schema = { type: ['string', 'null'] }

const replica = named('EngineReplica', {
  type: 'object',
  required: ['address', 'lag_bytes'],
  properties: {
    address: text,
    lag_bytes: {
      ...unknownCount,
      description:
        "Bytes of the primary's writes that it has not acknowledged; null where it is not connected",
    },
  },
})

const primary = named('EnginePrimary', {
  type: 'object',
  required: ['address', 'version', 'slots', 'memory_bytes', 'max_memory_bytes', 'replicas'],
  properties: {
    address: text,
    version: { ...unknownText, description: 'Null where the server cannot be reached' },
    slots: count,
    memory_bytes: unknownCount,
    max_memory_bytes: { ...unknownCount, description: 'Null for no limit' },
    replicas: { type: 'array', items: replica },
  },
})

const line = named('EngineLine', {
  type: 'object',
  required: ['line', 'primary', 'revision', 'reported', 'members', 'tombstones', 'memory_bytes', 'gaps'],
  properties: {
    line: count,
    primary: { ...unknownText, description: 'The server that has it; null where there is none' },
    revision: { ...unknownCount, description: 'Of its last commit; null where the line cannot be reached' },
    reported: { ...count, description: 'The revision up to which this server knows all changes' },
    members: unknownCount,
    tombstones: unknownCount,
    memory_bytes: unknownCount,
    gaps: {
      ...unknownCount,
      description: 'How often another server has taken over, at which acknowledged writes can have been lost',
    },
  },
})

const status = named('EngineStatus', {
  type: 'object',
  required: ['engine', 'primaries', 'lines'],
  properties: {
    engine: { enum: ['sqlite', 'memory', 'redis'] },
    primaries: { type: 'array', items: primary, description: 'Servers of Redis; empty with another engine' },
    lines: { type: 'array', items: line, description: 'Parts of the store; empty with another engine' },
  },
})

export const getEngine: OperationDocs = {
  id: 'getEngine',
  responses: {
    200: {
      description: 'The engine, its servers, and what they hold',
      content: {
        [json]: {
          schema: status,
          example: {
            engine: 'redis',
            primaries: [
              {
                address: '10.0.0.1:6379',
                version: '7.0.15',
                slots: 16_384,
                memory_bytes: 1_572_864,
                max_memory_bytes: null,
                replicas: [{ address: '10.0.0.2:6379', lag_bytes: 0 }],
              },
            ],
            lines: [
              {
                line: 0,
                primary: '10.0.0.1:6379',
                revision: 3_677_948_637_485_056,
                reported: 3_677_948_637_485_056,
                members: 1024,
                tombstones: 3,
                memory_bytes: 505_856,
                gaps: 0,
              },
            ],
          },
        },
      },
    },
  },
  problems: ['invalid_parameter', 'closing'],
}
