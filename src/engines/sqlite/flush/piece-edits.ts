import type { Database } from 'bun:sqlite'
import { pieceWriter } from '../table/value-pieces.ts'
import type { Rester } from './rests.ts'

/**
 * The edits of one transaction to `value_pieces`, in the order of revisions, that is of rows, and each deletion followed by
 * an insertion that takes its pages. In the order of keys the rows' pages were changed again after SQLite had spilled them
 * to its write-ahead log; then it rewrites them there, reads all that it wrote behind them and sums it up anew.
 */
export interface PieceEdits {
  /** Revisions of the values to delete. */
  readonly gone: number[]
  readonly come: LargeValue[]
}

/** A large value, as a range of the memory that holds its record. */
interface LargeValue {
  readonly revision: number
  readonly memory: Uint8Array
  readonly from: number
  readonly to: number
}

export function writePieces(db: Database, { gone, come }: PieceEdits, rest: Rester['rest']): void {
  const pieces = pieceWriter(db)
  const revisions = Float64Array.from(gone).sort().reverse()
  come.sort((a, b) => a.revision - b.revision)
  for (let i = 0; i < Math.max(revisions.length, come.length); i++) {
    if (i < revisions.length) pieces.remove(revisions[i]!)
    const value = come[i]
    if (value !== undefined) pieces.put(value.revision, value.memory.subarray(value.from, value.to))
    rest()
  }
}
