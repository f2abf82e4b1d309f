import type { CollectionStats, MaybePromise } from '../core/engine.ts'
import { monotonicMs } from '../runtime/clock.ts'

/** The collections in metrics. */
export interface LabelledCollections {
  readonly count: number
  readonly members: number
  readonly bytes: number
  readonly labelled: readonly CollectionStats[]
}

/**
 * The maximum number of labels: clients name collections, and every label is a time series that a metrics server must
 * store.
 */
export const maxLabels = 100

/** The label of all other collections; no collection has this name, because names that begin with `_` are reserved. */
export const othersLabel = '_others'
/** The label of damage to the store as a whole, or to an unknown collection. */
export const storeLabel = '_store'

/**
 * Returns a function that reads the collections and labels up to `maxLabels` of them: the first ones seen, and among
 * those seen at once the ones with most members. Labels are kept until the process ends, however many collections come
 * and go. The result for n collections is cached for n milliseconds, so that a store with very many does not spend its
 * time counting them.
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
