import type { RevisionRange } from '../table/table.ts'

/** What a repair saved, and what it could not. */
export interface RepairReport {
  readonly members: number
  readonly tombstones: number
  /** The last revision of the new store; the next write gets a larger one. */
  readonly revision: number
  /** Members that the source had and that cannot be read. */
  readonly lost: readonly LostMember[]
  /** Members that were saved, but may be older than the last version, or deleted. */
  readonly uncertain: readonly LostMember[]
  /** Lost and uncertain members that are not in the lists, because there are too many. */
  readonly leftOut: number
  /** By collection: how many members are lost of which no name is known. */
  readonly unnamed: readonly { readonly collection: string; readonly members: number }[]
  /** Writes whose records cannot be read: their members are as they were before. */
  readonly lostRevisions: readonly RevisionRange[]
  /** Members that were damaged in the tables and taken from the log. */
  readonly fromLog: number
  /** What was found to be damaged, and other lines for the operator. */
  readonly notes: readonly string[]
}

export interface LostMember {
  readonly collection: string
  readonly key: string
  readonly revision: number
  readonly what: string
}
