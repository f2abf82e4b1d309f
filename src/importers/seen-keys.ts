import { isRejected, type SourceEntry } from './entry.ts'

/**
 * Notices keys that a source has twice, by hashes of 53 bits: a million keys cost 16 to 32 MB. Beyond `maxKeys` it
 * notices no further ones, so that memory stays bounded.
 */
export class SeenKeys {
  private hashes = new Float64Array(1024)
  private count = 0
  private readonly maxKeys: number

  constructor(maxKeys = 16_000_000) {
    this.maxKeys = maxKeys
  }

  /** Returns whether the key was added before, and adds it. */
  has(key: string): boolean {
    const hash = hashOf(key)
    let slot = this.slotOf(hash)
    if (this.hashes[slot] === hash) return true
    if (this.count >= this.maxKeys) return false
    if (2 * this.count >= this.hashes.length) {
      this.grow()
      slot = this.slotOf(hash)
    }
    this.hashes[slot] = hash
    this.count++
    return false
  }

  private slotOf(hash: number): number {
    const { hashes } = this
    let slot = hash % hashes.length
    while (hashes[slot] !== 0 && hashes[slot] !== hash) slot = (slot + 1) % hashes.length
    return slot
  }

  private grow(): void {
    const before = this.hashes
    this.hashes = new Float64Array(2 * before.length)
    for (const hash of before) if (hash !== 0) this.hashes[this.slotOf(hash)] = hash
  }
}

/** Never 0, which marks an empty slot. */
function hashOf(key: string): number {
  const high = Bun.hash.xxHash32(key, 1) & 0x1fffff
  return high * 2 ** 32 + Bun.hash.xxHash32(key, 2) || 1
}

/** Yields the entries, and before each whose key came before, a report of that. */
export function* withDuplicates(entries: Iterable<SourceEntry>, seen: SeenKeys): Generator<SourceEntry> {
  for (const entry of entries) {
    if (!isRejected(entry) && seen.has(`${entry.collection ?? ''}\0${entry.key}`)) {
      yield { key: entry.key, code: 'duplicate', reason: 'it comes again: the later one replaces it' }
    }
    yield entry
  }
}
