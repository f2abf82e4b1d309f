import type { Engine, ResumePoint } from '../../src/core/engine.ts'
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

/**
 * The engine as if all tombstones up to a revision had been taken away; of one that answers at once, and whose points
 * are revisions.
 *
 * A reader from the beginning must be able to go on past where the feed reaches back to: what it lacks are tombstones
 * of members that it has never heard of, as long as none is taken away that came after it began. So its points say
 * both, `at-begun`, until it has come as far as the head was when it began.
 */
export function compactedEngine(engine: Engine, oldest: () => number): Engine {
  return {
    ...engine,
    tombstone(collection, key) {
      const found = atOnce(engine.tombstone(collection, key))
      return found !== null && found.revision <= oldest() ? null : found
    },
    changes(after, limit, collection) {
      const { at, begun } = parsePoint(after, Number(engine.head()))
      if (Math.max(Number(at), begun) < oldest()) {
        throw new KvistError('compacted', 'the feed does not reach back so far', { oldest: String(oldest()) })
      }
      const { changes, next, atEnd } = atOnce(engine.changes(at, limit, collection))
      const kept = changes.filter((change) => change.type === 'put' || revisionOf(change) > oldest())
      const pointAt = (revision: number) =>
        oldest() > 0 && revision < begun ? `${revision}-${begun}` : String(revision)
      return {
        changes: kept,
        pointAfter: (index) => pointAt(revisionOf(kept[index]!)),
        next: pointAt(Number(next)),
        atEnd,
      }
    },
  }
}

/** One without a beginning is as if it had begun where it is. */
function parsePoint(point: ResumePoint, head: number): { at: string; begun: number } {
  const [at = '', begun] = point.split('-')
  if (begun !== undefined) return { at, begun: Number(begun) }
  return { at, begun: Number(at) === 0 ? head : 0 }
}

function atOnce<T>(answer: T | Promise<T>): T {
  if (answer instanceof Promise) throw new Error('this is for an engine that answers at once')
  return answer
}

/** The revision that a point stands at. */
export function revisionAt(point: ResumePoint): number {
  return Number(point.split('-')[0])
}
