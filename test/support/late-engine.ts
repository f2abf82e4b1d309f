import type { Engine, FeedCursor } from '../../src/core/engine.ts'
import { KvistError } from '../../src/core/errors.ts'
import { revisionOf } from '../../src/core/member.ts'
import { nextTick } from '../../src/core/next-tick.ts'

/**
 * The engine with every request and every result on its way for a while, as to a server elsewhere: nothing comes at once,
 * and what is read may be outdated when it comes. Commits keep their order.
 */
export function lateEngine(engine: Engine, delay: () => Promise<void> = nextTick): Engine {
  const late = delayed(delay)
  let lastCommit: Promise<unknown> = Promise.resolve()
  let isClosed = false

  return {
    ...engine,
    read: (collection, key) => late(() => engine.read(collection, key)),
    readHead: (collection, key) => late(() => engine.readHead(collection, key)),
    readPart: (ref, version, from, to) => late(() => engine.readPart(ref, version, from, to)),
    readMany: (refs, maxBytes) => late(() => engine.readMany(refs, maxBytes)),
    tombstone: (collection, key) => late(() => engine.tombstone(collection, key)),
    scan: (range) => late(() => engine.scan(range)),
    async commit(commit) {
      if (isClosed) throw new KvistError('closing', 'the server is stopping')
      const before = lastCommit
      const way = delay()
      const sent = before.then(() => way)
      lastCommit = sent
      await sent
      const result = await engine.commit(commit)
      await delay()
      return result
    },
    changes: (after, limit, scope, maxBytes) => late(() => engine.changes(after, limit, scope, maxBytes)),
    forget: (beforeMs, limit) => late(() => engine.forget(beforeMs, limit)),
    forgottenClock: () => late(() => engine.forgottenClock()),
    expiring: (atMs, limit, purpose) => late(() => engine.expiring(atMs, limit, purpose)),
    collections: () => late(() => engine.collections()),
    async close() {
      isClosed = true
      await lastCommit
      await engine.close()
    },
  }
}

/** As `lateEngine`, of the feed alone: what is written while a page is on its way is written at once. */
export function lateFeed(engine: Engine, delay: () => Promise<void>): Engine {
  const late = delayed(delay)
  return {
    ...engine,
    changes: (after, limit, scope, maxBytes) => late(() => engine.changes(after, limit, scope, maxBytes)),
  }
}

function delayed(delay: () => Promise<void>): <T>(call: () => T | Promise<T>) => Promise<T> {
  return async (call) => {
    await delay()
    const result = await call()
    await delay()
    return result
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
    changes(after, limit, scope, maxBytes) {
      const { at, began } = parseCursor(after, Number(engine.head()))
      if (Math.max(Number(at), began) < oldest()) {
        throw new KvistError('compacted', 'the feed does not reach back so far', { oldest: String(oldest()) })
      }
      const { changes, next, atEnd, isCut } = atOnce(engine.changes(at, limit, scope, maxBytes))
      const kept = changes.filter((change) => change.type === 'put' || revisionOf(change) > oldest())
      const cursorAt = (revision: number) =>
        oldest() > 0 && revision < began ? `${revision}-${began}` : String(revision)
      return {
        changes: kept,
        cursorAfter: (index) => cursorAt(revisionOf(kept[index]!)),
        next: cursorAt(Number(next)),
        atEnd,
        isCut,
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
