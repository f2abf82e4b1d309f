import type { CollectionStats } from './engine.ts'

/** Which collections are asked for: a page of those whose names begin with a prefix, by name. */
export interface CollectionQuery {
  readonly prefix: string
  /** The name that the page begins with, or the first one after it; null for the first page. */
  readonly from: string | null
  readonly limit: number
}

export interface CollectionPage {
  readonly collections: readonly CollectionStats[]
  /** Where the next page begins; null after the last one. */
  readonly next: string | null
}

/** A sort of all names for each page would cost more than all pages together. */
const sortedAtOnce = 4

/** The page that a query asks for, of collections in any order; its cost grows with their number, and its memory with the limit. */
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
