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

/** The first parts of a key, or all of it. */
export type TreeKey = readonly (string | number)[]

/** Pages of which it is remembered that they were right, by their numbers' last bits. */
const remembered = 65_536

/**
 * Checks the pages that hold a range of keys, from the root down: each is whole, and its keys lie between the separators
 * above it. So it can be said that a key is not there, or that a list has all. A page whose bytes are those that were
 * right before is not inspected again: that costs its checksum, a third of a microsecond.
 */
export class TreeCheck {
  private readonly tree: MappedTree
  private readonly roots: TreeRoots
  private readonly rightPages = new Uint32Array(remembered)
  private readonly rightChecksums = new Uint32Array(remembered)
  /** As those, of a page and all above it: its keys lie between their separators. */
  private readonly placedChecksums = new Uint32Array(remembered)
  /** One for each level. */
  private readonly copies: PageCopy[] = []
  private format = formats.members
  private from: Buffer = Buffer.alloc(0)
  private to: Buffer = this.from

  constructor(tree: MappedTree, roots: TreeRoots) {
    this.tree = tree
    this.roots = roots
  }

  /** What is wrong with the pages from a key to another, both included; null for nothing. One whole key is given twice. */
  damageIn(name: TreeName, from: TreeKey, to: TreeKey): string | null {
    this.format = formats[name]
    this.from = this.format.encode(from)
    this.to = from === to ? this.from : this.format.encode(to)
    const page = this.damagedPage(this.roots[name], 0, this.roots[name], null, 0, null, 0)
    return page === 0 ? null : `page ${page} of ${name} is not as it should be`
  }

  /** Whether a page of the members is whole by itself. */
  isWhole(page: number): boolean {
    return this.isRight(page, this.load(page, 0), formats.members)
  }

  /** The number of the first page that is damaged, 0 for none. `low` and `high` are the separators around the page, `above` stands for the pages above. */
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
    const copy = this.load(page, depth)
    if (!this.isRight(page, copy, format)) return page
    const { bytes, count } = copy
    if (count === 0) return depth === 0 && copy.isLeaf ? 0 : page
    const placed = (Math.imul(above, 0x01000193) ^ copy.checksum) >>> 0
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

  /** The first cell whose key is not below a key, or with `least` 1 above it; their number where there is none. */
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
