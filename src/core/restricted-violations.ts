import { KvistError } from './errors.ts'
import type { Operation } from './operations.ts'
import { isWithin, type Viewer } from './permits.ts'

/**
 * Returns what `write` does. If a merge patch of the viewer's breaks the schema on a member that the viewer may not read, the
 * error does not say how: that could tell of what is stored.
 */
export function hidingViolations<Result>(
  viewer: Viewer,
  operations: readonly Operation[],
  write: () => Promise<Result>,
): Promise<Result> {
  const isHidden = operations.some(
    ({ op, collection, key }) => op === 'patch' && !isWithin(viewer.permits.reach('read', collection), key),
  )
  return isHidden ? write().catch(withoutViolations) : write()
}

function withoutViolations(error: unknown): never {
  if (!(error instanceof KvistError) || error.code !== 'schema_violation') throw error
  const { collection, key, operation } = error.extra
  const detail = `the value of ${JSON.stringify(key)} would break the schema of ${collection}`
  const index = operation === undefined ? {} : { operation }
  throw new KvistError('schema_violation', detail, { collection, key, violations: [], ...index })
}
