import { closeSync, existsSync, fstatSync, openSync } from 'node:fs'
import { pageBytes } from '../btree/page-format.ts'
import { type CommittedPages, committedPages, noPages, readAt } from '../table/sqlite-log.ts'

/**
 * Reads the pages of `kvist.db` as SQLite would after its next start, without SQLite and without writing anything: a page
 * is the newest committed one of the write-ahead log (`kvist.db-wal`), else that of the file
 * (https://www.sqlite.org/fileformat2.html#walformat).
 */
export interface StoredPages {
  /** Pages of the newest commit; of a file without a header, as many as it holds. */
  readonly pageCount: number
  /** Pages that come from the write-ahead log. */
  readonly walPages: number
  /** Bytes of both files. */
  readonly bytes: number
  /** Reads a page, numbered from 1; false where the file ends before it does. */
  read(page: number, into: Buffer): boolean
  close(): void
}

/** Of the header of the file: the number of pages. */
const pageCountAt = 28

/** Opens the files for reading. Throws the system's error. */
export function openPages(path: string): StoredPages {
  const file = openSync(path, 'r')
  const wal = existsSync(`${path}-wal`) ? openSync(`${path}-wal`, 'r') : null
  try {
    const fileBytes = fstatSync(file).size
    const frames: CommittedPages = wal === null ? noPages() : committedPages(wal)
    const filePages = Math.floor(fileBytes / pageBytes)
    return {
      pageCount: frames.pageCount || statedPages(file, filePages),
      walPages: frames.offsets.size,
      bytes: fileBytes + (wal === null ? 0 : fstatSync(wal).size),
      read(page, into) {
        const offset = frames.offsets.get(page)
        return offset === undefined
          ? readAt(file, into, (page - 1) * pageBytes, pageBytes)
          : readAt(wal!, into, offset, pageBytes)
      },
      close() {
        closeSync(file)
        if (wal !== null) closeSync(wal)
      },
    }
  } catch (error) {
    closeSync(file)
    if (wal !== null) closeSync(wal)
    throw error
  }
}

/** The number of pages that the file's header states, unless that is absurd. */
function statedPages(file: number, filePages: number): number {
  const head = Buffer.alloc(pageCountAt + 4)
  if (!readAt(file, head, 0, head.length)) return filePages
  const stated = head.readUInt32BE(pageCountAt)
  const isPlausible = head.toString('latin1', 0, 15) === 'SQLite format 3' && stated > 0
  // A truncated file has fewer; a header that was overwritten may state anything.
  return isPlausible && stated < filePages * 1000 + 1000 ? Math.max(stated, filePages) : filePages
}
