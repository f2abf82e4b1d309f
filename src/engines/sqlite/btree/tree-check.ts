import type { TreeName, TreeRoots } from '../table/schema.ts'
import { baseOf, type MappedTree } from './mapped-tree.ts'
import { type KeyFormat, PageCopy, rowIds, rowsBy } from './page-check.ts'
import { maxDepth } from './page-format.ts'

const formats: Record<TreeName, KeyFormat> = {
  members: rowsBy(2),
  tombstones: rowsBy(2),
  expiries: rowsBy(3),
  feed_blocks: rowsBy(2),
  feed: rowIds,
}

/** A key, or a prefix of its columns. */
export type TreeKey = readonly (string | number)[]

/** Size of the cache of checksums of valid pages, which is indexed by the low bits of the page's number. */
const remembered = 65_536

/**
 * Checks the pages that hold a range of keys, from the root down: each is valid, and its keys lie between the separators
 * above it. That proves that a key is missing, or that a list is complete. A page whose checksum is that of an earlier
 * valid state is not checked again; computing the checksum takes a third of a microsecond.
 */
export class TreeCheck {
  private readonly tree: MappedTree
  private readonly roots: TreeRoots
  private readonly rightPages = new Uint32Array(remembered)
  private readonly rightChecksums = new Uint32Array(remembered)
  /** The same for a page together with all pages above it, once its keys were found between their separators. */
  private readonly placedChecksums = new Uint32Array(remembered)
  /** The checksums of the leaves that a scan has found whole, for the check of its range, which follows at once. */
  private readonly scanned = new Map<number, number>()
  /** One copy for each level of the tree. */
  private readonly copies: PageCopy[] = []
  private format = formats.members
  private from: Buffer = Buffer.alloc(0)
  private to: Buffer = this.from

  constructor(tree: MappedTree, roots: TreeRoots) {
    this.tree = tree
    this.roots = roots
  }

  /** Checks the pages of the keys `from` to `to`, both included; pass one key twice. Returns the damage, or null. */
  damageIn(name: TreeName, from: TreeKey, to: TreeKey): string | null {
    this.format = formats[name]
    this.from = this.format.encode(from)
    this.to = from === to ? this.from : this.format.encode(to)
    const page = this.damagedPage(this.roots[name], 0, this.roots[name], null, 0, null, 0)
    this.scanned.clear()
    return page === 0 ? null : `page ${page} of ${name} is not as it should be`
  }

  /** Whether a page of `members` is valid, apart from its position in the tree. */
  isWhole(page: number): boolean {
    return this.isRight(page, this.load(page, 0), formats.members)
  }

  /** As `isWhole`, for a page that a scan walks: `damageIn`, if called right after the scan, need not read its leaves. */
  isWholeInScan(page: number): boolean {
    const copy = this.load(page, 0)
    const isRight = this.isRight(page, copy, formats.members)
    if (isRight && copy.isLeaf) this.scanned.set(page, copy.checksum)
    return isRight
  }

  /** Forgets the leaves of a scan whose range is not checked right after it. */
  endScan(): void {
    this.scanned.clear()
  }

  /**
   * Returns the number of the first damaged page, 0 for none. `low` and `high` are the separators around the page, `above`
   * identifies the pages above it.
   */
  private damagedPage(
    page: number,
    depth: number,
    above: number,
    low: Buffer | null,
    lowAt: number,
    high: Buffer | null,
    highAt: number,
  ): number {
    const { format } = this
    if (depth === maxDepth || !this.tree.has(page)) return page || 1
    const scanned = this.scanned.get(page)
    if (scanned !== undefined && this.placedChecksums[page % remembered] === placedChecksum(above, scanned))
      return 0
    const copy = this.load(page, depth)
    if (!this.isRight(page, copy, format)) return page
    const { bytes, count } = copy
    if (count === 0) return depth === 0 && copy.isLeaf ? 0 : page
    const placed = placedChecksum(above, copy.checksum)
    const isPlaced = this.placedChecksums[page % remembered] === placed
    if (!isPlaced && low !== null && !(format.compare(bytes, copy.keyAt(0), low, lowAt) > 0)) return page
    const most = format.hasInclusiveSeparators ? 0 : -1
    if (
      !isPlaced &&
      high !== null &&
      !(Math.sign(format.compare(bytes, copy.keyAt(count - 1), high, highAt)) <= most)
    )
      return page
    this.placedChecksums[page % remembered] = placed
    if (copy.isLeaf) return 0
    const first = this.firstCell(copy, this.from, 0)
    const last = this.from === this.to ? first : this.firstCell(copy, this.to, 1)
    for (let cell = first; cell <= last; cell++) {
      const before = cell === 0 ? low : bytes
      const beforeAt = cell === 0 ? lowAt : copy.keyAt(cell - 1)
      const after = cell === count ? high : bytes
      const afterAt = cell === count ? highAt : copy.keyAt(cell)
      const found = this.damagedPage(
        copy.childAt(cell),
        depth + 1,
        placed + cell,
        before,
        beforeAt,
        after,
        afterAt,
      )
      if (found !== 0) return found
    }
    return 0
  }

  private load(page: number, depth: number): PageCopy {
    let copy = this.copies[depth]
    if (copy === undefined) copy = this.copies[depth] = new PageCopy()
    copy.load(this.tree.windowOf(page), baseOf(page))
    return copy
  }

  private isRight(page: number, copy: PageCopy, format: KeyFormat): boolean {
    const slot = page % remembered
    if (this.rightPages[slot] === page && this.rightChecksums[slot] === copy.checksum) return true
    if (!copy.isWhole(format)) return false
    this.rightPages[slot] = page
    this.rightChecksums[slot] = copy.checksum
    return true
  }

  /** The first cell whose key is at least the given one, or with `least` 1 above it; the count of cells for none. */
  private firstCell(copy: PageCopy, key: Buffer, least: 0 | 1): number {
    let low = 0
    let high = copy.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (Math.sign(this.format.compare(copy.bytes, copy.keyAt(middle), key, 0)) >= least) high = middle
      else low = middle + 1
    }
    return low
  }
}

function placedChecksum(above: number, checksum: number): number {
  return (Math.imul(above, 0x01000193) ^ checksum) >>> 0
}
