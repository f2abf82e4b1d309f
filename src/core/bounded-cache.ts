/** What a cache keeps. Its size must not change while it is in the cache. */
interface Sized {
  /** Estimated memory with everything that only this entry keeps alive. */
  readonly bytes: number
}

interface BoundedCacheStats {
  /** Entries evicted to make room for others. */
  evictions: number
  entries: number
  bytes: number
}

/** Estimated memory of a slot in a Map beside key and entry. */
const slotBytes = 100

/**
 * Keeps entries by a text, up to a number of bytes: those that were used last. Entries are in two generations, as in
 * core/cache.ts: a hit in the older one moves the entry to the younger one, which replaces the older one when it fills half
 * of the cache.
 */
export class BoundedCache<Entry extends Sized> {
  readonly maxBytes: number
  /** A larger entry is not kept: it would displace too many others. */
  readonly maxEntryBytes: number
  private readonly counts: BoundedCacheStats = { evictions: 0, entries: 0, bytes: 0 }
  private young = new Map<string, Entry>()
  private old = new Map<string, Entry>()
  private youngBytes = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
    this.maxEntryBytes = Math.floor(maxBytes / 8)
  }

  /** A live object: it changes as the cache is used. */
  get stats(): Readonly<BoundedCacheStats> {
    return this.counts
  }

  get(key: string): Entry | undefined {
    const entry = this.young.get(key)
    if (entry !== undefined) return entry
    const older = this.old.get(key)
    if (older !== undefined) this.set(key, older)
    return older
  }

  /** Keeps an entry in place of an earlier one; drops the earlier one if the new one is too large. Returns whether it is kept. */
  set(key: string, entry: Entry): boolean {
    this.delete(key)
    const bytes = sizeOf(key, entry)
    if (bytes > this.maxEntryBytes) return false
    if (this.youngBytes + bytes > this.maxBytes / 2) this.startGeneration()
    this.young.set(key, entry)
    this.youngBytes += bytes
    this.counts.bytes += bytes
    this.counts.entries++
    return true
  }

  delete(key: string): void {
    const entry = this.young.get(key)
    if (entry !== undefined) {
      this.young.delete(key)
      this.youngBytes -= sizeOf(key, entry)
      this.forget(key, entry)
      return
    }
    const older = this.old.get(key)
    if (older === undefined) return
    this.old.delete(key)
    this.forget(key, older)
  }

  clear(): void {
    this.young = new Map()
    this.old = new Map()
    this.youngBytes = 0
    this.counts.entries = 0
    this.counts.bytes = 0
  }

  private startGeneration(): void {
    this.counts.evictions += this.old.size
    this.counts.entries = this.young.size
    this.counts.bytes = this.youngBytes
    this.old = this.young
    this.young = new Map()
    this.youngBytes = 0
  }

  private forget(key: string, entry: Entry): void {
    this.counts.entries--
    this.counts.bytes -= sizeOf(key, entry)
  }
}

function sizeOf(key: string, { bytes }: Sized): number {
  return slotBytes + key.length * 2 + bytes
}
