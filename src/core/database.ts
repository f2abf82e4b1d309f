import { type MemberCache, memberCache } from './cache.ts'
import { collectionVersions } from './collection-versions.ts'
import { type Comparison, comparisonOf } from './comparison.ts'
import type { Condition } from './condition.ts'
import { type ConflictPage, type ConflictQuery, conflictPage } from './conflict-records.ts'
import type { NewContent, Stored } from './content.ts'
import type {
  Durability,
  Engine,
  EngineStats,
  FeedCursor,
  MemberRef,
  OnCommit,
  OnSetback,
  VersionRef,
  Write,
  Written,
} from './engine.ts'
import { KvistError } from './errors.ts'
import { type WatchHub, watchHub } from './feed/hub.ts'
import { type FeedPage, type FeedSource, readFeed } from './feed/pages.ts'
import type { Scope } from './feed/scope.ts'
import type { WatchBounds, Watcher, WatchStats } from './feed/watcher.ts'
import type { Follower } from './follower.ts'
import { type IndexBuilder, startIndexBuilder } from './indexes/build.ts'
import { indexView } from './indexes/index-view.ts'
import type { IndexEvent } from './indexes/one-build.ts'
import { type IndexCounts, type IndexStatus, indexRegistry } from './indexes/registry.ts'
import { refuseIndexesInFile, requireKeepable, usableIndexes } from './indexes/shared-indexes.ts'
import { writtenKeys } from './indexes/written-keys.ts'
import { Renewals } from './jobs/renewals.ts'
import { expiryOf, startSweeper } from './jobs/sweeper.ts'
import { defaultTombstonesMs, startTombstoneGc } from './jobs/tombstone-gc.ts'
import { everything, type ListQuery } from './list.ts'
import { isExpired } from './member.ts'
import { type PageMemory, unlimitedMemory } from './page-memory.ts'
import { type Process, type ProcessRunner, processRunner } from './process.ts'
import { type ReadQueue, readQueue } from './read-queue.ts'
import { type Reads, readsOf } from './reads.ts'
import { type Scans, scansOf } from './scans.ts'
import { type CheckedMembers, checkMembers, type MembersCheck } from './schema/check-members.ts'
import { requireSchema } from './schema/schema.ts'
import {
  noSettings,
  requireSettingsCondition,
  type Settings,
  type SettingsRegistry,
  settingsRegistry,
  settingsWrite,
} from './settings.ts'
import { type SourcePositions, sourcePositions } from './source-positions.ts'
import { realTimers, type Timers } from './timers.ts'
import { transformsOf } from './transforms.ts'
import { type Prepared, type Writes, writeGate } from './writes.ts'

/**
 * The store, as used by HTTP, the dialects and memcached. Expiry, conditions, increments and the cache are implemented
 * here, once for all of them. Names and values come parsed (keys.ts); each protocol checks the limits of a value
 * itself, because it knows how to report them. Reads by key are in reads.ts, lists and drops in scans.ts, writes in
 * writes.ts.
 */
