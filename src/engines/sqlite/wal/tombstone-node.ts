import type { Origin } from '../../../core/origin.ts'

/**
 * How a tombstone keeps two stamps. Its clock is that of the removal by this node, by which tombstones are deleted in
 * their order. Where its origin is another one, of another node's delete or of the version that expired, the node is
 * written as `stamp.node`; node ids have no dot.
 */

/** An upper bound of what `tombstoneNode` adds to a node's id, in bytes. */
export const maxStampText = 17

/** Returns the text that is stored as the node of a tombstone. */
export function tombstoneNode({ clock, node }: Origin, removedClock: number): string {
  return clock === removedClock ? node : `${clock}.${node}`
}

/** Returns the origin of a tombstone from its stored node and clock. */
export function tombstoneOrigin(stored: string, removedClock: number): Origin {
  const dot = stored.indexOf('.')
  if (dot < 0) return { clock: removedClock, node: stored }
  return { clock: Number(stored.slice(0, dot)), node: stored.slice(dot + 1) }
}
