import type { Delete, Engine, ExpiringRef } from '../engine.ts'
import { realTimers } from '../timers.ts'
import type { Writes } from '../writes.ts'
import { type PeriodicJob, startPeriodic } from './periodic.ts'

/**
 * Deletes expired members. Reads never return them anyway (reads.ts); the sweep frees their space and writes
 * tombstones, so that watchers are notified.
 */
export interface Sweeper extends PeriodicJob {
  /** Returns how many members were swept since the start. */
  swept(): number
}

const sweepEveryMs = 1000
const batchMembers = 500

export function startSweeper(
  engine: Pick<Engine, 'expiring'>,
  writes: Pick<Writes, 'commit'>,
  now: () => number,
  onError: (error: unknown) => void,
  timers = realTimers,
): Sweeper {
  let swept = 0

  async function sweepBatch(): Promise<boolean> {
    const nowMs = now()
    const due = await engine.expiring(nowMs, batchMembers)
    if (due.length === 0) return false
    const written = await writes.commit(due.map(expiryOf), { nowMs })
    swept += written.filter(({ revision }) => revision > 0).length
    return due.length === batchMembers
  }

  return { swept: () => swept, ...startPeriodic(timers, sweepEveryMs, sweepBatch, onError) }
}

/** Returns the delete of an expired member. A member that is written again or renewed meanwhile stays. */
export function expiryOf({ collection, key, revision, expiresAtMs }: ExpiringRef): Delete {
  return { op: 'delete', collection, key, cause: 'expire', ifRevision: revision, ifExpiresAtMs: expiresAtMs }
}
