import type { Database } from '../core/database.ts'
import type { Durability, Write, Written } from '../core/engine.ts'
import { quotaExceeded } from '../core/quota.ts'
import type { Command } from './command.ts'

/** A write of a client's command. */
export interface PendingWrite {
  readonly command: Command
  readonly write: Write
  readonly bytes: number
  readonly client: WriteClient
}

/** The client of a write. It is called back for its writes in the order in which it added them. */
export interface WriteClient {
  written(pending: PendingWrite, written: Written): void
  failed(pending: PendingWrite, error: unknown): void
  /** Called after the above, once for consecutive writes of one batch. */
  batchDone(): void
}

export interface WriteBatcher {
  add(pending: PendingWrite): void
}

/** Limits of one batch. */
const maxBatchWrites = 1000
const maxBatchBytes = 1024 * 1024

/**
 * Commits the writes of one tick of the event loop together, because a commit costs more than all other work of a
 * write. `schedule` must run its work once the input of the tick is processed: a first commit before that would have a
 * sync of its own, for which all others wait. A batch is atomic, which clients cannot distinguish from the store failing
 * its writes one by one.
 */
export function startWriteBatcher(
  db: Pick<Database, 'write'>,
  durability: Durability,
  schedule: (work: () => void) => void,
): WriteBatcher {
  let batch: PendingWrite[] = []
  let batchBytes = 0

  function add(pending: PendingWrite): void {
    batch.push(pending)
    batchBytes += pending.bytes
    if (batch.length === 1) schedule(endTick)
    else if (batch.length >= maxBatchWrites || batchBytes >= maxBatchBytes) commit()
  }

  function endTick(): void {
    if (batch.length > 0) commit()
  }

  function commit(): void {
    const committed = batch
    batch = []
    batchBytes = 0
    db.write(
      committed.map(({ write }) => write),
      durability,
    ).then(
      (written) =>
        notify(committed, (pending, i) => {
          const { exceeded, notUnique } = written[i]!
          if (notUnique !== undefined) pending.client.failed(pending, notUnique)
          else if (exceeded === undefined) pending.client.written(pending, written[i]!)
          else pending.client.failed(pending, quotaExceeded(exceeded))
        }),
      (error) => notify(committed, (pending) => pending.client.failed(pending, error)),
    )
  }

  return { add }
}

/** Reports consecutive writes of one client together, so that their responses are sent together. */
function notify(
  batch: readonly PendingWrite[],
  report: (pending: PendingWrite, index: number) => void,
): void {
  for (const [i, pending] of batch.entries()) {
    report(pending, i)
    if (batch[i + 1]?.client !== pending.client) pending.client.batchDone()
  }
}
