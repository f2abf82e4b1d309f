import type { Member } from './member.ts'

/**
 * The read cache: members that were read, as the objects that they are, in front of the engine. An LRU bounded in bytes.
 * `Reads` sees to it that it is never older than the store.
 *
 * Members are in two generations, as in hashlru and quick-lru: what is kept goes into the younger one, and so does what is
 * hit in the older one. When the younger is half of the cache it becomes the older, and what was left of that is evicted.
 * So a hit of what is in use writes nothing, where an LRU with a list relinks it.
 */
export interface MemberCache {
  get(collection: string, key: string): Member | undefined
  /** As `get`, but a miss does not count: the same reader asks again when it asks the engine. */
  peek(collection: string, key: string): Member | undefined
  /** Keeps a member in place of an earlier one; of more than an eighth of the whole neither stays. */
  set(collection: string, member: Member): void
  /** Keeps a member that was cheap to read if it was offered a short while before. */
  offer(collection: string, member: Member): void
  delete(collection: string, key: string): void
  /** Removes all members. */
  clear(): void
  /** Counts on as the cache is used. */
  readonly stats: Readonly<CacheStats>
}

interface CacheStats {
  hits: number
  misses: number
  /** Members that made room for others. */
  evictions: number
  entries: number
  bytes: number
}

/** What a member takes beside its key and its value: the objects, and its place in a Map. */
const entryOverheadBytes = 400
/** The garbage collector walks through all of them: more would cost it more than they save. */
const maxEntries = 16_384
/** How many reads are remembered by the revision that they found: two of one member count if no other came between. */
const recentReads = 4096

/** `maxBytes` 0 keeps nothing. */
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

  /** There must be none with this key. */
  add(collection: string, member: Member, bytes: number): void {
    const members = this.collections.get(collection) ?? new Map<string, Member>()
    if (members.size === 0) this.collections.set(collection, members)
    members.set(member.key, member)
    this.entries++
    this.bytes += bytes
  }

  /** It must be there. */
  delete(collection: string, member: Member, bytes: number): void {
    const members = this.collections.get(collection)!
    members.delete(member.key)
    if (members.size === 0) this.collections.delete(collection)
    this.entries--
    this.bytes -= bytes
  }
}

/** A text that is not ASCII may take two bytes for each character. */
function entryBytes({ key, value }: Member): number {
  const isAscii = typeof value !== 'string' || Buffer.byteLength(value) === value.length
  return entryOverheadBytes + key.length + (isAscii ? value.length : value.length * 2)
}
