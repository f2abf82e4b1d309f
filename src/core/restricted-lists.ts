import {
  type CollectionPage,
  type CollectionQuery,
  collectionPage,
  type ShownCollection,
} from './collection-page.ts'
import { type Database, wholeCollection } from './database.ts'
import type { DropSelection } from './drop.ts'
import type { Capability } from './grants.ts'
import { keyRange, type ListQuery, type Page, type PageOptions, type Selection } from './list.ts'
import type { Member } from './member.ts'
import { nextTick } from './next-tick.ts'
import type { PageMemory } from './page-memory.ts'
import { forbidden, isWithin, requireReach, requireSomewhere, type Viewer } from './permits.ts'
import { isEmptyRange, type KeyRange, pageOfRanges, rangesWithin } from './ranges.ts'
import type { Store } from './store.ts'

/** Lists, queries and drops of a store as a viewer may see and change it (restricted.ts). */

export function restrictedLists(
  db: Database,
  viewer: Viewer,
): Pick<
  Store,
  | 'page'
  | 'visitPage'
  | 'all'
  | 'find'
  | 'visitFound'
  | 'findAll'
  | 'collectionPage'
  | 'collectionVersion'
  | 'drop'
> {
  async function page(collection: string, query: ListQuery, options?: PageOptions): Promise<Page> {
    const ranges = visibleRanges(viewer, collection, query)
    if (ranges === null) return db.page(collection, query, options)
    return pageOfRanges(ranges, query, (part) => db.page(collection, part, options))
  }

  return {
    page,
    visitPage(collection, query, visitor) {
      const ranges = visibleRanges(viewer, collection, query)
      return ranges === null ? db.visitPage(collection, query, visitor) : null
    },
    async *all(collection: string, query: ListQuery, memory?: PageMemory): AsyncGenerator<Member[]> {
      const ranges = visibleRanges(viewer, collection, query)
      if (ranges === null) {
        yield* db.all(collection, query, memory)
        return
      }
      for (const range of query.order === 'asc' ? ranges : ranges.toReversed())
        yield* db.all(collection, { ...query, ...range }, memory)
    },
    visitFound(collection, query, visitor) {
      const within = visibleRanges(viewer, collection, query)
      return within === null ? db.visitFound(collection, query, visitor) : null
    },
    async find(collection, query, options) {
      const within = visibleRanges(viewer, collection, query)
      return db.find(collection, within === null ? query : { ...query, within }, options)
    },
    async *findAll(collection, query, memory) {
      const within = visibleRanges(viewer, collection, query)
      yield* db.findAll(collection, within === null ? query : { ...query, within }, memory)
    },
    async drop(collection, selection, onProgress) {
      requireSelection(viewer, collection, selection)
      return db.drop(collection, selection, onProgress)
    },
    collectionPage: (query) => visibleCollections(db, viewer, query),
    async collectionVersion(collection, selection) {
      const ranges = visibleRanges(viewer, collection, selection)
      const version = await db.collectionVersion(collection, selection)
      // The same list is another one for other viewers.
      return ranges === null || version === null ? version : `${version}-${viewer.id}`
    },
  }
}

/** Returns the parts of a selection that the viewer may read; null if that is all of it. */
function visibleRanges(viewer: Viewer, collection: string, selection: Selection): readonly KeyRange[] | null {
  const prefixes = requireReach(viewer, 'read', collection)
  if (prefixes[0] === '') return null
  const asked = keyRange(selection)
  const ranges = rangesWithin(prefixes, asked)
  if (ranges.length > 0 || isEmptyRange(asked)) return ranges
  throw forbidden(viewer.name, 'read', `these keys of collection ${collection}`, { collection })
}

/**
 * Throws `forbidden` unless the viewer may delete all that is selected: a drop never does less than it says. One that
 * selects by value has to be allowed to read too, because the number of deleted members shows something of their values.
 */
function requireSelection(viewer: Viewer, collection: string, selection: DropSelection): void {
  const { prefix, match, where = null } = selection
  requirePrefix(viewer, 'admin', collection, prefix)
  if (match !== null || where !== null) requirePrefix(viewer, 'read', collection, prefix)
}

/** Throws `forbidden` unless the viewer may do this to all members whose keys begin with a prefix. */
function requirePrefix(viewer: Viewer, capability: Capability, collection: string, prefix: string): void {
  if (isWithin(requireReach(viewer, capability, collection), prefix)) return
  const what =
    prefix === ''
      ? `all of collection ${collection}`
      : `keys of collection ${collection} that begin with ${prefix}`
  throw forbidden(viewer.name, capability, what, { collection, key_prefix: prefix })
}

/**
 * Returns a page of the collections in which the viewer may read something. `next` is one of them, too: a cursor shows
 * the name that it begins with.
 */
async function visibleCollections(
  db: Database,
  viewer: Viewer,
  query: CollectionQuery,
): Promise<CollectionPage> {
  requireSomewhere(viewer, 'read')
  const reachOf = (name: string) => viewer.permits.reach('read', name)
  const granted = (await db.collections()).filter(({ name }) => reachOf(name).length > 0)
  const collections: ShownCollection[] = []
  let from = query.from
  do {
    const page = collectionPage(granted, { ...query, from, limit: Math.max(query.limit, examinedAtOnce) })
    for (const [i, collection] of page.collections.entries()) {
      if (i % readInTick === readInTick - 1) await nextTick()
      const shown = await visibleCollection(db, collection, reachOf(collection.name))
      if (shown === null) continue
      if (collections.length === query.limit) return { collections, next: shown.name }
      collections.push(shown)
    }
    from = page.next
  } while (from !== null)
  return { collections, next: null }
}

/** Each page of collections is sorted out of all, so they are few, however many of them the viewer may not see. */
const examinedAtOnce = 1000
/** After so many reads other requests are served. */
const readInTick = 100

/** Returns the collection as far as these prefixes go; null if there is nothing of it. */
async function visibleCollection(
  db: Database,
  collection: ShownCollection,
  prefixes: readonly string[],
): Promise<ShownCollection | null> {
  if (prefixes[0] === '') return collection
  const { name } = collection
  return (await hasMember(db, name, prefixes)) ? { name, members: null, bytes: null } : null
}

async function hasMember(db: Database, collection: string, prefixes: readonly string[]): Promise<boolean> {
  const query: ListQuery = { ...wholeCollection, limit: 1, keysOnly: true }
  for (const range of rangesWithin(prefixes, { from: null, to: null })) {
    const { members } = await db.page(collection, { ...query, ...range })
    if (members.length > 0) return true
  }
  return false
}
