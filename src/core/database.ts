import { type MemberCache, memberCache } from './cache.ts'
import { stampToMs } from './clock.ts'
import { defaultTombstonesMs, startCompactor } from './compactor.ts'
import type {
  Check,
  CollectionStats,
  Commit,
  CommitResult,
  Delete,
  Durability,
  Engine,
  EngineStats,
  FeedCursor,
  MaybePromise,
  MemberRef,
  OnCommit,
  Put,
  Write,
  Written,
} from './engine.ts'
import { KvistError } from './errors.ts'
import { expiryOf, startSweeper } from './expiry.ts'
import { type WatchHub, watchHub } from './feed/hub.ts'
import { type FeedPage, type FeedSource, readFeed } from './feed/pages.ts'
import type { Scope } from './feed/scope.ts'
import type { WatchBounds, Watcher, WatchStats } from './feed/watcher.ts'
import { isOwnCollection } from './keys.ts'
import { taskLanes } from './lanes.ts'
import { everything, type ListQuery, listAll, listPage, type Page, type Selection } from './list.ts'
import { isExpired, jsonContentType, keyOf, type Member, type RemovalCause, type Value } from './member.ts'
import { type Operation, toWrite } from './operations.ts'
import { type Patch, patched } from './patch.ts'
import { type Process, pipeline } from './pipeline.ts'
import { collectionRules, type Rules } from './rules.ts'
import { type Settings, settingsBook } from './settings.ts'
import { startRenewals } from './sliding.ts'
import { nextTurn } from './turn.ts'

/**
 * The store as every edge uses it: HTTP, the dialects, memcached. What is decided once is decided here: what counts
 * as expired, conditions, increments, the cache. Names and values come parsed (keys.ts); limits of what a value may
 * be are the edges' to check, for they know what they can say.
 */
export interface Database {
  /** Where expiry slides, what is read lives on. */
  get(collection: string, key: string): MaybePromise<Member | null>
  /** This one will be asked for within the turn, as others may be: see `Engine.foresee`. */
  foresee(ref: MemberRef): void
  getMany(refs: readonly MemberRef[]): Promise<(Member | null)[]>
  /** Why there is no such member: it expired, or was deleted; null when it lives, or nobody remembers. */
  removalCause(collection: string, key: string): Promise<RemovalCause | null>
  /** `prepared`: content that went through `prepare`, or through another node, is stored as it is. */
  put(
    collection: string,
    key: string,
    content: Content,
    condition?: Condition,
    prepared?: 'prepared',
  ): Promise<Stored>
  /** What a put would store: with the default expiry, through the collection's processes, or else through these. */
  prepare(ref: MemberRef, content: Content, otherwise: readonly string[]): Promise<Content>
  /** False when there was nothing to delete. */
  delete(collection: string, key: string, condition?: Condition): Promise<boolean>
  /** All operations or none; the revision of each, 0 for a delete of what is not there. */
  batch(checks: readonly Check[], operations: readonly Operation[]): Promise<number[]>
  /**
   * Reads a member, decides what is to be written, and writes that if nobody else has written it in between; otherwise
   * it reads and decides again, so `decide` must have no effects that a further call does not undo. What is expired
   * counts as absent. Null when there was nothing to write. Updates of one member go one after the other.
   */
  update(ref: MemberRef, decide: Decide, durability?: Durability): Promise<Written | null>
  /**
   * Patches a member (patch.ts), as `update` writes: of many patches at once none is lost. What has no new expiry keeps
   * the one that it has.
   */
  patch(ref: MemberRef, patch: Patch, condition?: Condition, expiresAtMs?: number | null): Promise<Patched>
  /** Writes without conditions, all or none, in their order; what became of each. */
  write(writes: readonly Write[], durability?: Durability): Promise<readonly Written[]>
  /** Stores many at once without conditions, as an import does; says which of them a process kept out, and why. */
  putAll(collection: string, members: readonly (Content & { key: string })[]): Promise<KeptOut[]>
  page(collection: string, query: ListQuery): Promise<Page>
  /** Everything that a query selects, in parts, in constant memory. */
  all(collection: string, query: ListQuery): AsyncGenerator<Member[]>
  /**
   * Deletes what a selection names and was written before now; says how many. Not atomic: each member is. It may take
   * long: `onProgress` is called for each part that is done.
   */
  drop(collection: string, selection: Selection, onProgress?: () => void): Promise<number>
  /** Those of kvist's own are left out. */
  collections(): MaybePromise<CollectionStats[]>
  settings(collection: string): Settings
  /** With null, as if nothing had ever been set. Throws `conflict` or `unprocessable` (rules.ts). */
  setSettings(collection: string, settings: Settings | null): Promise<void>
  /** One page of the feed (changes.ts); rejects with `compacted` or `invalid_cursor`. */
  changes(scope: Scope, after: FeedCursor, limit: number): Promise<FeedPage>
  /**
   * Watches from a cursor on, or from now on (null). With a cursor, read until there is nothing; from now on, that is
   * so already: `wake` comes with the first change. `wake` must not throw. A cursor that is none of the feed's makes
   * the first `read` reject with `invalid_cursor`. Close it, or it is kept for ever.
   *
   * To wait until a member is other than a revision that is known, watch first and read then, so that no change falls
   * between:
   *
   *     const watcher = db.watch({ collection, key, prefix: null, filter: null }, null, wake)
   *     for (;;) {
   *       const member = await db.get(collection, key)
   *       if (isNew(member) || isTooLate) break
   *       await wakened             // or the time is over
   *       await watcher.read()      // until it is null: then the next change wakes again
   *     }
   *     watcher.close()
   */
  watch(scope: Scope, since: FeedCursor | null, wake: () => void): Watcher
  stats(): DatabaseStats
  close(): Promise<void>
}

