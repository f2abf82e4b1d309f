import type { Engine } from '../engine.ts'
import { KvistError } from '../errors.ts'
import type { Settings } from '../settings.ts'
import type { IndexRegistry } from './registry.ts'

/** A server that has not heard of an index yet would write members without their entries (docs/design/indexes.md). */
export function noIndexesHere(): KvistError {
  return new KvistError('not_implemented', 'a store in Redis has no indexes: several servers may write to it')
}

/** Ignores all indexes from now on. Closes the engine and throws an Error of one line if the configuration file names some. */
export async function disableIndexes(
  engine: Pick<Engine, 'close'>,
  registry: Pick<IndexRegistry, 'disable'>,
  inFile: ReadonlyMap<string, Settings>,
): Promise<void> {
  registry.disable()
  const [named] = [...inFile].find(([, { indexes }]) => indexes.length > 0) ?? []
  if (named === undefined) return
  await engine.close()
  throw new Error(`the indexes of ${named} in the configuration file: ${noIndexesHere().message}`)
}
