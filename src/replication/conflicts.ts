import { stampToMs } from '../core/clock.ts'
import type { VersionRef, Written } from '../core/engine.ts'
import type { ForeignWrite } from '../core/writes.ts'
import type { Log } from '../telemetry/log.ts'

/**
 * Counts conflicts: two nodes wrote the same member, neither knowing of the other's version, and one version was lost. The
 * versions are of two nodes, and the sender of the one cannot have known the other: this node has not sent it there.
 */
export interface Conflicts {
  /** Takes over the result of writes from another node. */
  note(sender: string | null, writes: readonly ForeignWrite[], written: readonly Written[]): void
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

  function report(write: ForeignWrite, stored: NonNullable<Written['stored']>, isSuperseded: boolean): void {
    conflicts++
    unlogged++
    const nowMs = now()
    if (nowMs >= loggedMs && nowMs - loggedMs < logEveryMs) return
    const [winner, loser] = isSuperseded ? [stored, write.origin] : [write.origin, stored]
    log.warn('two nodes wrote the same member at once: one version is lost', {
      collection: write.collection,
      key: write.key,
      lost: { node: loser.node, at: new Date(stampToMs(loser.clock)).toISOString() },
      kept: { node: winner.node, at: new Date(stampToMs(winner.clock)).toISOString() },
      conflicts: unlogged,
    })
    loggedMs = nowMs
    unlogged = 0
  }

  return {
    note(sender, writes, written) {
      for (const [i, { stored, superseded }] of written.entries()) {
        const write = writes[i]!
        const { collection, key } = write
        if (stored === undefined || stored.node === write.origin.node) continue
        const isKnown =
          sender === null ||
          stored.node === sender ||
          hasSent(sender, { collection, key, revision: stored.revision })
        if (!isKnown) report(write, stored, superseded === true)
      }
    },
    count: () => conflicts,
  }
}
