import type { Engine, FeedCursor } from '../../src/core/engine.ts'
import { KvistError } from '../../src/core/errors.ts'
import { revisionOf } from '../../src/core/member.ts'

/** The engine with every result on its way for a while, as from a server elsewhere: what it returns may be outdated. */
export function lateEngine(engine: Engine, delay: () => Promise<void>): Engine {
  async function late<T>(call: () => T | Promise<T>): Promise<T> {
    await delay()
    const result = await call()
    await delay()
    return result
  }
  return {
    ...engine,
    read: (collection, key) => late(() => engine.read(collection, key)),
    readHead: (collection, key) => late(() => engine.readHead(collection, key)),
    tombstone: (collection, key) => late(() => engine.tombstone(collection, key)),
    changes: (after, limit, scope) => late(() => engine.changes(after, limit, scope)),
  }
}

/**
 * The engine as if all tombstones up to a revision had been forgotten; of one that returns at once, and whose cursors are
 * revisions.
 *
 * A reader from the beginning must be able to go on past where the feed reaches back to: what it lacks are tombstones of
 * members that it never saw, as long as none is forgotten that came after it began. So its cursors say both, `at-began`,
 * until it has come as far as the head was when it began.
 */
export function compactedEngine(engine: Engine, oldest: () => number): Engine {
  return {
    ...engine,
    tombstone(collection, key) {
      const found = atOnce(engine.tombstone(collection, key))
      return found !== null && found.revision <= oldest() ? null : found
    },
    changes(after, limit, scope) {
      const { at, began } = parseCursor(after, Number(engine.head()))
      if (Math.max(Number(at), began) < oldest()) {
        throw new KvistError('compacted', 'the feed does not reach back so far', { oldest: String(oldest()) })
      }
      const { changes, next, atEnd } = atOnce(engine.changes(at, limit, scope))
      const kept = changes.filter((change) => change.type === 'put' || revisionOf(change) > oldest())
      const cursorAt = (revision: number) =>
        oldest() > 0 && revision < began ? `${revision}-${began}` : String(revision)
      return {
        changes: kept,
        cursorAfter: (index) => cursorAt(revisionOf(kept[index]!)),
        next: cursorAt(Number(next)),
        atEnd,
      }
    },
  }
}

/** A reader without a beginning of its own is as if it had begun where it is. */
function parseCursor(cursor: FeedCursor, head: number): { at: string; began: number } {
  const [at = '', began] = cursor.split('-')
  if (began !== undefined) return { at, began: Number(began) }
  return { at, began: Number(at) === 0 ? head : 0 }
}

function atOnce<T>(result: T | Promise<T>): T {
  if (result instanceof Promise) throw new Error('this is for an engine that returns at once')
  return result
}

/** The revision that a cursor stands at. */
export function revisionAt(cursor: FeedCursor): number {
  return Number(cursor.split('-')[0])
}
