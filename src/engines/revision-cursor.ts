import type { FeedCursor, VersionRef } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'

/**
 * A cursor of an engine with a single line, whose revisions order the whole feed: the reader has seen all changes up to
 * `revision`. `began` is set when the reader began at revision 0 while some tombstones were forgotten already: it is the
 * head at that time. The reader never saw members that were removed before `began`, so it misses nothing while only
 * tombstones up to `began` are forgotten.
 *
 * Its text is `revision` or `revision-began`, in decimal.
 */
export interface Position {
  readonly revision: number
  readonly began: number | null
}

/** Parses a cursor. Throws `invalid_cursor` for a text that no such engine returned. */
export function parseCursor(cursor: FeedCursor): Position {
  if (cursor === '') return { revision: 0, began: null }
  const match = /^(0|[1-9]\d{0,15})(?:-([1-9]\d{0,15}))?$/.exec(cursor)
  const revision = Number(match?.[1])
  const began = match?.[2] === undefined ? null : Number(match[2])
  const isGood = Number.isSafeInteger(revision) && (began === null || (revision > 0 && revision < began))
  if (!isGood || !Number.isSafeInteger(began ?? 0)) {
    throw new KvistError('invalid_cursor', 'this is not a resume point of the feed')
  }
  return { revision, began }
}

export function cursorText(revision: number, began: number | null): FeedCursor {
  return began !== null && revision < began ? `${revision}-${began}` : String(revision)
}

export function hasSeen(cursor: FeedCursor, { revision }: VersionRef): boolean {
  return parseCursor(cursor).revision >= revision
}

/**
 * Throws `compacted` where a reader at this position would miss changes: tombstones up to the revision `forgotten` are
 * deleted, and the newest change has the revision `head`.
 */
export function requireServed({ revision, began }: Position, forgotten: number, head: number): void {
  const extra = { oldest: String(forgotten) }
  if (Math.max(revision, began ?? 0) > head) {
    const detail =
      'the feed ends before this resume point: the store is older than it was, from a copy or a crash'
    throw new KvistError('compacted', detail, extra)
  }
  if (revision > 0 && (began ?? revision) < forgotten) {
    throw new KvistError('compacted', 'the feed does not reach back to this resume point any more', extra)
  }
}

/** Returns the `began` of the cursors that follow a position. */
export function beganAfter(after: Position, forgotten: number, head: number): number | null {
  return after.revision === 0 && forgotten > 0 ? head : after.began
}
