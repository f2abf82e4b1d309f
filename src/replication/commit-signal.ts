import type { Follower } from '../core/follower.ts'
import { isOwnCollection } from '../core/keys.ts'
import { renewalsCollection } from '../core/renewal-records.ts'
import { settingsCollection } from '../core/settings.ts'

/** Tells mirrors of commits. */
export interface CommitSignal {
  readonly follower: Follower
  /** The number of changes that mirrors may have to send, since the start. */
  count(): number
  /** Resolves at the next commit after this call. */
  next(): Promise<void>
}

export function commitSignal(): CommitSignal {
  let changes = 0
  let waiting: Promise<void> | null = null
  let wake: () => void = () => {}

  return {
    follower: {
      onCommit(committed) {
        for (const { collection } of committed) if (isSent(collection)) changes++
        wake()
        wake = () => {}
        waiting = null
      },
      load: async () => {},
    },
    count: () => changes,
    next() {
      waiting ??= new Promise((resolve) => {
        wake = resolve
      })
      return waiting
    },
  }
}

/** Whether changes in a collection are sent to targets, tokens aside. */
function isSent(collection: string): boolean {
  return (
    !isOwnCollection(collection) || collection === renewalsCollection || collection === settingsCollection
  )
}
