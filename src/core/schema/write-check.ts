import type { Put } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { violationsOf } from './schema.ts'
import { summaryOf, type Violation } from './violations.ts'

type CheckedPut = Pick<Put, 'collection' | 'key' | 'value'>

/** Throws `schema_violation` if the value of a put breaks the schema of its collection. */
export function requireValue(schema: string, put: CheckedPut): void {
  const violations = violationsOfPut(schema, put)
  if (violations === null) return
  const { collection, key } = put
  const detail = `the value of ${JSON.stringify(key)} breaks the schema of ${collection}: ${summaryOf(violations)}`
  throw new KvistError('schema_violation', detail, { collection, key, violations })
}

function violationsOfPut(schema: string, { collection, value }: CheckedPut): readonly Violation[] | null {
  try {
    return violationsOf(schema, value)
  } catch (error) {
    if (!(error instanceof KvistError) || error.code !== 'invalid_schema') throw error
    // The client has done nothing wrong: the schema came from another server.
    throw new KvistError(
      'unprocessable',
      `the schema of ${collection} cannot be used: ${error.message}`,
      {},
      error,
    )
  }
}
