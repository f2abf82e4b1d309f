import {
  type CommitResult,
  type EngineStats,
  groupCommitBounds,
  syncSecondsBounds,
} from '../../core/engine.ts'
import { histogram, observe } from '../../core/histogram.ts'

/** Counts commits. This engine has no disk, so every group is one commit, and `syncSeconds` stays empty. */
export interface CommitCounter {
  readonly numbers: EngineStats
  count(result: CommitResult, writes: number): void
}

export function commitCounter(): CommitCounter {
  const numbers = {
    commits: 0,
    failedChecks: 0,
    writes: 0,
    groupCommits: histogram(groupCommitBounds),
    syncSeconds: histogram(syncSecondsBounds),
  }
  return {
    numbers,
    count(result, writes) {
      if (result.ok) numbers.commits++
      else if ('failed' in result) numbers.failedChecks++
      numbers.writes += writes
      if (writes > 0) observe(numbers.groupCommits, 1)
    },
  }
}
