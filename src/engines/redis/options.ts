import type { ClusterOptions } from './cluster.ts'

/**
 * How members are placed on lines. `spread`: by the tag `{…}` in the collection's name, else that in the key, else by the
 * key. `collection`: all members of a collection are on one line.
 */
export const placements = ['spread', 'collection'] as const
export type Placement = (typeof placements)[number]

export interface RedisOptions extends Omit<ClusterOptions, 'warn'> {
  /** All keys of the store begin with it. */
  readonly prefix: string
  /** Fixed when the store is created. Null for those that it has, or for the usual number if it is new. */
  readonly lines: number | null
  /** Fixed when the store is created. */
  readonly placement: Placement
  /** Commits must be on the disk of their primary before they resolve. */
  readonly isDurable: boolean
}
