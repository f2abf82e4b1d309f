import type { Delete, Engine, ExpiringRef } from '../engine.ts'
import type { Writes } from '../writes.ts'
import { type PeriodicJob, startPeriodic } from './periodic.ts'

/**
 * Deletes expired members. Reads never show them anyway (reads.ts); the sweep frees their space and leaves tombstones, so that
 * watchers are notified.
 */
export interface Sweeper extends PeriodicJob {
  /** How many members were swept since the start. */
  swept(): number
}

const sweepEveryMs = 1000
const batchMembers = 500

export function startSweeper(
  engine: Pick<Engine, 'expiring'>,
  writes: Pick<Writes, 'commit'>,
  now: () => number,
  onError: (error: unknown) => void,
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

  return { swept: () => swept, ...startPeriodic(sweepEveryMs, sweepBatch, onError) }
}

/** The delete of an expired member as it was found: one that was written again or renewed since stays. */
export function expiryOf({ collection, key, revision, expiresAtMs }: ExpiringRef): Delete {
  return { op: 'delete', collection, key, cause: 'expire', ifRevision: revision, ifExpiresAtMs: expiresAtMs }
}
