import type { CollectionStats, MaybePromise } from '../core/engine.ts'
import { monotonicMs } from '../runtime/clock.ts'

/** The collections as metrics show them. */
export interface LabelledCollections {
  readonly count: number
  readonly members: number
  readonly bytes: number
  readonly labelled: readonly CollectionStats[]
}

/** Clients name collections, and every label is a series that somebody has to keep: no more than these. */
export const maxLabels = 100

/** No collection can be called so: names that begin with `_` are kvist's own. */
export const othersLabel = '_others'
/** For damage of the store as a whole, or of an unknown collection. */
export const storeLabel = '_store'

/**
 * Gives labels to the first collections that are met, of those met at once to the ones with most members, and keeps to
 * them until the process ends: however many come and go, the labels stay these. A look at n collections is good for
 * n milliseconds, so that a store of very many does not spend its time on counting them.
 */
export function collectionLabels(
  nowMs: () => number = monotonicMs,
): (read: () => MaybePromise<CollectionStats[]>) => Promise<LabelledCollections> {
  const labels = new Set<string>()
  let last: LabelledCollections | undefined
  let refreshAtMs = 0

  return async (read) => {
    if (last !== undefined && nowMs() < refreshAtMs) return last
    const all = await read()
    if (labels.size < maxLabels) {
      const unknown = all.filter(({ name }) => !labels.has(name)).toSorted((a, b) => b.members - a.members)
      for (const { name } of unknown.slice(0, maxLabels - labels.size)) labels.add(name)
    }
    const rest = { name: othersLabel, ...sumOf(all.filter(({ name }) => !labels.has(name))) }
    const labelled = all.filter(({ name }) => labels.has(name))
    last = { ...sumOf(all), labelled: rest.count === 0 ? labelled : [...labelled, rest] }
    refreshAtMs = nowMs() + all.length
    return last
  }
}

function sumOf(all: readonly CollectionStats[]): { count: number; members: number; bytes: number } {
  const sum = { count: all.length, members: 0, bytes: 0 }
  for (const { members, bytes } of all) {
    sum.members += members
    sum.bytes += bytes
  }
  return sum
}
