import type { Engine, FeedCursor, MemberRef } from '../engine.ts'
import type { Member } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import type { Writes } from '../writes.ts'
import { type Index, idOfEntries } from './definition.ts'
import { readEntry } from './entries.ts'
import { type IndexRegistry, progressDelete } from './registry.ts'

/** Deletes entries of indexes that are not kept any more. */

const deletedAtOnce = 500

export interface DropOptions {
  readonly engine: Pick<Engine, 'scan' | 'collections' | 'hasSeen' | 'head'>
  readonly registry: Pick<IndexRegistry, 'all' | 'stored'>
  readonly commit: Writes['commitChecked']
}

/** Returns the member whose line an entry shares; undefined where that is not known any more. */
type NearOf = (entry: Member) => MemberRef | undefined

export function nearOf({ of, on }: Pick<Index, 'of' | 'on'>): NearOf {
  return ({ key, value }) => ({ collection: of, key: readEntry(key, value, on.length).memberKey })
}

/** Deletes the entries that were written before a moment of the feed, until `hasEnded`. */
export async function dropEntries(
  { engine, commit }: Pick<DropOptions, 'engine' | 'commit'>,
  entries: string,
  near: NearOf,
  before: FeedCursor,
  hasEnded: () => boolean,
): Promise<void> {
  let from: string | null = null
  do {
    const range = { collection: entries, from, to: null, order: 'asc', limit: deletedAtOnce } as const
    const { members, next } = await engine.scan({ ...range, keysOnly: false })
    const deletes = members
      .filter(({ key, revision }) => engine.hasSeen(before, { collection: entries, key, revision }))
      .map((entry) => {
        const { key, revision } = entry
        const at = near(entry)
        const own = { op: 'delete', collection: entries, key, cause: 'delete', ifRevision: revision } as const
        return at === undefined ? own : { ...own, near: at }
      })
    if (deletes.length > 0) await commit([], deletes, 'relaxed')
    from = next
    await nextTick()
  } while (from !== null && !hasEnded())
}

/** Deletes the entries of indexes that no settings name, or that have failed, and the progress of the former. */
export async function dropOrphans(
  options: DropOptions,
  hasEnded: () => boolean,
  onDropped: () => void,
): Promise<void> {
  const { engine, registry } = options
  const isKept = (id: string) => registry.all().some((index) => index.id === id && index.state !== 'failed')
  const failed = new Set(registry.all().flatMap(({ id, state }) => (state === 'failed' ? [id] : [])))
  await forgetUnknown(options)
  for (const { name } of await engine.collections()) {
    const id = idOfEntries(name)
    if (id === null || hasEnded() || isKept(id)) continue
    await dropEntries(
      options,
      name,
      () => undefined,
      engine.head(),
      () => hasEnded() || isKept(id),
    )
    if (!failed.has(id)) onDropped()
  }
}

/** Deletes the progress of indexes that no settings name. */
export async function forgetUnknown({
  commit,
  registry,
}: Pick<DropOptions, 'commit' | 'registry'>): Promise<void> {
  const known = new Set(registry.all().map(({ id }) => id))
  for (const stored of registry.stored())
    if (!known.has(stored.id)) await commit([], [progressDelete(stored)])
}
