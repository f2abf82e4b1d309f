/**
 * A Bloom filter of the members in a part of the archive: it says of a member that the part surely lacks it, or that it
 * may have it. With 10 bits and 6 probes for each key, it is wrong for one member in a hundred.
 */
const bitsPerKey = 10
const probes = 6
const leastBits = 64

/** Returns the filter of these keys, each as the bytes of its collection and key. */
export function keyFilter(keys: Iterable<Uint8Array>): Buffer {
  const hashes = new Set<bigint>()
  for (const key of keys) hashes.add(hashOf(key))
  const bits = Math.max(leastBits, hashes.size * bitsPerKey)
  const filter = Buffer.alloc(Math.ceil(bits / 8))
  for (const hash of hashes) {
    for (const bit of bitsOf(hash, filter.length * 8)) filter[bit >>> 3]! |= 1 << (bit & 7)
  }
  return filter
}

/** Whether the filter may have been made with this key. */
export function mayHaveKey(filter: Uint8Array, collection: string, key: string): boolean {
  const bits = bitsOf(hashOf(Buffer.from(collection + key)), filter.length * 8)
  return bits.every((bit) => (filter[bit >>> 3]! & (1 << (bit & 7))) !== 0)
}

function hashOf(key: Uint8Array): bigint {
  return Bun.hash.xxHash64(key, 0n)
}

/** The bits of a hash: its upper half is the step between them. */
function bitsOf(hash: bigint, bits: number): number[] {
  const first = Number(hash & 0xffff_ffffn)
  const step = Number(hash >> 32n)
  return Array.from({ length: probes }, (_, i) => (first + i * step) % bits)
}
