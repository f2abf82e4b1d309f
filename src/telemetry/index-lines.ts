import type { IndexEvent } from '../core/indexes/one-build.ts'
import type { Log } from './log.ts'

/** Logs what happens to an index. */
export function logIndexEvent(log: Pick<Log, 'info' | 'warn'>, event: IndexEvent): void {
  const { type, collection, name: index, examined, failure } = event
  const of = { collection, index, examined }
  if (collection === null) log.info('the entries of an index that is no more were deleted')
  else if (type === 'failed') log.warn(`index ${index} of ${collection} cannot be built: ${failure}`, of)
  else if (type === 'ready') log.info(`index ${index} of ${collection} is ready`, of)
  else log.info(`index ${index} of ${collection} is being built`, of)
}
