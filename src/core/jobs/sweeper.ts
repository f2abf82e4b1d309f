import type { Delete, Engine, ExpiringRef } from '../engine.ts'
import { nextTick } from '../next-tick.ts'
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
  /** Deletes all members that have expired by now. Calls during a sweep share the one after it. */
  sweepNow(): Promise<void>
}

const sweepEveryMs = 1000
const batchMembers = 500

/** `livesOn` returns whether an expired member has a renewal that is not written yet. */
export function startSweeper(
  engine: Pick<Engine, 'expiring'>,
  writes: Pick<Writes, 'commit'>,
  livesOn: (ref: ExpiringRef, nowMs: number) => boolean,
  now: () => number,
  onError: (error: unknown) => void,
  timers = realTimers,
): Sweeper {
  let swept = 0

  async function sweepBatch(purpose?: 'sweep'): Promise<boolean> {
    const nowMs = now()
    const due = await engine.expiring(nowMs, batchMembers, purpose)
    const expired = due.filter((ref) => !livesOn(ref, nowMs))
    if (expired.length === 0) return false
    const written = await writes.commit(expired.map(expiryOf), { nowMs })
    swept += written.filter(({ revision }) => revision > 0).length
    return due.length === batchMembers
  }

  async function sweepAll(): Promise<void> {
    while (await sweepBatch()) await nextTick()
  }

  return {
    swept: () => swept,
    sweepNow: shared(sweepAll),
    ...startPeriodic(timers, sweepEveryMs, () => sweepBatch('sweep'), onError),
  }
}

/** Returns a function that runs `work`: one run at a time, and one more for all calls during a run. */
function shared(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  let next: Promise<void> | null = null

  function start(): Promise<void> {
    next = null
    const run = work().finally(() => {
      if (running === run) running = null
    })
    running = run
    return run
  }

  return () => {
    if (next !== null) return next
    if (running === null) return start()
    // The run under way may have looked before this call.
    next = running.then(start, start)
    return next
  }
}

/** Returns the delete of an expired member. A member that is written again or renewed meanwhile stays. */
export function expiryOf({ collection, key, revision, expiresAtMs }: ExpiringRef): Delete {
  return { op: 'delete', collection, key, cause: 'expire', ifRevision: revision, ifExpiresAtMs: expiresAtMs }
}
