import type { CollectionStats } from './engine.ts'

/** A query for one page of the collections whose names begin with a prefix, sorted by name. */
export interface CollectionQuery {
  readonly prefix: string
  /** The page begins with this name or the first one after it; null for the first page. */
  readonly from: string | null
  readonly limit: number
}

/** A collection in a list. Members and bytes are null for a reader who may read only a part of the collection. */
export interface ShownCollection {
  readonly name: string
  readonly members: number | null
  readonly bytes: number | null
}

export interface CollectionPage {
  readonly collections: readonly ShownCollection[]
  /** The `from` of the next page; null after the last one. */
  readonly next: string | null
}

/**
 * Candidates collected before a sort, as a multiple of the limit. Sorting all names for each page would cost more than
 * all pages together.
 */
const sortedAtOnce = 4

/**
 * Returns the page that matches a query, from collections in any order. Time grows with the number of collections,
 * memory with the limit.
 */
export function collectionPage(
  all: Iterable<CollectionStats>,
  { prefix, from, limit }: CollectionQuery,
): CollectionPage {
  let first: CollectionStats[] = []
  for (const one of all) {
    if (!one.name.startsWith(prefix) || (from !== null && one.name < from)) continue
    first.push(one)
    if (first.length > limit * sortedAtOnce + 1) first = firstByName(first, limit + 1)
  }
  const found = firstByName(first, limit + 1)
  return { collections: found.slice(0, limit), next: found[limit]?.name ?? null }
}

function firstByName(all: CollectionStats[], count: number): CollectionStats[] {
  return all.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, count)
}