export interface Database
  extends Pick<
      Reads,
      'get' | 'getHead' | 'getPart' | 'readMany' | 'visitMany' | 'removalCause' | 'onExpiredRead'
    >,
    Scans,
    Comparison,
    Pick<
      Writes,
      | 'putUnmirrored'
      | 'deleteUnmirrored'
      | 'execute'
      | 'prepare'
      | 'update'
      | 'patch'
      | 'touch'
      | 'putAll'
      | 'replicate'
      | 'requireReplicable'
    > {
  /**
   * Returns a queue whose reads are done together. `schedule` must run its work once the input of the tick was
   * processed.
   */
  readQueue(schedule: (work: () => void) => void): ReadQueue
  /** The id of this node among the nodes that exchange changes. */
  readonly nodeId: string
  /**
   * Stores a member. With `prepared` the content is stored as it is: it went through `prepare`, and is only checked against
   * the schema, or through another node.
   */
  put(
    collection: string,
    key: string,
    content: NewContent,
    condition?: Condition,
    prepared?: Prepared,
  ): Promise<Stored>
  /** Returns the revision of the delete; 0 when there was no member. */
  delete(collection: string, key: string, condition?: Condition): Promise<number>
  /**
   * Does writes without conditions, in order and each on its own, and returns the outcome of each. One that would pass a
   * quota has `exceeded` in its outcome.
   */
  write(writes: readonly Write[], durability?: Durability): Promise<readonly Written[]>
  settings(collection: string): Settings
  /** Returns the revision of the stored settings; null if none are stored. */
  settingsRevision(collection: string): number | null
  /** The indexes of a collection, in the order of its settings, with their states. */
  indexesOf(collection: string): readonly IndexStatus[]
  /**
   * Stores the settings of a collection; null removes them. Once it resolves, every write of this server is done under these
   * settings, and none is under way that was checked against former ones. The condition is on the revision of the stored settings. Throws `conflict`, `unprocessable`
   * (settings.ts), `invalid_schema` or `precondition_failed`.
   */
  setSettings(collection: string, settings: Settings | null, condition?: Condition): Promise<void>
  /** Finds the members that break a schema, a part at a time (schema/check-members.ts). */
  checkMembers(collection: string, check: MembersCheck, memory?: PageMemory): Promise<CheckedMembers>
  /** Throws `forbidden` unless the reader or writer of this store may do this to a member. */
  requireGranted(capability: 'read' | 'write', ref: MemberRef): void
  /** Returns a page of the conflicts with other nodes (conflicts.ts). */
  conflicts(query: ConflictQuery): Promise<ConflictPage>
  /** Returns one page of the feed (feed/pages.ts). Rejects with `compacted` or `invalid_cursor`. */
  changes(scope: Scope, after: FeedCursor, limit: number, memory?: PageMemory): Promise<FeedPage>
  /** Whether a reader of the feed at a cursor has passed this version. */
  hasSeen(cursor: FeedCursor, version: VersionRef): boolean
  /** Rejects as `changes` does if no page can follow the cursor. */
  checkCursor(cursor: FeedCursor): Promise<void>
  /**
   * Returns a watcher of the changes after a cursor or, with null, from now on. After a watch with a cursor, call
   * `read` until it returns null; from then on, and from the start of a watch without one, `wake` is called at the next
   * change. `wake` must not throw. If the cursor is not one of this feed, the first `read` rejects with
   * `invalid_cursor`. Close the watcher, or it is kept for ever.
   *
   * To wait until a member has another revision than a known one, watch first and read afterwards, so that no change is
   * missed in between:
   *
   *     const watcher = db.watch({ collection, key, prefix: null, filter: null }, null, wake)
   *     for (;;) {
   *       const member = await db.get(collection, key)
   *       if (isNew(member) || isTooLate) break
   *       await wakened             // or the deadline
   *       await watcher.read()      // until it returns null: then the next change wakes again
   *     }
   *     watcher.close()
   */
  watch(scope: Scope, since: FeedCursor | null, wake: () => void): Watcher
  /** How far other nodes have sent their changes here. */
  readonly positions: Pick<SourcePositions, 'move'>
  stats(): DatabaseStats
  /** Why every write fails at present; null while writes succeed. */
  writeFault(): string | null
  close(): Promise<void>
}

export interface DatabaseStats {
  readonly cache: MemberCache['stats']
  readonly swept: number
  readonly renewed: number
  readonly indexes: IndexCounts
  readonly engine: EngineStats
  readonly watch: Readonly<WatchStats>
}

export interface DatabaseOptions {
  readonly open: (onCommit: OnCommit, onSetback: OnSetback) => Promise<Engine>
  readonly cacheBytes: number
  /** How long the feed keeps tombstones; 7 days when left out. */
  readonly tombstonesMs?: number
  readonly now: () => number
  readonly onError: (error: unknown) => void
  /** The processes that settings can name. */
  readonly processes?: readonly Process[]
  /** Settings that cannot be changed over HTTP. */
  readonly settings?: ReadonlyMap<string, Settings>
  /** Tests set their own. */
  readonly timers?: Timers
  /** Whether renewals get records that mirrors read (renewal-records.ts); never, if left out. */
  readonly recordsRenewals?: () => boolean
  /** How far the clock of another node may be ahead. */
  readonly maxClockAheadMs?: number
  /** Keep data derived from collections of kvist's own up to date. */
  readonly followers?: readonly Follower[]
  /** Called when an index is built, is ready, has failed or was dropped. */
  readonly onIndexEvent?: (event: IndexEvent) => void
  /** Tests set smaller ones. */
  readonly watchBounds?: WatchBounds
}

export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { now, onError, processes = [], settings = new Map(), timers = realTimers } = options
  const cache = memberCache(options.cacheBytes)
  let builder: IndexBuilder | null = null
  const registries = registriesOf(settings, onError, () => builder?.wake())
  const { registry, indexes } = registries
  const others = options.followers ?? []
  const followers = [registry, indexes, ...others]
  const versions = collectionVersions()
  let hub: WatchHub | null = null
  let reads: Reads | null = null
  const onCommit: OnCommit = (changes, cursorAfter) => {
    for (const one of followers) one.onCommit(changes)
    hub?.onCommit(changes, cursorAfter)
    versions.onCommit(changes)
    reads?.onCommit(changes, cursorAfter)
  }
  /** Discards everything derived from changes that the store lost, and derives it again. */
  const onSetback: OnSetback = () => {
    reads?.onSetback()
    versions.onSetback()
    hub?.onSetback()
    view.reload().catch((error) => isClosing(error) || onError(error))
    for (const one of others) one.load(engine).catch(onError)
  }
  const view = indexView(indexes, () => registries.load(engine))
  const engine = await options.open(onCommit, onSetback)
  const written = writtenKeys()
  const forIndexes = engine.shared === null ? { written } : { written, view }
  if (engine.shared !== null) await refuseIndexesInFile(engine, settings)
  registries.share(engine)
  for (const one of followers) await one.load(engine)
  const runner = processRunner(processes, onError)
  const transforms = transformsOf(registry, runner)
  const tombstonesMs = options.tombstonesMs ?? defaultTombstonesMs
  const makeRoom = () => sweeper.sweepNow()
  const writes = writeGate({
    engine,
    transforms,
    now,
    renewalRecords: { isRecording: options.recordsRenewals ?? (() => false), keepMs: tombstonesMs },
    ...(options.maxClockAheadMs === undefined ? {} : { maxAheadMs: options.maxClockAheadMs }),
    quotasOf: registry.quotasOf,
    indexes,
    ...forIndexes,
    makeRoom,
    onTouch: (refs) => renewals.forget(refs),
  })
  const renewals = new Renewals({ writes, slidingTtlMs: registry.slidingTtlMs, onError, timers })
  const livesOn = (ref: VersionRef, nowMs: number) => renewals.livesOn(ref.collection, ref, nowMs)
  const sweeper = startSweeper(engine, writes, livesOn, now, onError, timers)
  reads = readsOf({ engine, cache, renewals, now })
  const source = { engine, ...usableIndexes(indexes, engine.shared === null ? null : view) }
  const scans = scansOf({ source, writes, versions, now })
  const feed = feedSource(engine, writes, renewals, now, onError)
  hub = watchHub(feed, options.watchBounds)
  const positions = sourcePositions({ get: reads.get, write: (all) => writes.write(all, relaxed) }, timers)
  const tools = { engine, commit: writes.commitChecked, makeRoom, now, timers, onError }
  const onEvent = options.onIndexEvent ?? (() => {})
  builder = await startIndexBuilder({ ...tools, registry: indexes, view, written, onEvent })
  const tombstoneGc = startTombstoneGc(engine, tombstonesMs, now, onError, timers)

  return {
    ...verbsOf(reads, writes),
    readQueue: (schedule) => readQueue(reads, schedule),
    nodeId: engine.nodeId,
    conflicts: (query) => conflictPage(engine, query, now()),
    requireReplicable: writes.requireReplicable,
    ...scans,
    ...comparisonOf(engine, now),
    requireGranted() {},
    settings: (collection) => registry.get(collection) ?? noSettings,
    settingsRevision: registry.revisionOf,
    indexesOf: indexes.of,
    setSettings: settingsSetter(engine, registry, runner, writes),
    checkMembers: membersChecker(registry, scans),
    changes: (scope, after, limit, memory) => readFeed(feed, scope, after, limit, memory),
    hasSeen: (cursor, version) => engine.hasSeen(cursor, version),
    async checkCursor(cursor) {
      await engine.changes(cursor, 1, undefined, 0)
    },
    watch: hub.watch,
    positions,
    stats: () => ({
      cache: cache.stats,
      swept: sweeper.swept(),
      renewed: renewals.renewed(),
      indexes: indexes.counts(),
      engine: engine.stats(),
      watch: hub.stats,
    }),
    writeFault: () => engine.writeFault()?.message ?? null,
    async close() {
      // On a full disk they cannot be stored: then nodes send a little again.
      await positions.stop().catch(onError)
      await Promise.all([builder?.stop(), sweeper.stop(), tombstoneGc.stop(), renewals.stop()])
      await engine.close()
    },
  }
}

