import type { Committed } from './member.ts'

/**
 * Keeps a version of each collection that differs after every change in it, renewals of an expiry included. Versions
 * last as long as the process: after a restart every collection has another.
 */
export interface CollectionVersions {
  onCommit(changes: readonly Committed[]): void
  /** Gives every collection another version. */
  onSetback(): void
  of(collection: string): string
  /** The number of commits so far. */
  commits(): number
}

/**
 * Collections share slots by a hash of their names, so that memory does not grow with their number. Where two share one, a
 * change of either changes the version of both: a client then fetches an unchanged list again.
 */
const slots = 4096

export function collectionVersions(): CollectionVersions {
  let era = newEra()
  const lastChanged = new Float64Array(slots)
  let commits = 0

  return {
    onCommit(changes) {
      commits++
      let last = ''
      for (const { collection } of changes) {
        // Most commits are to one collection.
        if (collection === last) continue
        lastChanged[slotOf(collection)] = commits
        last = collection
      }
    },
    onSetback() {
      era = newEra()
    },
    of: (collection) => `${era}-${lastChanged[slotOf(collection)]!.toString(36)}`,
    commits: () => commits,
  }
}

function newEra(): string {
  return crypto.randomUUID().slice(0, 8)
}

/** Returns the slot of a collection, by FNV-1a. */
function slotOf(collection: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < collection.length; i++) hash = Math.imul(hash ^ collection.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % slots
}
