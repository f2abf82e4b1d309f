import { type Change, revisionOf } from '../../core/member.ts'
import { partition } from './ordered-list.ts'

/**
 * Changes in the order of their revisions, of which the latest of each member counts. A change that was overtaken stays
 * where it is, and readers skip it, until there are more of them than of the others: then all of them go together.
 */
export interface ChangeLog {
  append(change: Change): void
  /** One of the changes is not the latest of its member any more. */
  overtake(): void
  /** Puts a change in the place of that of the same revision. */
  replace(change: Change): void
  /** Changes after a revision, overtaken ones among them. Do not change the log meanwhile. */
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
