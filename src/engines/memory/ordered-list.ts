/**
 * A sorted set of items, as an array of sorted chunks. Inserts are buffered, and merged in order when the buffer is full
 * or the list is read: neighbouring items then find their chunk in the processor's cache.
 */
export interface OrderedList<Item> {
  insert(item: Item): void
  /** Removes an item; does nothing where it is not in the list. */
  delete(item: Item): void
  /** Yields items in order, from the first that is not before the bound. Do not change the list meanwhile. */
  ascending(isBefore: (item: Item) => boolean): Generator<Item>
  /** Yields items in reverse, from the last that is before the bound. Do not change the list meanwhile. */
  descending(isBefore: (item: Item) => boolean): Generator<Item>
}

export const maxChunkItems = 512
export const maxBufferedItems = 2048

/** Makes an empty list. `isLess` must be a total order: for two different items it is true in exactly one direction. */
export function orderedList<Item>(isLess: (a: Item, b: Item) => boolean): OrderedList<Item> {
  /** No chunk is empty. */
  const chunks: Item[][] = []
  const buffered = new Set<Item>()

  /** The chunk and index of the first item that is not before the bound; past the last chunk when all items are. */
  function find(isBefore: (item: Item) => boolean): { c: number; i: number } {
    const c = partition(chunks.length, (index) => isBefore(chunks[index]!.at(-1)!))
    const chunk = chunks[c]
    return { c, i: chunk === undefined ? 0 : partition(chunk.length, (index) => isBefore(chunk[index]!)) }
  }

  /** Moves the buffered items into chunks, in order, so that neighbours find the same chunk in the cache. */
  function mergeBuffered(): void {
    if (buffered.size === 0) return
    const items = [...buffered].sort((a, b) => (isLess(a, b) ? -1 : 1))
    buffered.clear()
    for (const item of items) {
      const { c, i } = find((other) => isLess(other, item))
      const chunk = chunks[c] ?? chunks.at(-1)
      if (chunk === undefined) chunks.push([item])
      else if (chunk === chunks[c]) chunk.splice(i, 0, item)
      else chunk.push(item)
      const at = Math.min(c, chunks.length - 1)
      if (chunks[at]!.length > maxChunkItems) split(chunks, at, c > at)
    }
  }

  return {
    insert(item) {
      buffered.add(item)
      if (buffered.size === maxBufferedItems) mergeBuffered()
    },
    delete(item) {
      if (buffered.delete(item)) return
      const { c, i } = find((other) => isLess(other, item))
      const chunk = chunks[c]
      const found = chunk?.[i]
      if (chunk === undefined || found === undefined || isLess(item, found)) return
      chunk.splice(i, 1)
      joinSmall(chunks, c)
    },
    *ascending(isBefore) {
      mergeBuffered()
      let { c, i } = find(isBefore)
      for (; c < chunks.length; c++, i = 0) for (; i < chunks[c]!.length; i++) yield chunks[c]![i]!
    },
    *descending(isBefore) {
      mergeBuffered()
      let { c, i } = find(isBefore)
      for (;;) {
        while (--i >= 0) yield chunks[c]![i]!
        if (--c < 0) return
        i = chunks[c]!.length
      }
    },
  }
}

/** Splits a chunk in halves; after an append splits off only the last item, so that ascending inserts fill chunks. */
function split<Item>(chunks: Item[][], at: number, isAtEnd: boolean): void {
  const chunk = chunks[at]!
  chunks.splice(at + 1, 0, chunk.splice(isAtEnd ? maxChunkItems : maxChunkItems / 2))
}

/** Removes the chunk if it is empty; otherwise merges it with the next if both fit in half a chunk. */
function joinSmall<Item>(chunks: Item[][], at: number): void {
  const chunk = chunks[at]!
  const next = chunks[at + 1]
  if (chunk.length === 0) chunks.splice(at, 1)
  else if (next !== undefined && chunk.length + next.length <= maxChunkItems / 2) {
    chunk.push(...next)
    chunks.splice(at + 1, 1)
  }
}

/** Returns the first index for which `isBefore` is false, by binary search. */
export function partition(length: number, isBefore: (index: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(middle)) low = middle + 1
    else high = middle
  }
  return low
}
