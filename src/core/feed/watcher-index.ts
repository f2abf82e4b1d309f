import type { Scope } from './scope.ts'
import type { QueuedWatcher } from './watcher.ts'

/**
 * Indexes watchers by the member or collection that they watch, or as watchers of the whole store. Each map entry is
 * the head of a list linked through the watchers themselves, so a lone watcher costs a map entry and no list.
 */
export interface WatcherIndex {
  add(watcher: QueuedWatcher): void
  remove(watcher: QueuedWatcher): void
  /** Return the head of a list; follow `next`. */
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

  /** Returns the map that holds the list of a scope, and its name in that map. */
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
