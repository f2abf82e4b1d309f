import type { MappedTree } from './mapped-tree.ts'
import { baseOf } from './mapped-tree.ts'
import {
  absent,
  cellAt,
  cellCount,
  compareBytes,
  interiorHeadBytes,
  interiorType,
  leafHeadBytes,
  leafType,
  maxDepth,
  number32,
  pageBytes,
  rowAt,
  textBytes,
  textsBytes,
  unsupported,
} from './page-format.ts'
import type { PageIndexes } from './page-index.ts'
import type { SearchKeys } from './search-keys.ts'
import type { TreeCheck } from './tree-check.ts'

/** Finds the row of the selected search key in the tree. */
export class PageCursor {
  /** The window of the current page, and the offsets of the page's beginning and end in it. */
  bytes: Buffer
  view: DataView
  base = 0
  end = 0

  /** After a `search` without a match: the index of the first cell with a larger key, or the count of cells. */
  private largerCell = 0
  private readonly tree: MappedTree
  private readonly check: TreeCheck
  private readonly indexes: PageIndexes
  private readonly searchKeys: SearchKeys

  constructor(tree: MappedTree, searchKeys: SearchKeys, check: TreeCheck) {
    this.tree = tree
    this.check = check
    this.indexes = tree.indexes
    this.searchKeys = searchKeys
    this.bytes = searchKeys.bytes
    this.view = searchKeys.view
  }

  moveTo(page: number): void {
    this.bytes = this.tree.windowOf(page)
    this.view = this.tree.viewOf(page)
    this.base = baseOf(page)
    this.end = this.base + pageBytes
  }

  /** Descends from the root; returns the offset of the row in `bytes`, or `absent`, or `unsupported`. */
  seek(): number {
    const { tree, indexes, searchKeys } = this
    let page = tree.root
    for (let depth = 0; depth < maxDepth; depth++) {
      if (!tree.has(page)) return unsupported
      this.moveTo(page)
      // A page is checked once, when its index is to be made.
      if (indexes.isNew(page) && !this.check.isWhole(page)) return unsupported
      const index = indexes.read(page, this.bytes, this.base)
      if (index !== 0) {
        if (indexes.isLeaf(index)) return this.seekInLeaf(index)
        const child = indexes.childOf(index, searchKeys)
        if (child !== 0) {
          page = child
          continue
        }
      }
      const type = this.bytes[this.base]!
      if (type === leafType) return this.search(leafHeadBytes)
      if (type !== interiorType) return unsupported
      const row = this.search(interiorHeadBytes)
      if (row !== absent) return row
      page = this.childBefore(this.largerCell)
    }
    return unsupported
  }

  /**
   * The child in which the search goes on, of an interior page that was read and has no index, because it has rows of several
   * collections; 0 where `seek` is to find out.
   */
  childOfUnindexed(page: number): number {
    if (!this.tree.has(page) || this.indexes.isNew(page)) return 0
    this.moveTo(page)
    if (this.bytes[this.base] !== interiorType || this.search(interiorHeadBytes) !== absent) return 0
    return this.childBefore(this.largerCell)
  }

  /** Whether a row of the current page has the search key. */
  matches(row: number): boolean {
    const { bytes, view } = this
    const { view: searchView, from, nameBytes, length } = this.searchKeys
    if (textBytes(bytes, row + 1) !== nameBytes || textsBytes(bytes, row) !== length) return false
    const text = row + bytes[row]!
    // From the end, because neighbouring keys differ there.
    let i = length - 4
    for (; i >= 0; i -= 4)
      if (view.getInt32(text + i, true) !== searchView.getInt32(from + i, true)) return false
    for (i += 3; i >= 0; i--) if (bytes[text + i] !== searchView.getUint8(from + i)) return false
    return true
  }

  /** Searches the current page, a leaf that has this index. */
  seekInLeaf(index: number): number {
    const { indexes } = this
    const hash = this.searchKeys.hash()
    for (let i = indexes.candidate(index, hash, 0); i !== -1; i = indexes.candidate(index, hash, i + 1)) {
      const row = this.base + indexes.rowAt(index, i)
      if (this.matches(row)) return row
    }
    return absent
  }

  /** The left child of a cell; behind the last cell the rightmost child, which is in the page's header. */
  private childBefore(cell: number): number {
    const { bytes, base } = this
    const isLast = cell === cellCount(bytes, base)
    return number32(bytes, isLast ? base + 8 : cellAt(bytes, base, interiorHeadBytes, cell))
  }

  /** Binary search in the page. The prefix that the search key shares with both bounds is not compared again. */
  private search(headBytes: number): number {
    const { bytes, base } = this
    const { bytes: searchBytes, from, nameBytes, length } = this.searchKeys
    let low = 0
    let high = cellCount(bytes, base)
    if (headBytes + high * 2 > pageBytes) return unsupported
    let sameAsLow = 0
    let sameAsHigh = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      const row = rowAt(bytes, base, headBytes, middle)
      if (row === unsupported) return unsupported
      const text = row + bytes[row]!
      const rowNameBytes = textBytes(bytes, row + 1)
      let same = 0
      let order = 0
      if (rowNameBytes === nameBytes) {
        const rowLength = textsBytes(bytes, row)
        if (text + rowLength > base + pageBytes) return unsupported
        const common = Math.min(rowLength, length)
        same = Math.min(sameAsLow, sameAsHigh)
        while (same < common && bytes[text + same] === searchBytes[from + same]) same++
        order = same < common ? bytes[text + same]! - searchBytes[from + same]! : rowLength - length
        if (order === 0) return row
      } else {
        if (text + rowNameBytes > base + pageBytes) return unsupported
        order = compareBytes(bytes, text, text + rowNameBytes, searchBytes, from, from + nameBytes)
      }
      if (order < 0) {
        low = middle + 1
        sameAsLow = same
      } else {
        high = middle
        sameAsHigh = same
      }
    }
    this.largerCell = low
    return absent
  }
}
