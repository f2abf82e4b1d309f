import type { Engine } from './engine.ts'
import { listPage, type Selection } from './list.ts'
import { nextTick } from './next-tick.ts'
import type { Writes } from './writes.ts'

const droppedAtOnce = 1000

/**
 * Deletes the members of a selection that were written before the call and returns how many. Each member is deleted on
 * its own: one that is written again meanwhile stays. `onProgress` is called after each batch.
 */
export async function dropMembers(
  engine: Engine,
  writes: Pick<Writes, 'commit'>,
  collection: string,
  selection: Selection,
  now: () => number,
  onProgress: () => void,
): Promise<number> {
  const startedAtMs = now()
  const startedAt = engine.head()
  const query = { ...selection, order: 'asc', limit: droppedAtOnce, keysOnly: true } as const
  let dropped = 0
  let cursor: string | null = null
  do {
    const { members, next } = await listPage(engine, collection, { ...query, cursor }, startedAtMs)
    const deletes = members
      .filter(({ key, revision }) => engine.hasSeen(startedAt, { collection, key, revision }))
      .map(
        ({ key, revision }) =>
          ({ op: 'delete', collection, key, cause: 'delete', ifRevision: revision }) as const,
      )
    if (deletes.length > 0)
      dropped += (await writes.commit(deletes)).filter(({ revision }) => revision > 0).length
    cursor = next
    onProgress()
    await nextTick()
  } while (cursor !== null)
  return dropped
}
