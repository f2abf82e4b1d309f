import type { ChangesPage, Engine, ResumePoint } from '../../src/core/engine.ts'
import { KvistError } from '../../src/core/errors.ts'
import { revisionOf } from '../../src/core/member.ts'

/** The engine with every answer of its feed on its way for a while, as that of a cluster is: what it tells gets old. */
export function lateEngine(engine: Engine, wayThere: () => Promise<void>): Engine {
  async function late<T>(ask: () => T | Promise<T>): Promise<T> {
    await wayThere()
    const answer = await ask()
    await wayThere()
    return answer
  }
  return {
    ...engine,
    read: (collection, key) => late(() => engine.read(collection, key)),
    tombstone: (collection, key) => late(() => engine.tombstone(collection, key)),
    changes: (after, limit, collection) => late(() => engine.changes(after, limit, collection)),
  }
}

/** The engine as if all tombstones up to a revision had been taken away; of one whose points are revisions. */
export function compactedEngine(engine: Engine, oldest: () => number): Engine {
  return {
    ...engine,
    async tombstone(collection, key) {
      const found = await engine.tombstone(collection, key)
      return found !== null && found.revision <= oldest() ? null : found
    },
    async changes(after, limit, collection) {
      requireKept(after, oldest())
      const page = await engine.changes(after, limit, collection)
      return without(page, oldest())
    },
  }
}

function requireKept(after: ResumePoint, oldest: number): void {
  if (Number(after) === 0 || Number(after) >= oldest) return
  throw new KvistError('compacted', 'the feed does not reach back so far', { oldest: String(oldest) })
}

function without(page: ChangesPage, oldest: number): ChangesPage {
  const kept = [...page.changes.keys()].filter((i) => {
    const change = page.changes[i]!
    return change.type === 'put' || revisionOf(change) > oldest
  })
  return {
    ...page,
    changes: kept.map((i) => page.changes[i]!),
    pointAfter: (index) => page.pointAfter(kept[index]!),
  }
}
