import type { Written } from './engine.ts'
import type { IndexLife } from './shared-store.ts'

/**
 * An engine refused a commit or a scan of entries, and did nothing: a server with a newer view of the indexes has written to the
 * line, or the line does not have all entries of the index.
 */
export class StaleView extends Error {
  /** What the view has to reach; 0 if it is new enough. */
  readonly view: number
  /** The index whose entries are not all there. */
  readonly lost: IndexLife | null
  /** Of a commit apart: what was done of it, by the index of the write. */
  readonly done: ReadonlyMap<number, Written>

  constructor(view: number, lost: IndexLife | null = null, done: ReadonlyMap<number, Written> = new Map()) {
    super(`the indexes are known as of ${view}`)
    this.name = 'StaleView'
    this.view = view
    this.lost = lost
    this.done = done
  }
}

/** Returns what parts of a commit apart came to together, of which some were refused. */
export function joinedStaleView(parts: readonly StaleView[], done: ReadonlyMap<number, Written>): StaleView {
  return new StaleView(Math.max(...parts.map(({ view }) => view)), null, done)
}
