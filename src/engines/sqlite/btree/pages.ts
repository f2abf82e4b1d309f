import { statSync } from 'node:fs'
import type { MemberRef } from '../../../core/engine.ts'
import type { Member } from '../../../core/member.ts'
import type { TreeName, TreeRoots } from '../table/schema.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { PageCursor } from './cursor.ts'
import { mapFile } from './mapped-file.ts'
import { MappedTree } from './mapped-tree.ts'
import { absent, unsupported } from './page-format.ts'
import { absentRow, Prefetcher, unknownRow } from './prefetch.ts'
import { RowReader } from './row-reader.ts'
import { SearchKeys } from './search-keys.ts'
import { TreeCheck, type TreeKey } from './tree-check.ts'

/**
 * Reads members from the mapped pages of the tables' file (page-format.ts), at half of what asking SQLite
 * costs (docs/design/engine-sqlite.md). `members` is a b-tree of whole rows, in the leaves and between them.
 *
 * It reads the state that the file itself is in, and only while it is not being written. What a job of the flusher brings is in
 * the write-ahead log until a checkpoint moves it, and in the segments in memory until after that; so the flusher reports
 * before and after each checkpoint, and where one did not move all of it SQLite reads the table. So it does for whatever is not
 * plain: a value that goes on in pages of its own, a page that is not as it should be.
 */
export interface PageReader {
  /**
   * Null for no such member; undefined when SQLite has to be asked. `slot` is its position among those that were prefetched
   * last, from 1 on; 0 for none of them.
   */
  read(collection: string, key: string, slot?: number): Member | null | undefined
  existing(collection: string, key: string, slot?: number): ExistingVersion | null | undefined
  /**
   * Finds where the rows of several members are, `maxPrefetched` at most (prefetch.ts). They are to be read, in any order,
   * before the event loop goes on.
   */
  prefetch(refs: readonly MemberRef[]): void
  /** What is wrong with the pages of a range of keys; null for nothing, and while the pages are not read. */
  damageIn(name: TreeName, from: TreeKey, to: TreeKey): string | null
  /** The file is about to be written. */
  pause(): void
  /** The file is no longer being written. */
  resume(): void
  /** The flusher starts on a job that may commit. */
  jobBegins(): void
  /** The job has committed so many transactions; null when that is not known, of one that failed. */
  jobEnded(commits: number | null): void
  close(): void
}

/** After so long without a read the memory is released. */
const idleMs = 10_000

/** Less room for indexes makes tests meet pages without. */
export function openPages(
  path: string,
  roots: TreeRoots,
  readValue: TableReader['value'],
  maxIndexBytes?: number,
): PageReader {
  const file = mapFile(path)
  const tree = new MappedTree(roots.members, maxIndexBytes)
  const check = new TreeCheck(tree, roots)
  const searchKeys = new SearchKeys()
  const cursor = new PageCursor(tree, searchKeys, check)
  const prefetcher = new Prefetcher(tree, searchKeys)
  const rows = new RowReader(readValue)
  let isOpen = false
  let wasUsed = false
  let holdsMemory = false

  /** The offset of a row in the page that the cursor is then on. */
  function seek(collection: string, key: string, slot: number): number {
    wasUsed = true
    const row = prefetcher.rowOf(slot)
    if (row === absentRow) return absent
    if (row === unknownRow) {
      searchKeys.set(0, collection, key)
      searchKeys.select(0)
    } else {
      searchKeys.select(slot)
      cursor.moveTo(prefetcher.pageOf(slot))
      if (cursor.matches(row)) return row
    }
    return cursor.seek()
  }

  function resume(): void {
    if (file === null || fileBytes(`${path}-wal`) > 0) return
    const { windows, bytes } = file.windows()
    isOpen = tree.reload(windows, bytes)
  }

  const idleTimer = setInterval(() => {
    if (!wasUsed && holdsMemory) {
      file?.release()
      tree.indexes.release()
    }
    holdsMemory = wasUsed
    wasUsed = false
  }, idleMs)
  idleTimer.unref()

  resume()
  return {
    read(collection, key, slot = 0) {
      if (!isOpen) return undefined
      const row = seek(collection, key, slot)
      if (row === absent) return null
      if (row === unsupported) return undefined
      return rows.member(cursor.bytes, row, cursor.end, collection, key)
    },
    existing(collection, key, slot = 0) {
      if (!isOpen) return undefined
      const row = seek(collection, key, slot)
      if (row === absent) return null
      if (row === unsupported) return undefined
      return rows.existing(cursor.bytes, row, cursor.end, collection, key)
    },
    prefetch(refs) {
      if (isOpen) prefetcher.prefetch(refs)
      else prefetcher.forget()
    },
    damageIn: (name, from, to) => (isOpen ? check.damageIn(name, from, to) : null),
    pause() {
      isOpen = false
      prefetcher.forget()
    },
    resume,
    jobBegins() {},
    jobEnded() {},
    close() {
      isOpen = false
      clearInterval(idleTimer)
      file?.close()
    },
  }
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
