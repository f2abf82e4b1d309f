import type { Engine } from '../engine.ts'
import { KvistError } from '../errors.ts'
import type { FindSource } from '../find/search.ts'
import type { Settings } from '../settings.ts'
import type { SharedStore } from '../shared-store.ts'
import type { IndexView } from './index-view.ts'
import type { IndexRegistry } from './registry.ts'

/** Indexes of a store that several servers write to (docs/design/indexes.md). */

/** Throws `unprocessable` for a unique index of a collection whose members one commit does not see together. */
export function requireKeepable(
  { isOnOneLine }: Pick<SharedStore, 'isOnOneLine'>,
  collection: string,
  { indexes }: Pick<Settings, 'indexes'>,
): void {
  const unique = indexes.find((one) => one.unique)
  if (unique === undefined || isOnOneLine(collection)) return
  throw new KvistError(
    'unprocessable',
    `index ${unique.name} cannot be unique: the members of ${collection} are on several lines of the Redis store, and a commit spans one. All are on one with a tag in the collection's name, such as {${collection}}, or in a store made with --redis-placement collection or --redis-lines 1`,
    { index: unique.name },
  )
}

/** Closes the engine and throws an Error of one line if the configuration file names indexes: other servers may have another file. */
export async function refuseIndexesInFile(
  engine: Pick<Engine, 'close'>,
  inFile: ReadonlyMap<string, Settings>,
): Promise<void> {
  const [named] = [...inFile].find(([, { indexes }]) => indexes.length > 0) ?? []
  if (named === undefined) return
  await engine.close()
  throw new Error(
    `the indexes of ${named} are in the configuration file: where the store is in Redis they are stored, as kvist index create does, so that all servers have the same`,
  )
}

/** Returns the indexes that have all members; `view` is that of a store that other servers write to. */
export function usableIndexes(
  registry: Pick<IndexRegistry, 'of'>,
  view: Pick<IndexView, 'number' | 'refresh'> | null,
): Pick<FindSource, 'indexesOf' | 'refresh'> {
  const readyOf = (collection: string) => registry.of(collection).filter(({ state }) => state === 'ready')
  if (view === null) return { indexesOf: readyOf }
  return {
    indexesOf(collection) {
      const number = view.number()
      return readyOf(collection).map((index) => {
        const { id, of, generation } = index
        return { ...index, guard: { id, of, generation: generation ?? 0, view: number } }
      })
    },
    refresh: view.refresh,
  }
}