/** What a client sends to be kept. */
export interface Content {
  readonly value: Value
  readonly contentType: string
  readonly flags: number
  readonly expiresAtMs: number | null
}

/** What became of a put, and the expiry that it got. */
export interface Stored extends Written {
  readonly expiresAtMs: number | null
}

/** What became of a patch, and the type that its member has. */
export interface Patched extends Stored {
  readonly contentType: string
}

/** One of several that was not stored. */
export interface KeptOut {
  readonly index: number
  readonly error: KvistError
}

/** What must hold of a member for a write to go ahead; `any` is one that exists, whatever its revision. */
export interface Condition {
  readonly ifMatch?: readonly number[] | 'any'
  readonly ifNoneMatch?: readonly number[] | 'any'
  /** There must be a member, and it must not have been written after this time. */
  readonly unmodifiedSinceMs?: number
}

/** What to write in place of the member that was found, at that time; null for nothing. */
export type Decide = (current: Member | null, nowMs: number) => Write | null

export interface DatabaseStats {
  readonly cache: MemberCache['stats']
  readonly swept: number
  readonly renewed: number
  readonly engine: EngineStats
  readonly watch: Readonly<WatchStats>
}

export interface DatabaseOptions {
  readonly open: (onCommit: OnCommit) => Promise<Engine>
  readonly cacheBytes: number
  /** For how long the feed tells of members that are gone; 7 days when left out. */
  readonly tombstonesMs?: number
  readonly now: () => number
  readonly onError: (error: unknown) => void
  /** That settings can name. */
  readonly processes?: readonly Process[]
  /** Settings that are not to be changed from outside. */
  readonly settings?: ReadonlyMap<string, Settings>
  /** Smaller ones make tests meet them. */
  readonly watchBounds?: WatchBounds
}

/** Tries of a check-and-retry: each failure means that somebody else got on, so this many in a row is no accident. */
const maxTries = 1000
const droppedAtOnce = 1000