function isClosing(error: unknown): boolean {
  return error instanceof KvistError && error.code === 'closing'
}

/** Returns what every write needs to know of collections: their settings, and the indexes that those name. */
function registriesOf(
  fixed: ReadonlyMap<string, Settings>,
  onError: (error: unknown) => void,
  onIndexes: () => void,
) {
  let isShared = false
  const indexes = indexRegistry(onIndexes, onError)
  const registry = settingsRegistry(fixed, onError, (collection, definitions, { revision, isFixed }) => {
    if (isFixed || isShared || !fixed.has(collection)) indexes.set(collection, definitions, revision)
  })
  return {
    registry,
    indexes,
    /** From now on the indexes of a shared store are those that are stored, as other servers keep them, whatever is fixed. */
    share({ shared }: Pick<Engine, 'shared'>) {
      isShared = shared !== null
    },
    async load(engine: Pick<Engine, 'scan'>) {
      await registry.load(engine)
      await indexes.load(engine)
    },
  }
}

/** Returns the verbs of the store that are those of its reads and writes. */
function verbsOf(reads: Reads, writes: Writes) {
  return {
    get: reads.get,
    getHead: reads.getHead,
    getPart: reads.getPart,
    readMany: reads.readMany,
    visitMany: reads.visitMany,
    removalCause: reads.removalCause,
    onExpiredRead: reads.onExpiredRead,
    execute: writes.execute,
    prepare: writes.prepare,
    update: writes.update,
    patch: writes.patch,
    touch: writes.touch,
    putAll: writes.putAll,
    replicate: writes.replicate,
    putUnmirrored: writes.putUnmirrored,
    deleteUnmirrored: writes.deleteUnmirrored,
    put: (collection, key, content, condition, prepared) =>
      writes.put({ collection, key }, content, condition, prepared),
    delete: (collection, key, condition) => writes.delete({ collection, key }, condition),
    write: (all, durability) => writes.write(all, durability === undefined ? {} : { durability }),
  } satisfies Partial<Database>
}

/** Returns what stores the settings of a collection. */
function settingsSetter(
  { shared }: Pick<Engine, 'shared'>,
  registry: SettingsRegistry,
  runner: ProcessRunner,
  writes: Writes,
): Database['setSettings'] {
  return async (collection, given, condition) => {
    registry.requireChangeable(collection, given)
    if (shared !== null && given !== null) requireKeepable(shared, collection, given)
    runner.requireNames(given?.processes ?? [])
    if (given !== null && given.schema !== null) requireSchema(given.schema)
    const write = settingsWrite(collection, given)
    if (condition === undefined) await writes.commit([write])
    else {
      await writes.update(write, (current) => {
        requireSettingsCondition(collection, condition, current)
        return write
      })
    }
    // They may have been checked against the former settings.
    await writes.settled()
  }
}

/** Returns what checks members against a schema. */
function membersChecker(registry: SettingsRegistry, scans: Scans): Database['checkMembers'] {
  return (collection, check, memory = unlimitedMemory) =>
    checkMembers(check, {
      page: (query, options) => scans.page(collection, query, options),
      current: registry.get(collection)?.schema ?? null,
      collection,
      memory,
    })
}

const relaxed = { durability: 'relaxed' } as const

/** Returns the source of the feed. It deletes expired members before a reader sees them. */
function feedSource(
  engine: Engine,
  writes: Writes,
  renewals: Renewals,
  now: () => number,
  onError: (error: unknown) => void,
): FeedSource {
  return {
    engine,
    isExpired(collection, member) {
      const nowMs = now()
      return isExpired(member, nowMs) && !renewals.livesOn(collection, member, nowMs)
    },
    async expire(refs) {
      await writes.commit(refs.map(expiryOf)).catch((error: unknown) => {
        // A full disk must not stop readers of the feed.
        if (error instanceof KvistError && error.code === 'closing') throw error
        onError(error)
      })
    },
  }
}

/** A query that selects all members of a collection. */
export const wholeCollection: ListQuery = {
  ...everything,
  order: 'asc',
  limit: Number.POSITIVE_INFINITY,
  cursor: null,
  keysOnly: false,
}
