import type { MemberRef } from '../../core/engine.ts'
import { maxPrefetched } from './btree/search-keys.ts'
import { type Overlay, readExistingVersions } from './overlay.ts'
import type { ExistingVersion } from './wal/record.ts'

/** What a commit reads: the members that it checks, and those that it writes. */
interface Reading {
  readonly commit: { readonly checks: readonly MemberRef[] }
  readonly writes: readonly MemberRef[]
}

/** The stored versions of members, prefetched in batches and consumed in order. */
export interface VersionsAhead {
  next(): ExistingVersion | null
  skip(count: number): void
}

export function versionsAhead(overlay: Overlay, pending: readonly Reading[]): VersionsAhead {
  const addRefs = refsOf(pending)
  const refs: MemberRef[] = []
  let versions: readonly (ExistingVersion | null)[] = []
  /** The index of the next version; one that was skipped may not have been read. */
  let next = 0
  return {
    next() {
      if (next >= versions.length) {
        refs.length = 0
        addRefs(refs, next - versions.length, maxPrefetched)
        versions = readExistingVersions(overlay, refs)
        next = 0
      }
      return versions[next++]!
    },
    skip(count) {
      next += count
    },
  }
}

/**
 * Returns a function that adds the next `limit` members that a group checks and writes to `refs`, in the order of evaluation,
 * after skipping some.
 */
function refsOf(pending: readonly Reading[]) {
  let commitIndex = 0
  let index = 0
  return (refs: MemberRef[], skipped: number, limit: number): void => {
    index += skipped
    while (commitIndex < pending.length && refs.length < limit) {
      const { commit, writes } = pending[commitIndex]!
      const { checks } = commit
      const count = checks.length + writes.length
      while (index < count && refs.length < limit) {
        refs.push(index < checks.length ? checks[index]! : writes[index - checks.length]!)
        index++
      }
      if (index < count) return
      index -= count
      commitIndex++
    }
  }
}
