/**
 * What an engine does for indexes where several servers write to one store (docs/design/indexes.md). Each line has a number, the
 * largest view of a server that wrote to it: commits and scans of entries that come with a smaller one are refused. So whatever a
 * line has was written by servers that knew the indexes as well as any before them.
 *
 * A line also remembers which indexes have all entries of its members. It forgets that together with the entries where a failover
 * takes them back, since it was written after them.
 */
export interface SharedStore {
  /** Whether all members of a collection are on one line, where one commit can see them all. */
  isOnOneLine(collection: string): boolean
  /**
   * Raises the number of all lines to a view: later commits of servers with a smaller one are refused. Lines note that a build of
   * this generation begins. Rejects with `StaleView`.
   */
  beginIndex(index: IndexLife, view: number): Promise<void>
  /**
   * Notes on all lines that the index has all of its entries. Returns false, and readers are refused, where a line has
   * another primary than when the build began: that may not have what the build wrote. Rejects with `StaleView`.
   */
  finishIndex(index: IndexLife, view: number): Promise<boolean>
  /** Deletes what lines know of an index. */
  forgetIndex(id: string): Promise<void>
}

/** An index from one build to the next. */
export interface IndexLife {
  readonly id: string
  /** Another number for each build. */
  readonly generation: number
}

/** Entries are read only from lines that have all of them, and that no server has written to whose view is newer. */
export interface IndexGuard extends IndexLife {
  readonly view: number
  /** The collection that the index orders. */
  readonly of: string
}
