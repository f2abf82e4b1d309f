import { stampToMs } from '../core/clock.ts'
import type { Conflict } from '../core/conflict-records.ts'
import type { ConflictWatch } from '../core/conflicts.ts'
import type { VersionRef } from '../core/engine.ts'
import type { ForeignWrite } from '../core/foreign-write.ts'
import type { Log } from '../telemetry/log.ts'
import { type Knowledge, parseKnowledge, type Stamps } from './knowledge.ts'

/**
 * Decides on conflicts: two nodes wrote the same member, neither knowing of the other's version, and one version was lost.
 * The versions are of two nodes, and the sender of the one did not know the other: it has not come to the sender, by what the
 * sender says of itself (knowledge.ts), and this node has not sent it there. A write that had come here before is none, either.
 * Counts them and logs them; the core records them (core/conflicts.ts).
 */
export interface Conflicts {
  /**
   * Returns what watches the writes that a node sends; null if it did not say which it is. `knows` is what it says of itself; null
   * for nothing.
   */
  watchOf(sender: string | null, knows?: string | null): ReceivedWatch
  count(): number
}

/** Watches the writes of one request. */
export interface ReceivedWatch extends ConflictWatch {
  /** Notes writes that were applied, or are superseded. */
  onApplied(writes: readonly ForeignWrite[]): void
  /** Call it when all writes of the request were applied. */
  onReceived(): Promise<void>
}

export interface ConflictOptions {
  /** Whether this node has sent a version to another node. */
  readonly hasSent: (node: string, version: VersionRef) => boolean
  /** What this node knows of others; missing if it keeps nothing of that. */
  readonly knowledge?: Pick<Knowledge, 'has' | 'learn' | 'save'>
  readonly log: Pick<Log, 'warn'>
  readonly now: () => number
}

/** At most one line is logged in this time. */
const logEveryMs = 1000

export function conflictCounter({ hasSent, knowledge, log, now }: ConflictOptions): Conflicts {
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

  function watchOf(sender: string | null, knows: string | null = null): ReceivedWatch {
    const theirs = knows === null ? null : parseKnowledge(knows)
    return {
      isConflict({ collection, key, origin }, { node, clock, revision }) {
        if (sender === null || node === sender) return false
        const isKnown = (theirs?.stamps.get(node) ?? 0) >= clock
        const isRepeated = theirs !== null && knowledge?.has(origin) === true
        return !isKnown && !isRepeated && !hasSent(sender, { collection, key, revision })
      },
      onConflict,
      // Before a client can have written over them: what it writes is sent with the knowledge of them.
      onApplied(writes) {
        if (theirs !== null) knowledge?.learn(latestOf(writes))
      },
      async onReceived() {
        if (theirs === null) return
        if (theirs.isComplete) knowledge?.learn(theirs.stamps)
        await knowledge?.save('maybe')
      },
    }
  }

  return { watchOf, count: () => conflicts }
}

/** Returns the latest stamp of each node that wrote something. */
function latestOf(writes: readonly ForeignWrite[]): Stamps {
  const latest = new Map<string, number>()
  for (const { origin } of writes) {
    latest.set(origin.node, Math.max(latest.get(origin.node) ?? 0, origin.clock))
  }
  return latest
}
