/**
 * Returns the pages of an SQLite file that hold nothing, by number from 0: what they have is left from rows that were
 * deleted, and a backup has zeros in their place. SQLite lists them in a chain of pages (sqlite.org/fileformat2.html,
 * "The Freelist"); those of the chain itself are not returned.
 */
export function freePages(
  pageBytes: number,
  pages: number,
  readPage: (page: number) => Uint8Array,
): Set<number> {
  const free = new Set<number>()
  const chain = new Set<number>()
  let next = viewOf(readPage(0)).getUint32(firstTrunkAt)
  while (next !== 0 && next <= pages && !chain.has(next)) {
    chain.add(next)
    const trunk = viewOf(readPage(next - 1))
    const count = Math.min(trunk.getUint32(4), (pageBytes - 8) / 4)
    for (let i = 0; i < count; i++) {
      const page = trunk.getUint32(8 + 4 * i)
      if (page > 1 && page <= pages) free.add(page - 1)
    }
    next = trunk.getUint32(0)
  }
  return free
}

/** Where the first page has the number of the first page of the chain. */
const firstTrunkAt = 32

function viewOf(page: Uint8Array): DataView {
  return new DataView(page.buffer, page.byteOffset, page.byteLength)
}
