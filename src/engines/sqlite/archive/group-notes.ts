/**
 * What the server notes of the groups of commits that are not archived yet: their moments and batches (part.ts), which the
 * log does not have. Kept in memory alone; of groups before a crash, or beyond the limit, the archive makes up its own.
 */
export interface GroupNotes {
  add(lastRevision: number, timeMs: number, batches: readonly number[]): void
  lastRevision(): number
  /** The notes up to a revision, for an `AppendJob`. */
  upTo(revision: number): {
    readonly notedAfter: number
    readonly moments: Float64Array
    readonly batches: Float64Array
  }
  /** Forgets the notes up to a revision. */
  forget(revision: number): void
}

/** Numbers kept of moments, and of batches: 2 MB each. */
const maxNumbers = 262_144

export function groupNotes(afterRevision: number): GroupNotes {
  let notedAfter = afterRevision
  let lastRevision = afterRevision
  let moments: number[] = []
  let batches: number[] = []

  function forget(revision: number): void {
    moments = moments.slice(countUpTo(moments, 0, revision))
    batches = batches.slice(countUpTo(batches, 1, revision))
    notedAfter = Math.max(notedAfter, revision)
  }

  return {
    add(revision, timeMs, own) {
      lastRevision = revision
      // Each group has a moment, so that the log can be cut after any. A clock that is set back stands still here.
      moments.push(revision, Math.max(timeMs, moments.at(-1) ?? 0))
      for (const one of own) batches.push(one)
      if (moments.length > maxNumbers || batches.length > maxNumbers) forget(oldHalf(moments, batches))
    },
    lastRevision: () => lastRevision,
    upTo: (revision) => ({
      notedAfter,
      moments: Float64Array.from(moments.slice(0, countUpTo(moments, 0, revision))),
      batches: Float64Array.from(batches.slice(0, countUpTo(batches, 1, revision))),
    }),
    forget,
  }
}

/** The revision of the moment in the middle of the fuller list. */
function oldHalf(moments: readonly number[], batches: readonly number[]): number {
  const middle = (list: readonly number[], offset: number) => list[(list.length >> 2) * 2 + offset]!
  return moments.length > batches.length ? middle(moments, 0) : middle(batches, 1)
}

/** How many numbers of a list of pairs belong to pairs whose revision, at `offset` in the pair, is at most this. */
function countUpTo(pairs: readonly number[], offset: number, revision: number): number {
  let count = 0
  while (count < pairs.length && pairs[count + offset]! <= revision) count += 2
  return count
}
