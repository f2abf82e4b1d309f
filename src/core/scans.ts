import { type CollectionPage, type CollectionQuery, collectionPage } from './collection-page.ts'
import type { CollectionVersions } from './collection-versions.ts'
import { type DropSelection, dropMembers } from './drop.ts'
import type { CollectionStats, Engine, MaybePromise } from './engine.ts'
import { findAll, findPage, visitFound } from './find/find.ts'
import type { FindQuery, FoundPage, FoundSummary } from './find/query.ts'
import type { FindSource } from './find/search.ts'
import { isOwnCollection } from './keys.ts'
import {
  type ListQuery,
  listAll,
  listPage,
  type Page,
  type PageOptions,
  type Selection,
  visitPage,
} from './list.ts'
import type { Member } from './member.ts'
import type { MemberVisitor } from './member-visitor.ts'
import type { PageMemory } from './page-memory.ts'
import type { Writes } from './writes.ts'

/** Lists and drops of collections. */
export interface Scans {
  /**
   * Returns the collection's version, which differs after every change, for a list of this selection. Call it before
   * reading the page that the version labels. Null while an expired member is not swept yet: a list already omits that
   * member, but no change has been reported.
   */
  collectionVersion(collection: string, selection: Selection): Promise<string | null>
  page(collection: string, query: ListQuery, options?: PageOptions): Promise<Page>
  /**
   * As `page`, for a visitor and without the members, if one visit of the engine makes the page. Returns null otherwise: what was
   * visited is void then, and `page` reads it.
   */
  visitPage(collection: string, query: ListQuery, visitor: MemberVisitor): Pick<Page, 'next'> | null
  /** Yields all members that a query selects, in parts, in constant memory. */
  all(collection: string, query: ListQuery, memory?: PageMemory): AsyncGenerator<Member[]>
  /** As `find`, as `visitPage` is to `page`. Throws `invalid_cursor`. */
  visitFound(collection: string, query: FindQuery, visitor: MemberVisitor): FoundSummary | null
  /** Returns a page of what is found by value (find/find.ts). Rejects with `no_index` or `invalid_cursor`. */
  find(collection: string, query: FindQuery, options?: PageOptions): Promise<FoundPage>
  /**
   * Yields all that a query finds, at most its limit, in parts and in bounded memory; its cursor is ignored. Rejects with
   * `no_index` before the first part.
   */
  findAll(collection: string, query: FindQuery, memory?: PageMemory): AsyncGenerator<Member[]>
  /**
   * Deletes the members of a selection that were written before the call and returns how many. Each delete is atomic,
   * the drop is not. It may take long: `onProgress` is called after each batch.
   */
  drop(collection: string, selection: DropSelection, onProgress?: () => void): Promise<number>
  /** Returns all collections; kvist's own only with `own`. */
  collections(own?: 'own'): MaybePromise<CollectionStats[]>
  /** Returns a page of collections, without kvist's own. */
  collectionPage(query: CollectionQuery): Promise<CollectionPage>
}

export interface ScanOptions {
  readonly source: FindSource
  readonly writes: Pick<Writes, 'commit'>
  readonly versions: Pick<CollectionVersions, 'of' | 'commits'>
  readonly now: () => number
}

export function scansOf({ source, writes, versions, now }: ScanOptions): Scans {
  const { engine } = source

  async function collections(own?: 'own'): Promise<CollectionStats[]> {
    const all = await engine.collections()
    return own === undefined ? all.filter(({ name }) => !isOwnCollection(name)) : all
  }

  /** Whether an expired member is not swept yet. Lists ask for each page, so what is known is not read again. */
  const isDue = dueMembers(engine, versions.commits, now)

  return {
    async collectionVersion(collection) {
      const version = versions.of(collection)
      const due = isDue()
      // If a sweep came in between, nothing is expired any more, but the version is from before it.
      const hasExpired = due instanceof Promise ? await due : due
      return hasExpired || versions.of(collection) !== version ? null : version
    },
    page: (collection, query, options) => listPage(engine, collection, query, now(), options),
    visitPage: (collection, query, visitor) => visitPage(engine, collection, query, now(), visitor),
    all: (collection, query, memory) => listAll(engine, collection, query, now, memory),
    visitFound: (collection, query, visitor) => visitFound(source, collection, query, now(), visitor),
    find: (collection, query, options) => findPage(source, collection, query, now(), options),
    findAll: (collection, query, memory) => findAll(source, collection, query, now, memory),
    drop: (collection, selection, onProgress = () => {}) =>
      dropMembers(source, writes, collection, selection, now, onProgress),
    collections,
    collectionPage: async (query) => collectionPage(await collections(), query),
  }
}

/** How far ahead the next expiry is read. */
const horizonMs = 1000

/**
 * Returns a function that tells whether a member is expired. An engine that answers at once is asked for the next expiry
 * of the coming second; until that comes, or until a commit, nothing is.
 */
function dueMembers(
  { expiring }: Pick<Engine, 'expiring'>,
  commits: () => number,
  now: () => number,
): () => MaybePromise<boolean> {
  let askedAtCommit = -1
  let askedAtMs = 0
  let nextMs = 0
  return () => {
    const nowMs = now()
    if (commits() === askedAtCommit && nowMs >= askedAtMs && nowMs < nextMs) return false
    const found = expiring(nowMs + horizonMs, 1)
    if (found instanceof Promise)
      return found.then(([first]) => first !== undefined && first.expiresAtMs <= nowMs)
    askedAtCommit = commits()
    askedAtMs = nowMs
    nextMs = found[0]?.expiresAtMs ?? nowMs + horizonMs
    return nextMs <= nowMs
  }
}
