import type { Member } from './member.ts'

/**
 * Caches members that were read, as objects, in front of the engine: an LRU bounded in bytes. `Reads` removes a member
 * from it whenever a commit changes that member.
 *
 * Members are in two generations, as in hashlru and quick-lru: a new entry goes into the younger one, and a hit in the
 * older one moves the entry there. When the younger one fills half of the cache it becomes the older one, and the
 * previous older one is evicted. So a hit on a recently used entry writes nothing, where an LRU with a linked list
 * relinks it.
 */
export interface MemberCache {
  get(collection: string, key: string): Member | undefined
  /** Does what `get` does, but does not count a miss, because the same reader then calls `get`. */
  peek(collection: string, key: string): Member | undefined
  /**
   * Stores a member and replaces its earlier version. A member larger than an eighth of the cache is not stored, and
   * its earlier version is removed.
   */
  set(collection: string, member: Member): void
  /** Stores a member that was cheap to read, if the same revision was offered a short while before. */
  offer(collection: string, member: Member): void
  delete(collection: string, key: string): void
  /** Removes all members. */
  clear(): void
  /** A live object: the counters change as the cache is used. */
  readonly stats: Readonly<CacheStats>
}

interface CacheStats {
  hits: number
  misses: number
  /** Members evicted to make room for others. */
  evictions: number
  entries: number
  bytes: number
}

/** Estimated memory of an entry beside its key and its value: the objects, and its slot in a Map. */
const entryOverheadBytes = 400
/**
 * Most entries, whatever their size. A read of the tables costs 0.5 µs, a look-up in Maps of many thousand entries as much: the
 * cache has to be small to be worth asking before each read.
 */
const maxEntries = 2048
/**
 * Slots for the revisions of recent reads. A second read of a member is recognized unless another read has reused the
 * slot.
 */
const recentReads = 256

/** Returns an empty cache. With `maxBytes` 0 it stores nothing. */
export function memberCache(maxBytes: number): MemberCache {
  const stats = { hits: 0, misses: 0, evictions: 0, entries: 0, bytes: 0 }
  const recentRevisions = new Float64Array(recentReads)
  let young = new Generation()
  let old = new Generation()

  function count(): void {
    stats.entries = young.entries + old.entries
    stats.bytes = young.bytes + old.bytes
  }

  function peek(collection: string, key: string): Member | undefined {
    const member = young.get(collection, key) ?? promoted(collection, key)
    if (member !== undefined) stats.hits++
    return member
  }

  function get(collection: string, key: string): Member | undefined {
    const member = peek(collection, key)
    if (member === undefined) stats.misses++
    return member
  }

  function promoted(collection: string, key: string): Member | undefined {
    const member = old.get(collection, key)
    if (member !== undefined) set(collection, member)
    return member
  }

  function keep(collection: string, member: Member, bytes: number): void {
    if (young.bytes + bytes > maxBytes / 2 || young.entries === maxEntries / 2) {
      stats.evictions += old.entries
      old = young
      young = new Generation()
    }
    young.add(collection, member, bytes)
    count()
  }

  function remove(collection: string, key: string): void {
    for (const generation of [young, old]) {
      const member = generation.get(collection, key)
      if (member === undefined) continue
      generation.delete(collection, member, entryBytes(member))
      count()
    }
  }

  function set(collection: string, member: Member): void {
    remove(collection, member.key)
    const bytes = entryBytes(member)
    if (bytes <= maxBytes / 8) keep(collection, member, bytes)
  }

  return {
    get,
    peek,
    set,
    offer(collection, member) {
      const slot = member.revision % recentReads
      if (recentRevisions[slot] === member.revision) set(collection, member)
      else recentRevisions[slot] = member.revision
    },
    delete: remove,
    clear() {
      young = new Generation()
      old = new Generation()
      count()
    },
    stats,
  }
}

class Generation {
  entries = 0
  bytes = 0
  private readonly collections = new Map<string, Map<string, Member>>()

  get(collection: string, key: string): Member | undefined {
    return this.collections.get(collection)?.get(key)
  }

  /** The generation must not contain a member with this key. */
  add(collection: string, member: Member, bytes: number): void {
    const members = this.collections.get(collection) ?? new Map<string, Member>()
    if (members.size === 0) this.collections.set(collection, members)
    members.set(member.key, member)
    this.entries++
    this.bytes += bytes
  }

  /** The generation must contain this member. */
  delete(collection: string, member: Member, bytes: number): void {
    const members = this.collections.get(collection)!
    members.delete(member.key)
    if (members.size === 0) this.collections.delete(collection)
    this.entries--
    this.bytes -= bytes
  }
}

/** Estimates the memory of an entry. A text that is not ASCII may take two bytes for each character. */
function entryBytes({ key, value }: Member): number {
  const isAscii = typeof value !== 'string' || Buffer.byteLength(value) === value.length
  return entryOverheadBytes + key.length + (isAscii ? value.length : value.length * 2)
}
