import { type CollectionPage, type CollectionQuery, collectionPage } from './collection-page.ts'
import type { CollectionVersions } from './collection-versions.ts'
import { dropMembers } from './drop.ts'
import type { CollectionStats, Engine, MaybePromise } from './engine.ts'
import { isOwnCollection } from './keys.ts'
import { type ListQuery, listAll, listPage, type Page, type PageOptions, type Selection } from './list.ts'
import type { Member } from './member.ts'
import type { PageMemory } from './page-memory.ts'
import type { Writes } from './writes.ts'

/** Lists and drops of collections. */
export interface Scans {
  /**
   * Another one after every change of the collection. Ask before what is to be labelled with it is read. Null while something
   * has expired that is not swept yet: a list is without it already, and no change says so.
   */
  collectionVersion(collection: string): Promise<string | null>
  page(collection: string, query: ListQuery, options?: PageOptions): Promise<Page>
  /** Everything that a query selects, in parts, in constant memory. */
  all(collection: string, query: ListQuery, memory?: PageMemory): AsyncGenerator<Member[]>
  /**
   * Deletes what a selection names and was written before now; says how many. Not atomic: each member is. It may take
   * long: `onProgress` is called for each part that is done.
   */
  drop(collection: string, selection: Selection, onProgress?: () => void): Promise<number>
  /** Without kvist's own, unless they are asked for. */
  collections(own?: 'own'): MaybePromise<CollectionStats[]>
  /** A page of collections; those of kvist's own are left out. */
  collectionPage(query: CollectionQuery): Promise<CollectionPage>
}

export interface ScanOptions {
  readonly engine: Engine
  readonly writes: Pick<Writes, 'commit'>
  readonly versions: Pick<CollectionVersions, 'of'>
  readonly now: () => number
}

export function scansOf({ engine, writes, versions, now }: ScanOptions): Scans {
  async function collections(own?: 'own'): Promise<CollectionStats[]> {
    const all = await engine.collections()
    return own === undefined ? all.filter(({ name }) => !isOwnCollection(name)) : all
  }

  return {
    async collectionVersion(collection) {
      const version = versions.of(collection)
      const [unswept] = await engine.expiring(now(), 1)
      // A sweep in between leaves nothing expired, but the version is from before it.
      const isCurrent = versions.of(collection) === version
      return unswept === undefined && isCurrent ? version : null
    },
    page: (collection, query, options) => listPage(engine, collection, query, now(), options),
    all: (collection, query, memory) => listAll(engine, collection, query, now, memory),
    drop: (collection, selection, onProgress = () => {}) =>
      dropMembers(engine, writes, collection, selection, now, onProgress),
    collections,
    collectionPage: async (query) => collectionPage(await collections(), query),
  }
}
