import type { Engine } from '../engine.ts'
import { realTimers } from '../timers.ts'
import { type PeriodicJob, startPeriodic } from './periodic.ts'

/** How long tombstones are kept unless an option says otherwise. */
export const defaultTombstonesMs = 7 * 24 * 3_600_000
const collectEveryMs = 60_000
const batchTombstones = 1000

/**
 * Deletes tombstones older than `keepMs`. A reader of the feed that returns later than that gets a reset and starts
 * again.
 */
export function startTombstoneGc(
  engine: Pick<Engine, 'forget'>,
  keepMs: number,
  now: () => number,
  onError: (error: unknown) => void,
  timers = realTimers,
): PeriodicJob {
  async function collectBatch(): Promise<boolean> {
    const deleted = await engine.forget(now() - keepMs, batchTombstones)
    return deleted === batchTombstones
  }
  return startPeriodic(timers, collectEveryMs, collectBatch, onError)
}
