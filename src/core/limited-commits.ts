import { commitOf, noChecks, type QuotaOptions } from './command.ts'
import type { CommitResult, Durability, Engine, Write, Written } from './engine.ts'
import { KvistError } from './errors.ts'
import { keyedMutex } from './keyed-mutex.ts'
import { refId } from './plan.ts'
import { mayFit, type Quota } from './quota.ts'

/** Commits of writes without conditions, each on its own and within the quota of its collection. */
export interface LimitedCommits {
  /** Returns the outcome of each write, with `exceeded` where it would pass a quota. */
  commit(writes: readonly Write[], durability: Durability | undefined): Promise<readonly Written[]>
  /**
   * As `commit`, for the parts of an import: where quotas apply, a part begins when the one before it has ended. A write
   * that is tried again could replace a later one of the same key otherwise.
   */
  inOrder(collection: string, writes: readonly Write[]): Promise<readonly Written[]>
}

export interface LimitedCommitOptions extends QuotaOptions {
  readonly commit: Engine['commit']
  readonly now: () => number
}

export function limitedCommits(options: LimitedCommitOptions): LimitedCommits {
  const { now, quotasOf, makeRoom } = options
  const exclusive = keyedMutex()

  async function commitOnce(
    writes: readonly Write[],
    durability: Durability | undefined,
    quotas: readonly Quota[] | undefined,
  ): Promise<readonly Written[]> {
    const commit = commitOf(noChecks, writes, now(), durability, quotas)
    const result = await outcomesApart(
      options.commit(writes.length === 1 ? commit : { ...commit, apart: true }),
    )
    if (result.ok) return result.written
    if ('exceeded' in result) return [{ ...nothingDone, exceeded: result.exceeded }]
    throw new Error('a commit without checks cannot fail one')
  }

  /** Does what is refused once more after expired members are deleted, unless a later write replaces it. */
  async function commitWithin(
    writes: readonly Write[],
    durability: Durability | undefined,
    quotas: readonly Quota[],
  ): Promise<readonly Written[]> {
    const written = [...(await commitOnce(writes, durability, quotas))]
    const last = new Map(writes.map((write, i) => [refId(write), i]))
    const again = [...last.values()]
      .toSorted((a, b) => a - b)
      .filter((i) => {
        const { exceeded } = written[i]!
        return exceeded !== undefined && mayFit(exceeded)
      })
    if (again.length === 0) return written
    await makeRoom()
    const left = again.map((i) => writes[i]!)
    // The quotas may have changed meanwhile.
    const outcomes = await commitOnce(left, durability, quotasOf(left))
    for (const [n, i] of again.entries()) written[i] = outcomes[n]!
    return written
  }

  function commit(writes: readonly Write[], durability: Durability | undefined): Promise<readonly Written[]> {
    const quotas = quotasOf(writes)
    return quotas === undefined
      ? commitOnce(writes, durability, undefined)
      : commitWithin(writes, durability, quotas)
  }

  return {
    commit,
    inOrder: (collection, writes) =>
      quotasOf(writes) === undefined
        ? commit(writes, undefined)
        : exclusive([collection], () => commit(writes, undefined)),
  }
}

/** A single write is no commit apart, but its outcome says as theirs do that it would break a unique index. */
async function outcomesApart(committing: Promise<CommitResult>): Promise<CommitResult> {
  try {
    return await committing
  } catch (error) {
    if (!(error instanceof KvistError) || error.code !== 'not_unique') throw error
    return { ok: true, written: [{ ...nothingDone, notUnique: error }] }
  }
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }
