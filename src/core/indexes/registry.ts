import type { Delete, MemberRef, Put } from '../engine.ts'
import { type Follower, follower } from '../follower.ts'
import { jsonContentType, type Member } from '../member.ts'
import { settingsCollection } from '../settings.ts'
import type { IndexLife } from '../shared-store.ts'
import { type Index, type IndexDefinition, indexOf } from './definition.ts'

/**
 * How far an index is. `building`: not all members have their entries yet. `ready`: all have them. `failed`: it is unique,
 * and members have the same values; it is not kept any more until its settings are stored again.
 */
export type IndexState = 'building' | 'ready' | 'failed'

/** What is stored of an index beside its entries. */
export interface IndexProgress {
  readonly state: IndexState
  /** The key from which the build goes on; null for the beginning. */
  readonly position: string | null
  /** Members that the build has examined. */
  readonly examined: number
  /** Why it failed, for people; null if it has not. */
  readonly failure: string | null
  /** Where several servers write to the store: that of the build; null before it has begun, and in other stores. */
  readonly generation: number | null
  /** The server that builds; null where there is only one. */
  readonly builder: string | null
}

/** How many indexes there are in each state, and how many members the builds under way have examined. */
export interface IndexCounts extends Readonly<Record<IndexState, number>> {
  readonly examined: number
}

export interface IndexStatus extends Index, IndexProgress {}

/**
 * The collection in which each index has a member with its progress, under its id. Entries and progress are not mirrored:
 * every node builds its own.
 */
export const indexesCollection = '_indexes'

export const notBegun: IndexProgress = {
  state: 'building',
  position: null,
  examined: 0,
  failure: null,
  generation: null,
  builder: null,
}

/** Knows the indexes of all collections, which every write needs. */
export interface IndexRegistry extends Follower {
  /** Takes over the indexes of a collection's settings, stored with this revision. */
  set(collection: string, definitions: readonly IndexDefinition[], revision?: number | null): void
  /** The largest revision of what has changed which entries are kept. */
  revision(): number
  /** A line lacks entries of an index that is ready: it is building until its progress says something else. */
  lose(life: IndexLife): void
  /** Whether any collection has indexes. */
  hasAny(): boolean
  /** Returns the indexes whose entries are kept; undefined for none. It is another list whenever they change. */
  kept(collection: string): readonly Index[] | undefined
  isBuilding(index: Index): boolean
  /** Returns all indexes of a collection, in the order of its settings. */
  of(collection: string): readonly IndexStatus[]
  /** Returns the indexes of all collections. */
  all(): readonly IndexStatus[]
  counts(): IndexCounts
  /** Returns what is stored of indexes, also of those that settings do not name any more. */
  stored(): readonly StoredIndex[]
}

/** `onChange` is called when indexes were added, removed or have another state. */
export function indexRegistry(onChange: () => void, onError: (error: unknown) => void): IndexRegistry {
  const known = new Map<string, readonly Index[]>()
  const kept = new Map<string, readonly Index[]>()
  const progress = new Map<string, StoredIndex>()
  /** The collection of each known index. */
  const collections = new Map<string, string>()

  /** The generations whose entries are not all there. */
  const lost = new Map<string, number>()
  let lastRevision = 0

  function progressOf({ id }: Index): IndexProgress {
    const found = progress.get(id) ?? notBegun
    return lost.get(id) === found.generation && found.state === 'ready' ? { ...notBegun } : found
  }

  function noteRevision(revision: number | null): void {
    if (revision !== null && revision > lastRevision) lastRevision = revision
  }

  function update(collection: string): void {
    const before = kept.get(collection) ?? []
    const indexes = (known.get(collection) ?? []).filter((one) => progressOf(one).state !== 'failed')
    if (indexes.length === before.length && indexes.every((one, i) => one === before[i])) return
    if (indexes.length === 0) kept.delete(collection)
    else kept.set(collection, indexes)
  }

  function set(
    collection: string,
    definitions: readonly IndexDefinition[],
    revision: number | null = null,
  ): void {
    const before = known.get(collection) ?? []
    if (before.length + definitions.length === 0) return
    const indexes = definitions.map((definition) => indexOf(collection, definition))
    const isSame = before.length === indexes.length && before.every(({ id }, i) => id === indexes[i]!.id)
    if (!isSame) noteRevision(revision)
    for (const { id } of before) collections.delete(id)
    for (const { id } of indexes) collections.set(id, collection)
    if (indexes.length === 0) known.delete(collection)
    else known.set(collection, indexes)
    update(collection)
    onChange()
  }

  function take(id: string, member: Member | null, revision: number | null): void {
    try {
      const before = progress.get(id)
      const after = member === null ? undefined : parseStored(id, String(member.value))
      if (after === undefined) progress.delete(id)
      else progress.set(id, after)
      // How far a build is does not matter to writers.
      if (before?.state !== after?.state || before?.generation !== after?.generation) noteRevision(revision)
    } catch (error) {
      onError(new Error(`the progress of index ${id} cannot be read`, { cause: error }))
    }
    const collection = collections.get(id)
    if (collection !== undefined) update(collection)
    onChange()
  }

  function statusOf(index: Index): IndexStatus {
    return { ...index, ...progressOf(index) }
  }

  return {
    set,
    revision: () => lastRevision,
    lose({ id, generation }) {
      if (lost.get(id) === generation) return
      lost.set(id, generation)
      onChange()
    },
    hasAny: () => known.size > 0,
    kept: (collection) => kept.get(collection),
    isBuilding: (index) => progressOf(index).state === 'building',
    of: (collection) => (known.get(collection) ?? []).map(statusOf),
    counts: () => countsOf([...known.values()].flatMap((indexes) => indexes.map(progressOf))),
    all: () => [...known.values()].flatMap((indexes) => indexes.map(statusOf)),
    stored: () => [...progress.values()],
    ...follower({ collection: indexesCollection, take, keys: () => progress.keys() }),
  }
}

/** What is stored of an index beside its entries, and the collection that it orders. */
export interface StoredIndex extends IndexProgress {
  readonly id: string
  readonly of: string
}

function countsOf(all: readonly IndexProgress[]): IndexCounts {
  const counts = { building: 0, ready: 0, failed: 0, examined: 0 }
  for (const { state, examined } of all) {
    counts[state]++
    if (state === 'building') counts.examined += examined
  }
  return counts
}

/** Returns an index as settings show it. */
export function shownIndex({ name, on, unique, state, examined, failure }: IndexStatus) {
  const shown = { name, on: on.map(({ text }) => text), unique, state, examined }
  return failure === null ? shown : { ...shown, failure }
}

function parseStored(id: string, text: string): StoredIndex {
  return { ...notBegun, ...JSON.parse(text), id }
}

/** The member whose line the progress of an index shares: it is deleted together with the settings that name it. */
export function nearSettings(of: string): MemberRef {
  return { collection: settingsCollection, key: of }
}

/** Returns the write that stores the progress of an index. */
export function progressPut({ id, of }: Index, progress: IndexProgress): Put {
  const { state, position, examined, failure, generation, builder } = progress
  const shared = generation === null && builder === null ? {} : { generation, builder }
  return {
    op: 'put',
    collection: indexesCollection,
    key: id,
    value: JSON.stringify({ of, state, position, examined, failure, ...shared }),
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: null,
    near: nearSettings(of),
  }
}

export function progressDelete({ id, of }: Pick<StoredIndex, 'id' | 'of'>): Delete {
  return { op: 'delete', collection: indexesCollection, key: id, cause: 'delete', near: nearSettings(of) }
}
