import type { Member } from './member.ts'

/**
 * Caches members that were read, as objects, in front of the engine: an LRU bounded in bytes. `Reads` removes a member
 * from it whenever a commit changes that member.
 *
 * Members are in two generations, as in hashlru and quick-lru: a new entry is of the younger one, and a hit on an entry
 * of the older one makes it young. When the younger one fills half of the cache it becomes the older one, and the
 * entries of the previous older one are evicted. So a hit on a recently used entry writes nothing, where an LRU with a
 * linked list relinks it. Both are in the same Maps, so that a miss costs one look-up.
 */
export interface MemberCache {
  get(collection: string, key: string): Member | undefined
  /**
   * Stores a member and replaces its earlier version. A member larger than an eighth of the cache is not stored, and
   * its earlier version is removed.
   */
  set(collection: string, member: Member): void
  /**
   * Stores a member that was cheap to read, if the same revision was offered a short while before. While hits are rare, `get`
   * and `offer` do nothing for most of the time.
   */
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
  const collections = new Map<string, Map<string, Entry>>()
  let young = newGeneration()
  let old = newGeneration()
  const gate = new LookUpGate(stats)

  function get(collection: string, key: string): Member | undefined {
    if (gate.skipsLookUp()) {
      stats.misses++
      return
    }
    const entry = collections.get(collection)?.get(key)
    if (entry === undefined) {
      stats.misses++
      return
    }
    stats.hits++
    if (entry.generation === old) makeYoung(entry)
    return entry.member
  }

  function makeYoung(entry: Entry): void {
    leave(entry)
    // To make room for it may evict the older generation.
    entry.generation = young
    join(entry)
  }

  function join(entry: Entry): void {
    if (young.bytes + entry.bytes > maxBytes / 2 || young.entries === maxEntries / 2) nextGeneration()
    entry.generation = young
    young.entries++
    young.bytes += entry.bytes
    stats.entries++
    stats.bytes += entry.bytes
  }

  function leave({ generation, bytes }: Entry): void {
    generation.entries--
    generation.bytes -= bytes
    stats.entries--
    stats.bytes -= bytes
  }

  function nextGeneration(): void {
    const evicted = old
    old = young
    young = newGeneration()
    if (evicted.entries === 0) return
    stats.evictions += evicted.entries
    for (const [collection, entries] of collections)
      for (const entry of entries.values()) if (entry.generation === evicted) drop(collection, entries, entry)
  }

  function drop(collection: string, entries: Map<string, Entry>, entry: Entry): void {
    leave(entry)
    entries.delete(entry.member.key)
    if (entries.size === 0) collections.delete(collection)
  }

  function remove(collection: string, key: string): void {
    const entries = collections.get(collection)
    const entry = entries?.get(key)
    if (entry !== undefined) drop(collection, entries!, entry)
  }

  function set(collection: string, member: Member): void {
    remove(collection, member.key)
    const bytes = entryBytes(member)
    if (bytes > maxBytes / 8) return
    const entry = { member, bytes, generation: young }
    join(entry)
    const entries = collections.get(collection)
    if (entries === undefined) collections.set(collection, new Map([[member.key, entry]]))
    else entries.set(member.key, entry)
  }

  return {
    get,
    set,
    offer(collection, member) {
      if (gate.skipsOffer()) return
      const slot = member.revision % recentReads
      if (recentRevisions[slot] === member.revision) set(collection, member)
      else recentRevisions[slot] = member.revision
    },
    delete: remove,
    clear() {
      collections.clear()
      for (const generation of [young, old]) Object.assign(generation, newGeneration())
      Object.assign(stats, { entries: 0, bytes: 0 })
    },
    stats,
  }
}

/**
 * Where fewer than an eighth of so many look-ups are hits, and the misses were cheap to read, as in reads at random over many
 * members, the next look-ups are misses without a look: each costs a twentieth of a request.
 */
const judgedLookUps = 256
const minHits = judgedLookUps / 8
const skippedLookUps = 16 * judgedLookUps

/** Decides whether look-ups pay. */
class LookUpGate {
  private readonly stats: Readonly<CacheStats>
  private lookUpsUntilJudged = judgedLookUps
  private hitsBefore = 0
  private offers = 0
  private skips = 0

  constructor(stats: Readonly<CacheStats>) {
    this.stats = stats
  }

  skipsLookUp(): boolean {
    if (this.skips > 0) {
      this.skips--
      return true
    }
    if (--this.lookUpsUntilJudged === 0) this.judge()
    return false
  }

  /** Members that were not cheap to read are not offered. */
  skipsOffer(): boolean {
    this.offers++
    return this.skips > 0
  }

  private judge(): void {
    if (this.stats.hits - this.hitsBefore < minHits && this.offers >= judgedLookUps / 2)
      this.skips = skippedLookUps
    this.lookUpsUntilJudged = judgedLookUps
    this.hitsBefore = this.stats.hits
    this.offers = 0
  }
}

interface Entry {
  readonly member: Member
  readonly bytes: number
  generation: Generation
}

interface Generation {
  entries: number
  bytes: number
}

function newGeneration(): Generation {
  return { entries: 0, bytes: 0 }
}

/** Estimates the memory of an entry. A text that is not ASCII may take two bytes for each character. */
function entryBytes({ key, value }: Member): number {
  const isAscii = typeof value !== 'string' || Buffer.byteLength(value) === value.length
  return entryOverheadBytes + key.length + (isAscii ? value.length : value.length * 2)
}