export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { now, onError, processes = [], settings = new Map() } = options
  const cache = memberCache(options.cacheBytes)
  const book = settingsBook(settings, onError)
  let commits = 0
  let hub: WatchHub | null = null
  const engine = await options.open((changes, cursorAfter) => {
    commits++
    book.hear(changes)
    hub?.onCommit(changes, cursorAfter)
    for (const change of changes) cache.delete(change.collection, keyOf(change))
  })
  await book.load(engine)
  const rules: Rules = collectionRules(engine, book, pipeline(processes, onError))
  const inLane = taskLanes()
  const sweeper = startSweeper(engine, now, onError)
  const renewals = startRenewals({ engine, slidingTtlMs: rules.slidingTtlMs, now, onError })
  const feed: FeedSource = {
    engine,
    isExpired: (_collection, member) => isExpired(member, now()),
    async expire(refs) {
      await commit(refs.map(expiryOf)).catch((error: unknown) => {
        // A disk that is full must not keep readers from the rest of the feed.
        if (error instanceof KvistError && error.code === 'closing') throw error
        onError(error)
      })
    },
  }
  hub = watchHub(feed, options.watchBounds)
  const compactor = startCompactor(engine, options.tombstonesMs ?? defaultTombstonesMs, now, onError)

  function get(collection: string, key: string): MaybePromise<Member | null> {
    const kept = cache.get(collection, key)
    if (kept !== undefined) return living(collection, kept)
    const read = engine.read(collection, key)
    if (!(read instanceof Promise)) {
      // What comes at once is cheap: keeping what is read once would cost more than to read it again.
      if (read !== null) cache.offer(collection, read)
      return living(collection, read)
    }
    const before = commits
    return read.then((member) => {
      // What was read while something changed may be older than the change: not kept, then.
      if (member !== null && commits === before) cache.set(collection, member)
      return living(collection, member)
    })
  }

  function living(collection: string, member: Member | null): Member | null {
    if (member === null || member.expiresAtMs === null) return member
    const nowMs = now()
    if (isExpired(member, nowMs) && !renewals.livesOn(collection, member, nowMs)) return null
    renewals.wasRead(collection, member, nowMs)
    return member
  }

  /** In lanes: of those who write one member at once all but one would have tried in vain, over and over. */
  function update(ref: MemberRef, decide: Decide, durability?: Durability): Promise<Stored | null> {
    return inLane(refId(ref), () => tryUpdate(ref, decide, rules.applied, durability))
  }

  function updateAsIs(ref: MemberRef, decide: Decide): Promise<Stored | null> {
    return inLane(refId(ref), () => tryUpdate(ref, decide, null))
  }

  async function tryUpdate(
    { collection, key }: MemberRef,
    decide: Decide,
    apply: Rules['applied'] | null,
    durability?: Durability,
  ): Promise<Stored | null> {
    for (let tries = 0; tries < maxTries; tries++) {
      const nowMs = now()
      const read = await engine.read(collection, key)
      const current = read === null || isExpired(read, nowMs) ? null : read
      const decided = decide(current, nowMs)
      if (decided === null) return null
      const isReady = apply === null || !rules.has(collection)
      const write = isReady ? decided : await apply(decided, current, nowMs)
      const checks = [{ collection, key, revision: current?.revision ?? null }]
      const result = await engine.commit(commitOf(checks, [write], nowMs, durability))
      const expiresAtMs = write.op === 'put' ? write.expiresAtMs : null
      if (result.ok) return { ...result.written[0]!, expiresAtMs }
    }
    throw new KvistError('conflict', `${key} changed too often to be written`)
  }

  function put(
    collection: string,
    key: string,
    content: Content,
    condition?: Condition,
    prepared?: 'prepared',
  ): Promise<Stored> {
    if (prepared !== undefined || !rules.has(collection)) return putAsIs(collection, key, content, condition)
    return rules
      .prepared(collection, key, content, now())
      .then((ready) => putAsIs(collection, key, ready, condition))
  }

  async function putAsIs(
    collection: string,
    key: string,
    { value, contentType, flags, expiresAtMs }: Content,
    condition: Condition | undefined,
  ): Promise<Stored> {
    const write: Put = { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
    if (condition !== undefined) {
      const stored = await updateAsIs(write, (current) => {
        requireCondition(condition, current)
        return write
      })
      return stored!
    }
    const [written] = writtenOf(await engine.commit(commitOf([], [write], now(), undefined)))
    const { revision, createdAtMs, clock, existed } = written!
    return { revision, createdAtMs, clock, existed, expiresAtMs }
  }

  async function patch(
    ref: MemberRef,
    change: Patch,
    condition: Condition = {},
    expiresAtMs: number | null = null,
  ): Promise<Patched> {
    let contentType = jsonContentType
    const stored = await update(ref, (current) => {
      requireCondition(condition, current)
      const content = patched(current, change)
      contentType = content.contentType
      return { ...content, ...ref, op: 'put', expiresAtMs: expiresAtMs ?? content.expiresAtMs }
    })
    return { ...stored!, contentType }
  }

  async function remove(collection: string, key: string, condition?: Condition): Promise<boolean> {
    const write: Delete = { op: 'delete', collection, key, cause: 'delete' }
    if (condition !== undefined) {
      const written = await updateAsIs(write, (current) => {
        requireCondition(condition, current)
        return current === null ? null : write
      })
      return written !== null
    }
    return (await commit([write]))[0]!.existed
  }

  async function commit(writes: readonly Write[], durability?: Durability): Promise<readonly Written[]> {
    return writtenOf(await engine.commit(commitOf([], writes, now(), durability)))
  }

  async function write(writes: readonly Write[], durability?: Durability): Promise<readonly Written[]> {
    if (!writes.some(({ collection }) => rules.has(collection))) return commit(writes, durability)
    const nowMs = now()
    return commit(await Promise.all(writes.map((one) => rules.applied(one, null, nowMs))), durability)
  }

  async function putAll(
    collection: string,
    members: readonly (Content & { key: string })[],
  ): Promise<KeptOut[]> {
    const puts = members.map((member) => ({ ...member, op: 'put', collection }) as const)
    if (!rules.has(collection)) {
      await commit(puts)
      return []
    }
    const nowMs = now()
    const applied = await Promise.allSettled(puts.map((one) => rules.applied(one, null, nowMs)))
    const ready = applied.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    if (ready.length > 0) await commit(ready)
    return applied.flatMap((one, index) => {
      if (one.status === 'fulfilled') return []
      if (one.reason instanceof KvistError) return [{ index, error: one.reason }]
      throw one.reason
    })
  }

  async function batch(checks: readonly Check[], operations: readonly Operation[]): Promise<number[]> {
    for (let tries = 0; tries < maxTries; tries++) {
      const nowMs = now()
      const { writes, read } = await plan(operations, nowMs)
      const result = await engine.commit({ checks: [...checks, ...read], writes, nowMs })
      if (result.ok) return result.written.map(({ revision }) => revision)
      const { collection, key, revision } = result.failed
      const own = checks.find(
        (check) => check.collection === collection && check.key === key && check.revision !== revision,
      )
      if (own !== undefined) {
        throw new KvistError('precondition_failed', checkDetail(own, revision), { collection, key, revision })
      }
    }
    throw new KvistError('conflict', 'members of the batch changed too often for it to be applied')
  }

  /** The writes of a batch. Increments become puts of what they make of the present value, which must still stand. */
  async function plan(
    operations: readonly Operation[],
    nowMs: number,
  ): Promise<{ writes: Write[]; read: Check[] }> {
    const incremented = operations.filter(({ op }) => op === 'increment')
    const hasRules = operations.some(({ collection }) => rules.has(collection))
    if (incremented.length === 0 && !hasRules)
      return { writes: operations.map((operation) => toWrite(operation, null)), read: [] }

    const current = new Map<string, Content | null>()
    const read: Check[] = []
    const members = incremented.length === 0 ? [] : await engine.readMany(incremented)
    for (const [i, ref] of incremented.entries()) {
      const member = members[i] ?? null
      const present = member === null || isExpired(member, nowMs) ? null : member
      current.set(refId(ref), present)
      read.push({ collection: ref.collection, key: ref.key, revision: present?.revision ?? null })
    }
    const planned = operations.map((operation) => {
      const before = current.get(refId(operation)) ?? null
      const write = toWrite(operation, before)
      if (current.has(refId(operation))) current.set(refId(operation), write.op === 'put' ? write : null)
      // A put says all of what is stored; an increment leaves the expiry of what it finds.
      return { write, before: operation.op === 'increment' ? before : null }
    })
    const writes = planned.map(({ write, before }) =>
      hasRules ? rules.applied(write, before, nowMs) : write,
    )
    return { writes: await Promise.all(writes), read }
  }

  async function drop(collection: string, selection: Selection, onProgress = () => {}): Promise<number> {
    const startedAtMs = now()
    const startedAt = engine.head()
    const query = { ...selection, order: 'asc', limit: droppedAtOnce, cursor: null, keysOnly: true } as const
    let dropped = 0
    let cursor: string | null = null
    do {
      const page: Page = await listPage(engine, collection, { ...query, cursor }, startedAtMs)
      const writes = page.members
        .filter(({ key, revision }) => engine.hasSeen(startedAt, { collection, key, revision }))
        .map(
          ({ key, revision }) =>
            ({ op: 'delete', collection, key, cause: 'delete', ifRevision: revision }) as const,
        )
      if (writes.length > 0) {
        dropped += (await commit(writes)).filter(({ revision }) => revision > 0).length
      }
      cursor = page.next
      onProgress()
      await nextTurn()
    } while (cursor !== null)
    return dropped
  }

  return {
    get,
    foresee(ref) {
      if (!cache.isHot(ref.collection, ref.key)) engine.foresee?.(ref)
    },
    async removalCause(collection, key) {
      const member = await engine.read(collection, key)
      // What has expired is swept soon, and only then leaves its tombstone.
      if (member !== null) return isExpired(member, now()) ? 'expire' : null
      return (await engine.tombstone(collection, key))?.cause ?? null
    },
    async getMany(refs) {
      const found = await engine.readMany(refs)
      return found.map((member, i) => living(refs[i]!.collection, member))
    },
    put,
    delete: remove,
    batch,
    update,
    patch,
    write,
    putAll,
    prepare: ({ collection, key }, content, otherwise) =>
      rules.prepared(collection, key, content, now(), otherwise),
    page: (collection, query) => listPage(engine, collection, query, now()),
    all: (collection, query) => listAll(engine, collection, query, now),
    drop,
    async collections() {
      return (await engine.collections()).filter(({ name }) => !isOwnCollection(name))
    },
    settings: rules.settings,
    setSettings: (collection, given) => rules.set(collection, given, now()),
    changes: (scope, after, limit) => readFeed(feed, scope, after, limit),
    watch: hub.watch,
    stats: () => ({
      cache: cache.stats,
      swept: sweeper.swept(),
      renewed: renewals.renewed(),
      engine: engine.stats(),
      watch: hub.stats,
    }),
    async close() {
      await Promise.all([sweeper.stop(), compactor.stop(), renewals.stop()])
      await engine.close()
    },
  }
}

