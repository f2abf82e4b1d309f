/**
 * A set of distinct strings in order, for many inserts and few scans. Inserted strings are kept in sorted runs, each more
 * than twice as long as the next (a log-structured merge): a string is moved a few times, sequentially, when runs are
 * merged, and never located by binary search. Inserting 200,000 random keys costs 0.3 µs each; a search in sorted blocks
 * cost 0.7 µs on an idle machine and several on a busy one, where every comparison misses the processor's cache.
 *
 * Runs are merged a little with each insert. Merged whole as soon as they were due, the runs of a full segment held the
 * thread for 30 ms, and with it every request.
 */
export interface SortedStrings {
  insert(text: string): void
  /** Returns the last string in the order; null for an empty set. */
  last(): string | null
  /** Returns the number of strings, and how many of them were inserted after one that follows them in the order. */
  inserted(): { readonly count: number; readonly late: number }
  /** Returns a cursor for each run with strings from `from` (included) to `to` (excluded); null for no bound. */
  cursors(from: string | null, to: string | null, order: 'asc' | 'desc'): Cursor[]
}

/** A position in a run, and the direction of the scan. It stays valid during inserts, and does not see them. */
export interface Cursor {
  readonly run: readonly string[]
  at: number
  /** The first index that is not part of the scan. */
  readonly end: number
  readonly step: 1 | -1
}

const firstRun = 512
/** Strings are inserted this many at a time between the steps of merges. */
const insertsPerStep = 64
/**
 * The most strings that a step merges: 16 for each insert, where a segment of 100,000 random keys needs 8, so the number
 * of runs that wait stays small.
 */
const mergedPerStep = insertsPerStep * 16

/** Two neighbours of the runs that are being merged, and how far that is. They are in use until it is done. */
interface Merge {
  /** The index of the first of them. */
  readonly at: number
  readonly merged: string[]
  i: number
  j: number
}

export function sortedStrings(): SortedStrings {
  /** The longest first, but for runs that wait to be merged. */
  const runs: string[][] = []
  let merge: Merge | null = null
  let isMergeDue = false
  let pending: string[] = []
  let isPendingSorted = true
  let last: string | null = null
  let count = 0
  let late = 0

  /** Makes a run of what is pending. Short runs, which scans make, are merged at once. */
  function endPending(): void {
    if (pending.length === 0) return
    let run = isPendingSorted ? pending : pending.sort()
    pending = []
    isPendingSorted = true
    while (isFree(runs.length - 1) && runs.at(-1)!.length + run.length <= firstRun)
      run = mergedWhole(runs.pop()!, run)
    runs.push(run)
    isMergeDue = true
  }

  function isFree(index: number): boolean {
    return index >= 0 && (merge === null || index > merge.at + 1)
  }

  function mergeSome(): void {
    for (let left = mergedPerStep; left > 0; ) {
      merge ??= nextMerge(runs)
      if (merge === null) {
        isMergeDue = false
        return
      }
      const { at, merged } = merge
      const before = merged.length
      if (advance(merge, runs[at]!, runs[at + 1]!, left)) {
        runs.splice(at, 2, merged)
        merge = null
      }
      left -= merged.length - before
    }
  }

  return {
    insert(text) {
      count++
      if (last === null || text > last) last = text
      else {
        isPendingSorted = false
        late++
      }
      pending.push(text)
      if (pending.length === firstRun) endPending()
      if (isMergeDue && count % insertsPerStep === 0) mergeSome()
    },
    last: () => last,
    inserted: () => ({ count, late }),
    cursors(from, to, order) {
      endPending()
      return runs.flatMap((run) => {
        const low = from === null ? 0 : lowerBound(run, from)
        const high = to === null ? run.length : lowerBound(run, to)
        if (low >= high) return []
        return [
          order === 'asc'
            ? { run, at: low, end: high, step: 1 }
            : { run, at: high - 1, end: low - 1, step: -1 },
        ]
      })
    },
  }
}

/** Begins to merge the shortest neighbours of which the first is not more than twice as long as the second; null for none. */
function nextMerge(runs: readonly string[][]): Merge | null {
  let at = -1
  let least = Number.POSITIVE_INFINITY
  for (let k = 0; k + 1 < runs.length; k++) {
    const first = runs[k]!.length
    const second = runs[k + 1]!.length
    if (first > 2 * second || first + second >= least) continue
    at = k
    least = first + second
  }
  return at < 0 ? null : { at, merged: [], i: 0, j: 0 }
}

/** Merges up to `most` strings of two runs; returns whether that was all. Runs that follow each other are joined at once. */
function advance(merge: Merge, a: readonly string[], b: readonly string[], most: number): boolean {
  const { merged } = merge
  let { i, j } = merge
  if (merged.length === 0 && a.at(-1)! < b[0]!) {
    for (const run of [a, b]) for (const text of run) merged.push(text)
    return true
  }
  for (let left = Math.min(most, a.length + b.length - merged.length); left > 0; left--)
    merged.push(j === b.length || (i < a.length && a[i]! < b[j]!) ? a[i++]! : b[j++]!)
  merge.i = i
  merge.j = j
  return merged.length === a.length + b.length
}

function mergedWhole(a: readonly string[], b: readonly string[]): string[] {
  const merge = { at: 0, merged: [], i: 0, j: 0 }
  advance(merge, a, b, Number.POSITIVE_INFINITY)
  return merge.merged
}

function lowerBound(run: readonly string[], text: string): number {
  let low = 0
  let high = run.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (run[middle]! < text) low = middle + 1
    else high = middle
  }
  return low
}
