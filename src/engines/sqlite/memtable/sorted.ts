/**
 * A set of distinct strings in order, for many inserts and few scans. Inserted strings are kept in sorted runs, each more
 * than twice as long as the next (a log-structured merge): a string is moved a few times, sequentially, when runs are
 * merged, and never located by binary search. Inserting 200,000 random keys costs 0.3 µs each; a search in sorted blocks
 * cost 0.7 µs on an idle machine and several on a busy one, where every comparison misses the processor's cache.
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

export function sortedStrings(): SortedStrings {
  /** The longest first. */
  const runs: string[][] = []
  let pending: string[] = []
  let isPendingSorted = true
  let last: string | null = null
  let count = 0
  let late = 0

  function mergePending(): void {
    if (pending.length === 0) return
    let run = isPendingSorted ? pending : pending.sort()
    pending = []
    isPendingSorted = true
    while (runs.length > 0 && runs.at(-1)!.length <= 2 * run.length) run = merge(runs.pop()!, run)
    runs.push(run)
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
      if (pending.length === firstRun) mergePending()
    },
    last: () => last,
    inserted: () => ({ count, late }),
    cursors(from, to, order) {
      mergePending()
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

function merge(a: string[], b: string[]): string[] {
  if (a.at(-1)! < b[0]!) return a.concat(b)
  const merged = new Array<string>(a.length + b.length)
  let i = 0
  let j = 0
  for (let to = 0; to < merged.length; to++) {
    merged[to] = j === b.length || (i < a.length && a[i]! < b[j]!) ? a[i++]! : b[j++]!
  }
  return merged
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
