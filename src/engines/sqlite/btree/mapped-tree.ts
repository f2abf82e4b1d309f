import { windowBytes } from './mapped-file.ts'
import { isOfKvist, pageBytes } from './page-format.ts'
import { PageIndexes } from './page-index.ts'

const windowPages = windowBytes / pageBytes
const windowShift = Math.log2(windowPages)

/** The b-tree of the members as it lies in the mapped file, with the indexes of its pages. Pages count from 1 on. */
export class MappedTree {
  readonly root: number
  readonly indexes: PageIndexes
  pageCount = 0
  private windows: readonly Buffer[] = []

  constructor(root: number, maxIndexBytes?: number) {
    this.root = root
    this.indexes = new PageIndexes(maxIndexBytes)
  }

  /** Takes the file as it is now; false where its pages are not as kvist lays them out. */
  reload(windows: readonly Buffer[], bytes: number): boolean {
    this.windows = windows
    this.pageCount = Math.floor(bytes / pageBytes)
    this.indexes.forget(this.pageCount)
    return this.pageCount > 0 && isOfKvist(windows[0]!)
  }

  /** Page 1 is the head of the file, and none of the tree. */
  has(page: number): boolean {
    return page >= 2 && page <= this.pageCount
  }

  windowOf(page: number): Buffer {
    return this.windows[(page - 1) >>> windowShift]!
  }
}

/** Where a page begins in its window. */
export function baseOf(page: number): number {
  return ((page - 1) & (windowPages - 1)) * pageBytes
}