/** Throws `precondition_failed`, with the revision that the member has. */
function requireCondition(
  { ifMatch, ifNoneMatch, unmodifiedSinceMs }: Condition,
  current: Member | null,
): void {
  const revision = current?.revision ?? null
  if (ifMatch !== undefined) {
    if (revision === null)
      throw new KvistError('precondition_failed', 'there is no such member', { revision })
    if (ifMatch !== 'any' && !ifMatch.includes(revision)) {
      throw new KvistError('precondition_failed', `the member is at revision ${revision}`, { revision })
    }
  }
  if (unmodifiedSinceMs !== undefined) {
    if (current === null) throw new KvistError('precondition_failed', 'there is no such member', { revision })
    if (stampToMs(current.clock) > unmodifiedSinceMs) {
      throw new KvistError('precondition_failed', `the member was written since, at revision ${revision}`, {
        revision,
      })
    }
  }
  if (ifNoneMatch === undefined || revision === null) return
  if (ifNoneMatch === 'any' || ifNoneMatch.includes(revision)) {
    throw new KvistError('precondition_failed', `the member exists, at revision ${revision}`, { revision })
  }
}

/** Of a commit without checks, which cannot fail one. */
function writtenOf(result: CommitResult): readonly Written[] {
  if (!result.ok) throw new Error('a commit without checks cannot fail one')
  return result.written
}

function checkDetail({ collection, key, revision: wanted }: Check, revision: number | null): string {
  const is = revision === null ? 'does not exist' : `is at revision ${revision}`
  return `${collection}/${key} ${is}, and not ${wanted === null ? 'missing' : `at revision ${wanted}`}`
}

function refId({ collection, key }: MemberRef): string {
  return `${collection}/${key}`
}

function commitOf(
  checks: readonly Check[],
  writes: readonly Write[],
  nowMs: number,
  durability: Durability | undefined,
): Commit {
  return durability === undefined ? { checks, writes, nowMs } : { checks, writes, nowMs, durability }
}

/** A query for all of a collection. */
export const wholeCollection: ListQuery = {
  ...everything,
  order: 'asc',
  limit: Number.POSITIVE_INFINITY,
  cursor: null,
  keysOnly: false,
}
