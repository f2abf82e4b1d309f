import { stampToMs } from '../core/clock.ts'
import type { Conflict } from '../core/conflict-records.ts'
import type { ConflictWatch } from '../core/conflicts.ts'
import type { VersionRef } from '../core/engine.ts'
import type { Log } from '../telemetry/log.ts'

/**
 * Decides on conflicts: two nodes wrote the same member, neither knowing of the other's version, and one version was lost.
 * The versions are of two nodes, and the sender of the one cannot have known the other: this node has not sent it there.
 * Counts them and logs them; the core records them (core/conflicts.ts).
 */
export interface Conflicts {
  /** Returns what watches the writes that a node sends; null if it did not say which it is. */
  watchOf(sender: string | null): ConflictWatch
  count(): number
}

export interface ConflictOptions {
  /** Whether this node has sent a version to another node. */
  readonly hasSent: (node: string, version: VersionRef) => boolean
  readonly log: Pick<Log, 'warn'>
  readonly now: () => number
}

/** At most one line is logged in this time. */
const logEveryMs = 1000

export function conflictCounter({ hasSent, log, now }: ConflictOptions): Conflicts {
  let conflicts = 0
  let loggedMs = Number.NEGATIVE_INFINITY
  let unlogged = 0

  function onConflict({ collection, key, lost, kept }: Conflict): void {
    conflicts++
    unlogged++
    const nowMs = now()
    if (nowMs >= loggedMs && nowMs - loggedMs < logEveryMs) return
    log.warn('two nodes wrote the same member at once: one version is lost', {
      collection,
      key,
      lost: { node: lost.node, at: new Date(stampToMs(lost.clock)).toISOString() },
      kept: { node: kept.node, at: new Date(stampToMs(kept.clock)).toISOString() },
      conflicts: unlogged,
    })
    loggedMs = nowMs
    unlogged = 0
  }

  return {
    watchOf: (sender) => ({
      isConflict({ collection, key }, { node, revision }) {
        return sender !== null && node !== sender && !hasSent(sender, { collection, key, revision })
      },
      onConflict,
    }),
    count: () => conflicts,
  }
}
