import { isExpired } from '../../core/member.ts'
import { type Exceeded, exceededSize, exceededValue, type Quota } from '../../core/quota.ts'
import { addToCounts } from './memtable/memtable.ts'
import type { Counts } from './table/table.ts'
import { type Chunk, type ExistingVersion, recordBytes, recordValueBytes } from './wal/record.ts'

/** The counts of collections as the staged commits of a group leave them; `committed` are those before the group. */
export interface StagedCounts {
  of(collection: string): Readonly<Counts>
  /** Adds the change that a record makes; with -1 takes it back. */
  add(collection: string, chunk: Chunk, at: number, sign: 1 | -1): void
}

export function stagedCounts(committed: ReadonlyMap<string, Readonly<Counts>>): StagedCounts {
  const staged = new Map<string, Counts>()
  const of = (collection: string) => staged.get(collection) ?? committed.get(collection) ?? none
  return {
    of,
    add(collection, chunk, at, sign) {
      const counts = { ...of(collection) }
      addToCounts(counts, chunk, at, sign)
      staged.set(collection, counts)
    },
  }
}

const none: Readonly<Counts> = { members: 0, bytes: 0 }

/** Writes that are staged under quotas, together or not at all. */
export interface LimitedWrites {
  /** Notes a staged record and what takes it back. */
  note(step: StagedStep): void
  /** Returns the first quota that the writes would pass. */
  exceeded(): Exceeded | null
  /** Takes all of them back, the last first. */
  undo(): void
}

export interface StagedStep {
  readonly collection: string
  readonly key: string
  readonly chunk: Chunk
  readonly at: number
  readonly before: ExistingVersion | null
  undo(): void
}

export function limitedWrites(counts: StagedCounts, quotas: readonly Quota[], nowMs: number): LimitedWrites {
  // `StagedCounts.add` replaces the counts, so these stay as they are.
  const sizesBefore = quotas.map(({ collection }) => counts.of(collection))
  const steps: StagedStep[] = []
  let longValue: Exceeded | null = null
  return {
    note(step) {
      steps.push(step)
      const { collection, key, chunk, at, before } = step
      const quota = quotas.find((one) => one.collection === collection)
      if (quota === undefined) return
      const needed = recordValueBytes(chunk, at)
      const keyBytes = recordBytes(chunk, at) - needed
      const used = before === null || isExpired(before, nowMs) ? 0 : before.bytes - keyBytes
      longValue ??= exceededValue(quota, key, used, needed)
    },
    exceeded() {
      if (longValue !== null) return longValue
      for (const [i, quota] of quotas.entries()) {
        const found = exceededSize(quota, sizesBefore[i]!, counts.of(quota.collection))
        if (found !== null) return found
      }
      return null
    },
    undo() {
      for (const { collection, chunk, at, undo } of steps.reverse()) {
        undo()
        counts.add(collection, chunk, at, -1)
      }
    },
  }
}
