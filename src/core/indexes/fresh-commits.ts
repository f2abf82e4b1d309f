import type { Commit, CommitResult, Engine, Write, Written } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { StaleView } from '../stale-view.ts'
import { idOfEntries } from './definition.ts'
import type { IndexView } from './index-view.ts'
import { indexesCollection } from './registry.ts'

/** Two servers that change settings in turn cannot keep a third from writing for ever. */
const maxTries = 100

/**
 * Returns `commit`, which is called again with what was refused because this server knew the indexes as they were: it computes the entries
 * anew. Rejects with `StaleView` where the commit itself was decided from the indexes: what removes entries or progress of unknown ones.
 */
export function freshCommits(view: Pick<IndexView, 'refresh'>, commit: Engine['commit']): Engine['commit'] {
  async function again(given: Commit, refused: unknown): Promise<CommitResult> {
    const written: Written[] = []
    let left = [...given.writes.keys()]
    let error = refused
    for (let tries = 0; tries < maxTries; tries++) {
      if (!(error instanceof StaleView) || isDecidedByView(given)) throw error
      for (const [at, one] of error.done) written[left[at]!] = one
      const { done } = error
      left = left.filter((_, at) => !done.has(at))
      await view.refresh(error)
      try {
        const result = await commit({ ...given, writes: left.map((i) => given.writes[i]!) })
        if (!result.ok) return result
        for (const [at, i] of left.entries()) written[i] = result.written[at]!
        return { ok: true, written }
      } catch (next) {
        error = next
      }
    }
    throw new KvistError('busy', 'the indexes of the store change too often for a commit')
  }

  return (given) => commit(given).catch((error: unknown) => again(given, error))
}

/** Whether a commit is right only as long as an index is unknown. */
function isDecidedByView({ checks, writes }: Commit): boolean {
  return checks.length === 0 && writes.some((write) => write.op === 'delete' && isOfIndex(write))
}

function isOfIndex({ collection }: Pick<Write, 'collection'>): boolean {
  return collection === indexesCollection || idOfEntries(collection) !== null
}
