import type { IndexEntry } from './entries.ts'

/** The entry of a member that a build has read with a revision, before it is committed. */
export interface PendingEntry {
  /** The member's key. */
  readonly key: string
  readonly revision: number
  readonly entry: IndexEntry
}

/** The entries of one page, in their order. */
interface Run {
  readonly entries: readonly PendingEntry[]
  /** The index of the first that is left. */
  at: number
}

/** Characters of keys after which a batch is full however few entries it has: they may have 500 each. */
const maxCharacters = 8_000_000

/**
 * Entries that come in the order of their members and go in that of the index. Each page is sorted when it comes, and the pages are
 * merged by a heap while the entries are taken, so that no step holds the thread for longer than a page.
 */
export class EntryBatch {
  size = 0
  private readonly maxSize: number
  private characters = 0
  /** A heap: each run's first entry is not before that of the run at half its index. */
  private readonly runs: Run[] = []

  constructor(maxSize: number) {
    this.maxSize = maxSize
  }

  isFull(): boolean {
    return this.size >= this.maxSize || this.characters >= maxCharacters
  }

  add(page: PendingEntry[]): void {
    if (page.length === 0) return
    page.sort((a, b) => (a.entry.key < b.entry.key ? -1 : 1))
    for (const { key, entry } of page) this.characters += key.length + entry.key.length
    this.size += page.length
    this.runs.push({ entries: page, at: 0 })
    this.rise(this.runs.length - 1)
  }

  /** Removes the first entries in the order of the index, at most `count`. */
  take(count: number): PendingEntry[] {
    const taken: PendingEntry[] = []
    while (taken.length < count && this.runs.length > 0) {
      const run = this.runs[0]!
      taken.push(run.entries[run.at++]!)
      if (run.at === run.entries.length) {
        const last = this.runs.pop()!
        if (this.runs.length === 0) break
        this.runs[0] = last
      }
      this.sink()
    }
    this.size -= taken.length
    return taken
  }

  private rise(from: number): void {
    const { runs } = this
    for (let i = from; i > 0; ) {
      const parent = (i - 1) >> 1
      if (!isBefore(runs[i]!, runs[parent]!)) return
      swap(runs, i, parent)
      i = parent
    }
  }

  private sink(): void {
    const { runs } = this
    for (let i = 0; ; ) {
      let first = i
      const left = 2 * i + 1
      if (left < runs.length && isBefore(runs[left]!, runs[first]!)) first = left
      if (left + 1 < runs.length && isBefore(runs[left + 1]!, runs[first]!)) first = left + 1
      if (first === i) return
      swap(runs, i, first)
      i = first
    }
  }
}

function isBefore(a: Run, b: Run): boolean {
  return a.entries[a.at]!.entry.key < b.entries[b.at]!.entry.key
}

function swap(runs: Run[], i: number, k: number): void {
  const one = runs[i]!
  runs[i] = runs[k]!
  runs[k] = one
}
