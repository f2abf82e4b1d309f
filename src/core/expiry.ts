import type { Delete, Engine, ExpiringRef } from './engine.ts'
import { nextTurn } from './turn.ts'
import type { Writes } from './writes.ts'

/**
 * Takes away what has expired. Readers never see it anyway (database.ts); this gives the room back and leaves a
 * tombstone, so that watchers hear of it. Small batches with a turn between them: nobody waits for the sweep.
 */
export interface Sweeper {
  /** Members that were swept since the start. */
  swept(): number
  stop(): Promise<void>
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
  let stopped = false
  let running: Promise<void> | null = null

  async function sweep(): Promise<void> {
    while (!stopped) {
      const nowMs = now()
      const due = await engine.expiring(nowMs, batchMembers)
      if (due.length === 0) return
      const written = await writes.commit(due.map(expiryOf), { nowMs })
      swept += written.filter(({ revision }) => revision > 0).length
      if (due.length < batchMembers) return
      await nextTurn()
    }
  }

  const timer = setInterval(() => {
    running ??= sweep()
      // What is left is due again at the next turn: a full disk, say, may have room by then.
      .catch(onError)
      .finally(() => {
        running = null
      })
  }, sweepEveryMs)
  timer.unref()

  return {
    swept: () => swept,
    async stop() {
      stopped = true
      clearInterval(timer)
      await running
    },
  }
}

/** Takes a member out as it was found: one that was written again or renewed since keeps its new life. */
export function expiryOf({ collection, key, revision, expiresAtMs }: ExpiringRef): Delete {
  return { op: 'delete', collection, key, cause: 'expire', ifRevision: revision, ifExpiresAtMs: expiresAtMs }
}
