import { type CommitResult, type EngineStats, groupCommitBounds, syncSecondsBounds } from '../core/engine.ts'
import { histogram, observe } from '../core/histogram.ts'

/** Counts commits of an engine that syncs nothing to disk itself, so `syncSeconds` and `waitSeconds` stay empty. */
export interface GroupCounter {
  readonly numbers: EngineStats
  /** Counts a commit with the number of its writes that did something. */
  count(result: CommitResult, writes: number): void
  /** Counts a group with the number of its commits that wrote. */
  group(commits: number): void
}

export function groupCounter(): GroupCounter {
  const numbers = {
    commits: 0,
    failedChecks: 0,
    writes: 0,
    groupCommits: histogram(groupCommitBounds),
    syncSeconds: histogram(syncSecondsBounds),
    waitSeconds: {},
  }
  return {
    numbers,
    count(result, writes) {
      if (result.ok) numbers.commits++
      else if ('failed' in result) numbers.failedChecks++
      numbers.writes += writes
    },
    group(commits) {
      if (commits > 0) observe(numbers.groupCommits, commits)
    },
  }
}
