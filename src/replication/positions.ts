import type { Database } from '../core/database.ts'
import type { FeedCursor } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import type { Scope } from '../core/feed/scope.ts'
import { keyOf, revisionOf } from '../core/member.ts'

/** The feed that peers read. */
export const wholeStore: Scope = { collection: null, key: null, prefix: null, filter: null, own: true }

/** Whether a position of the target is before another one; `unknown` if the feed does not reach back to it. */
export async function positionBefore(
  db: Database,
  position: FeedCursor,
  other: FeedCursor,
): Promise<'before' | 'not before' | 'unknown'> {
  let cursor = position
  try {
    for (;;) {
      const { events, next, atEnd } = await db.changes(wholeStore, cursor, 1)
      const change = events[0]?.change
      if (change !== undefined) {
        const version = { collection: change.collection, key: keyOf(change), revision: revisionOf(change) }
        return db.hasSeen(other, version) ? 'before' : 'not before'
      }
      if (atEnd) return 'not before'
      cursor = next
    }
  } catch (error) {
    if (error instanceof KvistError && (error.code === 'compacted' || error.code === 'invalid_cursor'))
      return 'unknown'
    throw error
  }
}
