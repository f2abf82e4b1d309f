import type { Engine, FeedCursor, MemberRef } from '../engine.ts'
import { smallPageBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import { StaleView } from '../stale-view.ts'
import type { Writes } from '../writes.ts'
import { type Index, idOfEntries } from './definition.ts'
import { asDuplicate, entryOf, isUniqueEntry, readEntry } from './entries.ts'
import { checkOf, storedVersion } from './entry-writes.ts'
import type { IndexView } from './index-view.ts'
import { type IndexRegistry, progressDelete } from './registry.ts'

/** Deletes entries of indexes that are not kept any more. */

const deletedAtOnce = 500

export interface DropOptions {
  readonly engine: Pick<Engine, 'scan' | 'collections' | 'hasSeen' | 'head' | 'shared'>
  readonly registry: Pick<IndexRegistry, 'all' | 'stored'>
  readonly view: Pick<IndexView, 'refresh'>
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
    const isEnded = () => hasEnded() || isKept(id)
    if (engine.shared === null) await dropEntries(options, name, () => undefined, engine.head(), isEnded)
    else await dropSharedEntries(options, name, id, isEnded)
    if (!failed.has(id)) onDropped()
  }
}

/**
 * As `dropEntries` where other servers write to the store: they may know the index again. Each commit follows in the tick in which
 * `isEnded` was false, so it is refused by a line that has entries of those servers.
 */
async function dropSharedEntries(
  { engine, commit, view }: DropOptions,
  entries: string,
  id: string,
  isEnded: () => boolean,
): Promise<void> {
  let from: string | null = null
  do {
    const range = { collection: entries, from, to: null, order: 'asc', limit: deletedAtOnce } as const
    const { members, next } = await engine.scan({ ...range, keysOnly: true })
    const deletes = members.map(({ key, revision }) => {
      const what = { op: 'delete', collection: entries, key, cause: 'delete' } as const
      return { ...what, ifRevision: revision, anywhere: true } as const
    })
    if (isEnded()) return
    const isDone = deletes.length === 0 || (await isCurrent(view, () => commit([], deletes, 'relaxed')))
    if (isDone) from = next
    await nextTick()
  } while (from !== null)
  if (!isEnded()) await engine.shared!.forgetIndex(id)
}

/** Returns whether a commit was done that this server's view of the indexes was new enough for; refreshes that otherwise. */
async function isCurrent(view: DropOptions['view'], commit: () => Promise<unknown>): Promise<boolean> {
  try {
    await commit()
    return true
  } catch (error) {
    if (!(error instanceof StaleView)) throw error
    await view.refresh(error)
    return false
  }
}

/**
 * Deletes the entries that their members would not have: those of a former index with the same definition. Each is deleted with a
 * check of the member, so it does not matter who else writes entries meanwhile. `onPage` returns whether to go on.
 */
export async function clearEntries(
  { engine, commit }: Pick<DropOptions, 'commit'> & { readonly engine: Pick<Engine, 'scan' | 'readMany'> },
  index: Index,
  onPage: () => Promise<boolean>,
): Promise<boolean> {
  let from: string | null = null
  do {
    const range = { collection: index.entries, from, to: null, order: 'asc', limit: deletedAtOnce } as const
    const { members: entries, next } = await engine.scan({ ...range, keysOnly: false })
    for (let at = 0; at < entries.length; ) {
      const left = entries.slice(at)
      const refs = left.map((entry) => nearOf(index)(entry)!)
      const members = await engine.readMany(refs, smallPageBytes)
      const wrong = [...members.entries()].filter(([i, member]) => !isEntryOf(index, left[i]!, member))
      await Promise.all(
        wrong.map(([i, member]) => {
          const { key, revision } = left[i]!
          const own = checkOf({ ...refs[i]!, indexes: [], stored: storedVersion([], member) })
          const what = { op: 'delete', collection: index.entries, key, cause: 'delete' } as const
          return commit([own], [{ ...what, ifRevision: revision, near: refs[i]! }], 'relaxed')
        }),
      )
      at += members.length
    }
    from = next
    if (!(await onPage())) return false
  } while (from !== null)
  return true
}

function isEntryOf(index: Index, { key, value }: Member, member: Member | null): boolean {
  if (member === null) return false
  const own = entryOf(index, member.key, member.value)
  if (own.key === key) return own.value === value
  return isUniqueEntry(own.key, index.on.length) && asDuplicate(own, member.key).key === key
}

/** Deletes the progress of indexes that no settings name. */
export async function forgetUnknown({
  commit,
  registry,
  view,
}: Pick<DropOptions, 'commit' | 'registry' | 'view'>): Promise<void> {
  const isKnown = (id: string) => registry.all().some((index) => index.id === id)
  for (const stored of registry.stored()) {
    // Another view may know it.
    while (!isKnown(stored.id) && !(await isCurrent(view, () => commit([], [progressDelete(stored)])))) {}
  }
}
