import type { Where } from './find/expressions.ts'
import { findPage } from './find/find.ts'
import type { FindSource } from './find/search.ts'
import { listPage, type Selection } from './list.ts'
import type { Member } from './member.ts'
import { nextTick } from './next-tick.ts'
import type { Writes } from './writes.ts'

/** Selects members to delete. */
export interface DropSelection extends Selection {
  /** On the value; missing or null: all. */
  readonly where?: Where | null
}

const droppedAtOnce = 1000

/**
 * Deletes the members of a selection that were written before the call and returns how many. Each member is deleted on
 * its own: one that is written again meanwhile stays. `onProgress` is called after each batch.
 */
export async function dropMembers(
  source: FindSource,
  writes: Pick<Writes, 'commit'>,
  collection: string,
  selection: DropSelection,
  now: () => number,
  onProgress: () => void,
): Promise<number> {
  const { engine } = source
  const startedAtMs = now()
  const startedAt = engine.head()
  let dropped = 0
  let cursor: string | null = null
  do {
    const { members, next } = await selected(source, collection, selection, cursor, startedAtMs)
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

function selected(
  source: FindSource,
  collection: string,
  { where = null, ...selection }: DropSelection,
  cursor: string | null,
  nowMs: number,
): Promise<{ readonly members: readonly Member[]; readonly next: string | null }> {
  const page = { ...selection, limit: droppedAtOnce, cursor, keysOnly: true }
  if (where === null) return listPage(source.engine, collection, { ...page, order: 'asc' }, nowMs)
  return findPage(source, collection, { ...page, where, order: null, fields: null, count: false }, nowMs)
}
