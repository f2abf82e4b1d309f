import { type Change, revisionOf } from '../../core/member.ts'
import { partition } from './ordered-list.ts'

/**
 * Changes in the order of their revisions; only the latest change of each member counts. An overtaken change stays in the
 * log, and readers skip it, until at least half of the log (and 1,024 changes) is overtaken: then all overtaken changes
 * are removed at once.
 */
export interface ChangeLog {
  append(change: Change): void
  /** Counts a change as overtaken: it is no longer the latest of its member. */
  overtake(): void
  /** Replaces the change that has the same revision. */
  replace(change: Change): void
  /** Yields the changes after a revision, including overtaken ones. Do not change the log meanwhile. */
  after(revision: number): Generator<Change>
}

const leastOvertaken = 1024

export function changeLog(isLatest: (change: Change) => boolean): ChangeLog {
  let changes: Change[] = []
  let overtaken = 0

  function indexAfter(revision: number): number {
    return partition(changes.length, (i) => revisionOf(changes[i]!) <= revision)
  }

  return {
    append: (change) => void changes.push(change),
    overtake() {
      overtaken++
      if (overtaken < leastOvertaken || overtaken * 2 < changes.length) return
      changes = changes.filter(isLatest)
      overtaken = 0
    },
    replace(change) {
      const index = indexAfter(revisionOf(change)) - 1
      if (index >= 0 && revisionOf(changes[index]!) === revisionOf(change)) changes[index] = change
    },
    *after(revision) {
      for (let i = indexAfter(revision); i < changes.length; i++) yield changes[i]!
    },
  }
}
