import type { MemberCache } from './cache.ts'
import type { Engine, MaybePromise, MemberRef, OnCommit } from './engine.ts'
import type { Renewals } from './jobs/renewals.ts'
import { isExpired, keyOf, type Member, type MemberHead, type RemovalCause } from './member.ts'

/**
 * Reads members by their keys, from the cache or the engine, without expired ones. A read of a member in a collection
 * with sliding expiry renews it.
 */
export interface Reads {
  /** Returns the member, null if there is none, and renews it where expiry slides. */
  get(collection: string, key: string): MaybePromise<Member | null>
  /** Returns the member if it is in the cache, null if that has expired, undefined if it is not in the cache. */
  cached(ref: MemberRef): Member | null | undefined
  /**
   * Returns several members in the order of the refs, read at one moment. With `maxBytes` the result ends with the
   * member whose value exceeds it, as that of `Engine.readMany` does.
   */
  readMany(refs: readonly MemberRef[], maxBytes?: number): MaybePromise<(Member | null)[]>
  /**
   * As `readMany`, for a visitor, and without asking the cache: see `Engine.visitMany`. A member that has expired is visited as
   * none.
   */
  visitMany: Engine['visitMany']
  /** As `readMany`, of members that `cached` did not return in this tick: the cache is not asked again. */
  readUncached(refs: readonly MemberRef[], maxBytes?: number): MaybePromise<(Member | null)[]>
  /** Returns the member without its value, and renews it where expiry slides. */
  getHead(collection: string, key: string): MaybePromise<MemberHead | null>
  /**
   * As `Engine.readPart`, of a version that `getHead` returned: that it has not expired was checked, and it is renewed
   * already.
   */
  getPart: Engine['readPart']
  /** Returns why a member was removed; null if it exists or has no tombstone. */
  removalCause(collection: string, key: string): Promise<RemovalCause | null>
  /**
   * Registers a listener that is called whenever a read finds a member of the collection that has expired but was not
   * swept yet.
   */
  onExpiredRead(collection: string, listener: () => void): void
  /** Removes changed members from the cache, before any reader can see the change. */
  readonly onCommit: OnCommit
  onSetback(): void
}

export interface ReadOptions {
  readonly engine: Engine
  readonly cache: MemberCache
  readonly renewals: Pick<Renewals, 'livesOn' | 'wasRead'>
  readonly now: () => number
}

/** Truncates the members after the one whose value exceeds `maxBytes`. */
function upTo(maxBytes: number | undefined, members: (Member | null)[]): (Member | null)[] {
  if (maxBytes === undefined) return members
  let bytes = 0
  for (let i = 0; i < members.length; i++) {
    const member = members[i]!
    if (member !== null) bytes += member.value.length
    if (bytes <= maxBytes) continue
    members.length = i + 1
    break
  }
  return members
}

/** Returns a function that returns a member unless it has expired, and renews it where expiry slides. */
function visibilityOf({ renewals, now }: ReadOptions, expiredReadListeners: ReadonlyMap<string, () => void>) {
  return <Read extends Member | MemberHead>(collection: string, member: Read | null): Read | null => {
    if (member === null || member.expiresAtMs === null) return member
    const nowMs = now()
    if (isExpired(member, nowMs) && !renewals.livesOn(collection, member, nowMs)) {
      expiredReadListeners.get(collection)?.()
      return null
    }
    renewals.wasRead(collection, member, nowMs)
    return member
  }
}

async function removalCauseIn(
  engine: Engine,
  collection: string,
  key: string,
  nowMs: number,
): Promise<RemovalCause | null> {
  const member = await engine.read(collection, key)
  // An expired member gets its tombstone only when it is swept.
  if (member !== null) return isExpired(member, nowMs) ? 'expire' : null
  return (await engine.tombstone(collection, key))?.cause ?? null
}

function listOf(member: Member | null): (Member | null)[] {
  return [member]
}

function nothing(): null {
  return null
}

function whenRead<Read, Result>(
  read: MaybePromise<Read>,
  use: (result: Read) => Result,
): MaybePromise<Result> {
  return read instanceof Promise ? read.then(use) : use(read)
}

type Unexpired = ReturnType<typeof visibilityOf>

