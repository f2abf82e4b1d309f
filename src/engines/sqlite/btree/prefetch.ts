import type { MemberRef } from '../../../core/engine.ts'
import { baseOf, type MappedTree } from './mapped-tree.ts'
import { maxDepth, pageBytes } from './page-format.ts'
import type { PageIndexes } from './page-index.ts'
import { fitsSlot, maxPrefetched, type SearchKeys } from './search-keys.ts'

/** In place of where a row is. */
export const unknownRow = 0
export const absentRow = 1

/** A line of the processor's memory. */
const lineBytes = 64

/**
 * Finds where the rows of several members may be: a step of all and then the next step of all, so that the processor waits
 * for memory once for many. Each has a slot, from 1 on.
 */
export class Prefetcher {
  private count = 0
  /** The page that a row is in, or the one above it so far. There is no page 0: its row stays unknown. */
  private readonly pages = new Uint32Array(maxPrefetched + 1)
  /** The index of that page; 0 where it has none. */
  private readonly indexOf = new Uint32Array(maxPrefetched + 1)
  /** Where a row is in the window of its page, or `unknownRow`, or `absentRow`. */
  private readonly rows = new Uint32Array(maxPrefetched + 1)
  /** Takes what is only touched, which would be left out as useless otherwise. */
  private readonly touched = new Uint32Array(1)
  private readonly tree: MappedTree
  private readonly indexes: PageIndexes
  private readonly searchKeys: SearchKeys

  constructor(tree: MappedTree, searchKeys: SearchKeys) {
    this.tree = tree
    this.indexes = tree.indexes
    this.searchKeys = searchKeys
  }

  pageOf(slot: number): number {
    return this.pages[slot]!
  }

  rowOf(slot: number): number {
    return slot > this.count ? unknownRow : this.rows[slot]!
  }

  forget(): void {
    this.count = 0
  }

  /** The members are read, in any order, before the event loop goes on. */
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
    let slot = 0
    for (const { collection, key } of refs) {
      slot++
      const fits = fitsSlot(collection, key)
      pages[slot] = fits ? tree.root : 0
      indexOf[slot] = fits ? rootIndex : 0
      if (fits) searchKeys.set(slot, collection, key)
    }
    this.count = slot
  }

  /** Takes all of them one page down; false when there was none that could be. */
  private descend(): boolean {
    const { count, indexes, searchKeys, pages, indexOf, touched } = this
    let isDeeper = false
    for (let slot = 1; slot <= count; slot++) {
      const index = indexOf[slot]!
      if (index === 0 || indexes.isLeaf(index)) continue
      isDeeper = true
      searchKeys.select(slot)
      pages[slot] = indexes.childOf(index, searchKeys)
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

  /** Where in its window the row is that may be the one. */
  private candidateRow(slot: number): number {
    const { indexes, searchKeys } = this
    const index = this.indexOf[slot]!
    if (index === 0 || !indexes.isLeaf(index)) return unknownRow
    searchKeys.select(slot)
    const candidate = indexes.candidate(index, searchKeys.hash(), 0)
    if (candidate === -1) return absentRow
    return baseOf(this.pages[slot]!) + indexes.rowAt(index, candidate)
  }

  /** Brings the head, the key and the value near. Nothing else is done meanwhile: the processor looks only so far ahead. */
  private touchRow(page: number, row: number): void {
    const window = this.tree.windowOf(page)
    const last = (row | (pageBytes - 1)) - lineBytes
    this.touched[0]! ^=
      window[row]! ^
      window[Math.min(row, last) + lineBytes]! ^
      window[Math.min(row + lineBytes, last) + lineBytes]!
  }
}
