import type { FeedCursor, OnCommit, OnSetback } from '../engine.ts'
import { type Change, keyOf } from '../member.ts'
import type { FeedSource } from './pages.ts'
import { isVisible, type Scope } from './scope.ts'
import {
  QueuedWatcher,
  queuedEvent,
  type WatchBounds,
  type WatchContext,
  type Watcher,
  type WatchStats,
} from './watcher.ts'
import { watcherIndex } from './watcher-index.ts'

/** Delivers commits to their watchers (docs/design/watch.md). */
export interface WatchHub {
  /** See `Database.watch`. */
  watch(scope: Scope, since: FeedCursor | null, wake: () => void): Watcher
  readonly onCommit: OnCommit
  readonly onSetback: OnSetback
  readonly stats: Readonly<WatchStats>
}

const defaultBounds: WatchBounds = { events: 512, bytes: 1 << 20, totalBytes: 64 << 20 }

/** Watchers woken in one tick of the event loop. */
const wokenAtOnce = 500

export function watchHub(source: FeedSource, bounds: WatchBounds = defaultBounds): WatchHub {
  const stats: WatchStats = { watchers: 0, events: 0, fallbacks: 0 }
  const index = watcherIndex()
  const context: WatchContext = {
    source,
    bounds,
    stats,
    head: '',
    queuedBytes: 0,
    waiting: new Set(),
    wake: wakeLater(),
    remove(watcher) {
      index.remove(watcher)
      stats.watchers--
    },
  }

  function notify(change: Change, cursorAfter: (index: number) => FeedCursor, i: number): void {
    const { collection } = change
    const key = keyOf(change)
    const ofMember = index.ofMember(collection, key)
    const ofCollection = index.ofCollection(collection)
    const ofStore = index.ofStore()
    if (ofMember === undefined && ofCollection === undefined && ofStore === undefined) return
    let event: ReturnType<typeof queuedEvent> | null = null
    for (const list of [ofMember, ofCollection, ofStore]) {
      for (let watcher = list ?? null; watcher !== null; watcher = watcher.next) {
        if (!watcher.matches(key) || !isVisible(watcher.scope, collection, key)) continue
        event ??= queuedEvent(change, cursorAfter(i))
        watcher.enqueue(event)
      }
    }
  }

  return {
    stats,
    onCommit(changes, cursorAfter) {
      if (stats.watchers === 0 || changes.length === 0) return
      for (let i = 0; i < changes.length; i++) {
        const change = changes[i]!
        if (change.type !== 'renew') notify(change, cursorAfter, i)
      }
      context.head = cursorAfter(changes.length - 1)
    },
    onSetback() {
      if (stats.watchers === 0) return
      for (const watcher of [...index.all()]) watcher.startOver()
      context.head = source.engine.head()
    },
    watch(scope, since, wake) {
      // The head is not kept up to date while there is no watcher.
      if (stats.watchers === 0) context.head = source.engine.head()
      const watcher = new QueuedWatcher(context, scope, since, wake)
      index.add(watcher)
      stats.watchers++
      return watcher
    },
  }
}

/**
 * Returns a function that wakes a watcher on the next tick, after the writer has its response. Thousands of watchers
 * are woken over several ticks.
 */
function wakeLater(): (watcher: QueuedWatcher) => void {
  let due: QueuedWatcher[] = []

  function wakeSome(): void {
    const some = due
    due = some.length > wokenAtOnce ? some.splice(wokenAtOnce) : []
    if (due.length > 0) setImmediate(wakeSome)
    for (const watcher of some) watcher.wakeIfDue()
  }

  return (watcher) => {
    if (due.length === 0) setImmediate(wakeSome)
    due.push(watcher)
  }
}
