import { KvistError } from '../errors.ts'
import type { Index } from '../indexes/definition.ts'
import type { IndexGuard } from '../shared-store.ts'
import { StaleView } from '../stale-view.ts'

/** An index with the condition on which its entries can be read, where other servers write to the store. */
export interface UsableIndex extends Index {
  readonly guard?: IndexGuard
}

/** Two servers that change settings in turn cannot keep a third from reading for ever. */
const maxTries = 20

/** Runs a part of a query, and runs it again where its indexes turn out to have changed. */
export async function withCurrentIndexes<Result>(
  { refresh }: { readonly refresh?: (stale: StaleView) => Promise<void> },
  run: () => Promise<Result>,
): Promise<Result> {
  if (refresh === undefined) return run()
  for (let tries = 0; tries < maxTries; tries++) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof StaleView)) throw error
      await refresh(error)
    }
  }
  throw new KvistError('busy', 'the indexes of the store change too often for a query')
}
