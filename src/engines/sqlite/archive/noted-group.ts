import type { Commit, CommitResult } from '../../../core/engine.ts'

/** What the archive notes of a group of commits (group-notes.ts). */

interface Grouped {
  readonly commit: Commit
}

/** The time of a group: that of its latest commit. */
export function latestTime(group: readonly Grouped[]): number {
  let latest = 0
  for (const { commit } of group) if (commit.nowMs > latest) latest = commit.nowMs
  return latest
}

/** Pairs of the first and the last revision of the commits that are done whole or not at all, and have several. */
export function batchesOf(
  group: readonly Grouped[],
  results: readonly CommitResult[],
  lastRevision: number,
): readonly number[] {
  const batches: number[] = []
  let last = lastRevision
  for (let i = 0; i < results.length; i++) {
    const result = results[i]!
    if (!result.ok) continue
    const first = last + 1
    for (const { revision } of result.written) if (revision > 0) last++
    if (last > first && group[i]!.commit.apart === undefined) batches.push(first, last)
  }
  return batches
}
