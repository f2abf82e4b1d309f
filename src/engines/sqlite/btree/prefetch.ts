import type { MemberRef } from '../../../core/engine.ts'
import type { PageCursor } from './cursor.ts'
import { baseOf, type MappedTree } from './mapped-tree.ts'
import { maxDepth, pageBytes } from './page-format.ts'
import type { PageIndexes } from './page-index.ts'
import { fitsSlot, maxPrefetched, type SearchKeys } from './search-keys.ts'

/** Values of `rowOf` that are no offset: the row was not found yet, or the member has none. */
export const unknownRow = 0
export const absentRow = 1

/** Size of a line of the processor's cache. */
const lineBytes = 64

/**
 * Locates the rows of several members in lockstep: it takes one step for all members before the next, so that their
 * cache misses overlap. Members have slots, from 1 on.
 */
export class Prefetcher {
  private count = 0
  /** For each slot: the page reached by the descent, at its end the row's; 0 where the row stays unknown. */
  private readonly pages = new Uint32Array(maxPrefetched + 1)
  /** For each slot: the index of that page; 0 for none. */
  private readonly indexOf = new Uint32Array(maxPrefetched + 1)
  /** For each slot: the offset of the candidate row in the window of its page, or `unknownRow`, or `absentRow`. */
  private readonly rows = new Uint32Array(maxPrefetched + 1)
  /** A sink for loads that only fill the cache, which the compiler would remove otherwise. */
  private readonly touched = new Uint32Array(1)
  private readonly tree: MappedTree
  private readonly cursor: PageCursor
  private readonly indexes: PageIndexes
  private readonly searchKeys: SearchKeys

  constructor(tree: MappedTree, searchKeys: SearchKeys, cursor: PageCursor) {
    this.tree = tree
    this.cursor = cursor
    this.indexes = tree.indexes
    this.searchKeys = searchKeys
  }

  pageOf(slot: number): number {
    return this.pages[slot]!
  }

  /** The index of the leaf in which `rowOf` is. */
  leafOf(slot: number): number {
    return this.indexOf[slot]!
  }

  rowOf(slot: number): number {
    return slot > this.count ? unknownRow : this.rows[slot]!
  }

  forget(): void {
    this.count = 0
  }

  /** Locates the rows of `refs`. Read the members, in any order, in the same tick of the event loop. */
  prefetch(refs: readonly MemberRef[]): void {
    this.begin(refs)
    for (let depth = 0; depth < maxDepth && this.descend(); depth++);
    const { count, rows } = this
    for (let slot = 1; slot <= count; slot++) rows[slot] = this.candidateRow(slot)
    for (let slot = 1; slot <= count; slot++)
      if (rows[slot]! > absentRow) this.touchRow(this.pages[slot]!, rows[slot]!)
  }

  private begin(refs: readonly MemberRef[]): void {
    const { tree, searchKeys, pages, indexOf } = this
    const rootIndex = this.indexes.of(tree.root)
    const count = refs.length
    for (let slot = 1; slot <= count; slot++) {
      const ref = refs[slot - 1]!
      const fits = fitsSlot(ref)
      pages[slot] = fits ? tree.root : 0
      indexOf[slot] = fits ? rootIndex : 0
      if (fits) searchKeys.setRef(slot, ref)
    }
    this.count = count
  }

  /** Moves every slot one page down the tree; false when none could be moved. */
  private descend(): boolean {
    const { count, cursor, indexes, searchKeys, pages, indexOf, touched } = this
    let isDeeper = false
    for (let slot = 1; slot <= count; slot++) {
      const index = indexOf[slot]!
      const page = pages[slot]!
      if (page === 0 || (index !== 0 && indexes.isLeaf(index))) continue
      searchKeys.select(slot)
      const child = index === 0 ? cursor.childOfUnindexed(page) : indexes.childOf(index, searchKeys)
      if (child !== 0) isDeeper = true
      pages[slot] = child
      indexOf[slot] = 0
    }
    if (!isDeeper) return false
    for (let slot = 1; slot <= count; slot++) {
      const index = indexes.of(pages[slot]!)
      indexOf[slot] = index
      touched[0]! ^= indexes.touch(index)
    }
    return true
  }

  /** The offset of the first candidate row in its window; the hash matches, the key is compared when it is read. */
  private candidateRow(slot: number): number {
    const { indexes, searchKeys } = this
    const index = this.indexOf[slot]!
    if (index === 0 || !indexes.isLeaf(index)) return unknownRow
    searchKeys.select(slot)
    const candidate = indexes.candidate(index, searchKeys.hash(), 0)
    if (candidate === -1) return absentRow
    return baseOf(this.pages[slot]!) + indexes.rowAt(index, candidate)
  }

  /** Loads the row's first three cache lines. It does nothing else, because out-of-order execution reaches only so far. */
  private touchRow(page: number, row: number): void {
    const window = this.tree.windowOf(page)
    const last = (row | (pageBytes - 1)) - lineBytes
    this.touched[0]! ^=
      window[row]! ^
      window[Math.min(row, last) + lineBytes]! ^
      window[Math.min(row + lineBytes, last) + lineBytes]!
  }
}
