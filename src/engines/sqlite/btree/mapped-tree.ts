import { windowBytes } from './mapped-file.ts'
import { isOfKvist, pageBytes } from './page-format.ts'
import { PageIndexes } from './page-index.ts'

const windowPages = windowBytes / pageBytes
const windowShift = Math.log2(windowPages)

/** The b-tree of `members` in the mapped file, with the indexes of its pages. Pages are numbered from 1. */
export class MappedTree {
  readonly root: number
  readonly indexes: PageIndexes
  pageCount = 0
  private windows: readonly Buffer[] = []
  private readonly views: DataView[] = []

  constructor(root: number, maxIndexBytes?: number) {
    this.root = root
    this.indexes = new PageIndexes(maxIndexBytes)
  }

  /** Adopts the present state of the file; false where its pages are not in kvist's format. */
  reload(windows: readonly Buffer[], bytes: number): boolean {
    this.windows = windows
    for (const { buffer, byteOffset, length } of windows.slice(this.views.length))
      this.views.push(new DataView(buffer, byteOffset, length))
    this.pageCount = Math.floor(bytes / pageBytes)
    this.indexes.forget(this.pageCount)
    return this.pageCount > 0 && isOfKvist(windows[0]!)
  }

  /** Whether a page may be one of the tree: in the file, and not page 1, which has the file's header. */
  has(page: number): boolean {
    return page >= 2 && page <= this.pageCount
  }

  windowOf(page: number): Buffer {
    return this.windows[(page - 1) >>> windowShift]!
  }

  /** The bytes of `windowOf`, for reads of several at once. */
  viewOf(page: number): DataView {
    return this.views[(page - 1) >>> windowShift]!
  }
}

/** The offset of a page in its window. */
export function baseOf(page: number): number {
  return ((page - 1) & (windowPages - 1)) * pageBytes
}
