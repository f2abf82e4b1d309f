import type { Commit } from '../engine.ts'

/**
 * Notes to which members of one collection the write gate's commits write, in the tick in which they are given to the engine. An
 * engine does commits in the order of their calls, so a member that was read and is not among the noted ones is as it was read for
 * a commit that is given to the engine in the same tick, without a check.
 */
export interface WrittenKeys {
  /** Begins to note the keys of a collection in the set that it returns, instead of those of another one. */
  watch(collection: string): Set<string>
  stop(): void
  note(writes: Commit['writes']): void
}

export function writtenKeys(): WrittenKeys {
  let watched: string | null = null
  let keys = new Set<string>()
  return {
    watch(collection) {
      watched = collection
      keys = new Set()
      return keys
    },
    stop() {
      watched = null
      keys = new Set()
    },
    note(writes) {
      if (watched === null) return
      for (const { collection, key } of writes) if (collection === watched) keys.add(key)
    },
  }
}
