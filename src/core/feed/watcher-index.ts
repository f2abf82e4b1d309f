import type { Scope } from './scope.ts'
import type { QueuedWatcher } from './watcher.ts'

/**
 * Watchers by what they watch: a member, a collection, or the whole store. Each entry is the first of a list that runs
 * through the watchers themselves, so one that watches alone costs an entry in a map and no list.
 */
export interface WatcherIndex {
  add(watcher: QueuedWatcher): void
  remove(watcher: QueuedWatcher): void
  /** The first of each list; follow `next`. */
  ofMember(collection: string, key: string): QueuedWatcher | undefined
  ofCollection(collection: string): QueuedWatcher | undefined
  ofStore(): QueuedWatcher | undefined
  all(): Generator<QueuedWatcher>
}

type Lists = Map<string, QueuedWatcher>

export function watcherIndex(): WatcherIndex {
  const ofMembers = new Map<string, Lists>()
  const ofCollections: Lists = new Map()
  const ofStore: Lists = new Map()

  /** The list of this scope is the entry of that name. */
  function listOf({ collection, key }: Scope): { lists: Lists; name: string } {
    if (collection === null) return { lists: ofStore, name: '' }
    if (key === null) return { lists: ofCollections, name: collection }
    let lists = ofMembers.get(collection)
    if (lists === undefined) {
      lists = new Map()
      ofMembers.set(collection, lists)
    }
    return { lists, name: key }
  }

  return {
    add(watcher) {
      const { lists, name } = listOf(watcher.scope)
      const first = lists.get(name) ?? null
      watcher.next = first
      if (first !== null) first.previous = watcher
      lists.set(name, watcher)
    },
    remove(watcher) {
      const { lists, name } = listOf(watcher.scope)
      const { previous, next } = watcher
      if (next !== null) next.previous = previous
      if (previous !== null) previous.next = next
      else if (next !== null) lists.set(name, next)
      else lists.delete(name)
      const { collection, key } = watcher.scope
      if (collection !== null && key !== null && lists.size === 0) ofMembers.delete(collection)
      watcher.previous = null
      watcher.next = null
    },
    ofMember: (collection, key) => ofMembers.get(collection)?.get(key),
    ofCollection: (collection) => ofCollections.get(collection),
    ofStore: () => ofStore.get(''),
    *all() {
      for (const lists of [ofStore, ofCollections, ...ofMembers.values()]) {
        for (const first of lists.values()) {
          for (let watcher: QueuedWatcher | null = first; watcher !== null; watcher = watcher.next)
            yield watcher
        }
      }
    },
  }
}