/** Completes reads of an engine that returns them later, when what was read may have changed. */
function lateReads({ engine, cache }: ReadOptions, unexpired: Unexpired) {
  /** Incremented whenever members that were read before may have become stale. */
  let changes = 0
  return {
    changed: () => void changes++,

    async one(collection: string, read: Promise<Member | null>): Promise<Member | null> {
      const before = changes
      const member = await read
      if (member !== null && changes === before) cache.set(collection, member)
      return unexpired(collection, member)
    },

    /** Completes `cached`, the members from the cache, with those being read; `indexes` are their positions. */
    async many(
      refs: readonly MemberRef[],
      cached: (Member | null)[],
      indexes: readonly number[],
      read: Promise<(Member | null)[]>,
      maxBytes: number | undefined,
    ): Promise<(Member | null)[]> {
      const before = changes
      const found = await read
      if (changes !== before && indexes.length < refs.length) {
        // The cached members may be of another moment than those that were read.
        const all = await engine.readMany(refs, maxBytes)
        return all.map((member, i) => unexpired(refs[i]!.collection, member))
      }
      for (const [i, member] of found.entries()) {
        const { collection } = refs[indexes[i]!]!
        if (member !== null && changes === before) cache.set(collection, member)
        cached[indexes[i]!] = unexpired(collection, member)
      }
      if (found.length < indexes.length) cached.length = indexes[found.length]!
      return upTo(maxBytes, cached)
    },
  }
}

export function readsOf(options: ReadOptions): Reads {
  const { engine, cache, now } = options
  const expiredReadListeners = new Map<string, () => void>()
  const unexpired = visibilityOf(options, expiredReadListeners)
  const late = lateReads(options, unexpired)

  function get(collection: string, key: string): MaybePromise<Member | null> {
    const cached = cache.get(collection, key)
    if (cached !== undefined) return unexpired(collection, cached)
    return getUncached(collection, key)
  }

  function getUncached(collection: string, key: string): MaybePromise<Member | null> {
    const read = engine.read(collection, key)
    return read instanceof Promise ? late.one(collection, read) : keep(collection, read)
  }

  /**
   * Offers the member to the cache. A read that returns at once is cheap: caching members that are read once would cost
   * more than reading them again.
   */
  function keep(collection: string, member: Member | null): Member | null {
    if (member !== null) cache.offer(collection, member)
    return unexpired(collection, member)
  }

  function readMany(refs: readonly MemberRef[], maxBytes?: number): MaybePromise<(Member | null)[]> {
    if (refs.length === 1) return whenRead(get(refs[0]!.collection, refs[0]!.key), listOf)
    const members: (Member | null)[] = []
    const missing: MemberRef[] = []
    const indexes: number[] = []
    for (const ref of refs) {
      const cached = cache.get(ref.collection, ref.key)
      if (cached === undefined) {
        indexes.push(members.length)
        missing.push(ref)
      }
      members.push(cached === undefined ? null : unexpired(ref.collection, cached))
    }
    if (missing.length === 0) return upTo(maxBytes, members)
    const read = engine.readMany(missing, maxBytes)
    if (read instanceof Promise) return late.many(refs, members, indexes, read, maxBytes)
    for (let i = 0; i < read.length; i++) members[indexes[i]!] = keep(missing[i]!.collection, read[i]!)
    if (read.length < missing.length) members.length = indexes[read.length]!
    return upTo(maxBytes, members)
  }

  function readUncached(refs: readonly MemberRef[], maxBytes?: number): MaybePromise<(Member | null)[]> {
    if (refs.length === 1) return whenRead(getUncached(refs[0]!.collection, refs[0]!.key), listOf)
    const read = engine.readMany(refs, maxBytes)
    if (read instanceof Promise) return late.many(refs, refs.map(nothing), [...refs.keys()], read, maxBytes)
    for (let i = 0; i < read.length; i++) read[i] = keep(refs[i]!.collection, read[i]!)
    return read
  }

  return {
    get,
    cached({ collection, key }) {
      const member = cache.get(collection, key)
      return member && unexpired(collection, member)
    },
    readMany,
    readUncached,
    visitMany: (refs, maxBytes, visitor) =>
      engine.visitMany(refs, maxBytes, {
        stored: (row) => visitor.stored(row),
        undo: () => visitor.undo(),
        member: (member, i) => visitor.member(unexpired(refs[i]!.collection, member), i),
      }),
    getHead: (collection, key) =>
      whenRead(engine.readHead(collection, key), (head) => unexpired(collection, head)),
    getPart: engine.readPart,
    removalCause: (collection, key) => removalCauseIn(engine, collection, key, now()),
    onExpiredRead: (collection, listener) => void expiredReadListeners.set(collection, listener),
    onCommit(committed) {
      late.changed()
      for (const change of committed) cache.delete(change.collection, keyOf(change))
    },
    onSetback() {
      late.changed()
      cache.clear()
    },
  }
}
