import { named, type Schema } from '../operation.ts'
import { text } from './openapi-parts.ts'
import { time } from './schema-parts.ts'

/** Documentation of what a node says of its targets. */

const count: Schema = { type: 'integer', minimum: 0 }
const nullable = (schema: Schema): Schema => ({ ...schema, type: [schema.type, 'null'] }) as Schema

export const failure: Schema = {
  type: ['object', 'null'],
  required: ['detail', 'at'],
  properties: { detail: text, at: time },
}

const heal = named('Heal', {
  type: ['object', 'null'],
  required: ['is_running', 'runs', 'failures', 'mended', 'undecided', 'last_run_at', 'last_error'],
  properties: {
    is_running: { type: 'boolean' },
    runs: { ...count, description: 'Comparisons that came to their end, since the start' },
    failures: count,
    mended: { ...count, description: 'Members that were mended since the start' },
    undecided: {
      ...count,
      description:
        'Of the last run: members that only one of the two has, and that the other may have deleted and forgotten',
    },
    last_run_at: nullable(time),
    last_error: failure,
  },
})

export const target = named('Target', {
  type: 'object',
  required: [
    ...['url', 'state', 'node', 'lag_changes', 'lag_seconds', 'sent', 'failures'],
    ...['last_error', 'last_success_at', 'setbacks', 'heal'],
  ],
  properties: {
    url: text,
    state: {
      enum: ['filling', 'sending', 'current', 'retrying'],
      description: '`filling`: it gets everything for the first time. `retrying`: the last attempt failed',
    },
    node: { ...nullable(text), description: 'The id of its node; null until it has responded' },
    lag_changes: {
      ...nullable(count),
      description: 'Changes that it lacks; null until it has had everything once since the start',
    },
    lag_seconds: { type: 'number', minimum: 0, description: 'The age of the oldest change that it lacks' },
    sent: { ...count, description: 'Changes that were sent to it since the start' },
    failures: { ...count, description: 'Attempts that failed since the start' },
    last_error: failure,
    last_success_at: nullable(time),
    setbacks: {
      ...count,
      description:
        'How often it had less than before, as after it was put back from an older copy: it gets what it lost',
    },
    heal,
  },
})

export const targetExample = {
  url: 'http://10.0.0.2:7070',
  state: 'current',
  node: 'k3v9x2m7q1ab',
  lag_changes: 0,
  lag_seconds: 0,
  sent: 1204,
  failures: 0,
  last_error: null,
  last_success_at: '2026-01-01T00:00:00Z',
  setbacks: 0,
  heal: {
    ...{ is_running: false, runs: 12, failures: 0, mended: 3, undecided: 0 },
    ...{ last_run_at: '2026-01-01T00:00:00Z', last_error: null },
  },
}
