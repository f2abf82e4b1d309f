import { existsSync, readdirSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicMs } from '../../runtime/clock.ts'
import { hasSpace, requireSpace, syncPath } from './wal/log-files.ts'
import { preallocate } from './wal/preallocate.ts'

/**
 * The disk reserve: two files that hold space on the disk, so that deletes and the like still work when it is full.
 *
 *   reserve-log     a segment's file, for deletes, expirations and earlier expiries when no other can be made
 *   reserve-tables  removed when the flusher has no space, so that it can flush the log to the tables
 *
 * While either is missing or too small, puts are refused: they would take the space that flushing deletes needs. The
 * state is the files themselves, so it survives a restart.
 */
export interface Reserve {
  /**
   * Creates the missing files. If the disk is full, calls `freeRoom` and tries once more, unless that returns false.
   * Throws the system's error, and for a second after a failure rethrows it without trying.
   */
  ensure(freeRoom: () => Promise<boolean>): Promise<void>
  /** The space that `ensure` needs, in bytes. */
  missingBytes(): number
  /** Hands the segment's file to the caller; null while it is in use. */
  takeSegment(): ReserveSegment | null
  /** Creates the segment's file only. Throws the system's error. */
  makeSegment(): Promise<void>
  /** Renames an unneeded file of the log to the reserve's segment file; false when the reserve has one. */
  putBack(path: string): boolean
  /** Removes `reserve-tables`; false when it was gone already. */
  releaseTables(): boolean
  /** Notes how many free bytes the tables' file has in itself; with enough of them `reserve-tables` is smaller. */
  noteRoomInTables(bytes: number): void
}

export interface ReserveSegment {
  readonly path: string
  readonly bytes: number
}

export interface ReserveOptions {
  readonly dir: string
  readonly segmentBytes: number
  /** Free bytes in the tables' file, see `noteRoomInTables`. */
  readonly roomInTables: number
  /** Receives a line at the first use of the reserve, and when it is whole again. */
  readonly warn: (line: string) => void
}

/** A segment file of another size is used as well, if it has room for a few deletes. */
const leastSegmentBytes = 4096
const retryMs = 1000
/** Shares of `reserve-tables` that are tried in this order when the disk has no space for all of it. */
const tablesShares = [1, 0.75, 0.5, 0.25]

/** The actual and the required state of the files. */
interface Files {
  readonly options: ReserveOptions
  readonly segmentPath: string
  readonly tablesPath: string
  hasSegment: boolean
  tablesBytes: number
  neededBytes: number
  /** The reserve was used since it was last whole. */
  isUsed: boolean
}

export function openReserve(options: ReserveOptions): Reserve {
  const files = findFiles(options)
  let making: Promise<void> | null = null
  let failure: { readonly error: unknown; readonly atMs: number } | null = null

  async function ensure(freeRoom: () => Promise<boolean>): Promise<void> {
    if (failure !== null && monotonicMs() - failure.atMs < retryMs) throw failure.error
    try {
      await make(files).catch(async (error: unknown) => {
        if (!(await freeRoom())) throw error
        await make(files)
      })
      failure = null
    } catch (error) {
      failure = { error, atMs: monotonicMs() }
      throw error
    }
  }

  noteRoomInTables(files, options.roomInTables)
  return {
    async ensure(freeRoom) {
      if (missingBytes(files) === 0) return
      making ??= ensure(freeRoom).finally(() => {
        making = null
      })
      await making
    },
    missingBytes: () => missingBytes(files),
    takeSegment: () => takeSegment(files),
    async makeSegment() {
      await making?.catch(() => {})
      await makeSegment(files)
    },
    putBack: (path) => making === null && putBack(files, path),
    releaseTables: () => releaseTables(files),
    noteRoomInTables(bytes) {
      if (making === null) noteRoomInTables(files, bytes)
    },
  }
}

function findFiles(options: ReserveOptions): Files {
  const { dir, segmentBytes } = options
  const segmentPath = join(dir, 'reserve-log')
  const tablesPath = join(dir, 'reserve-tables')
  return {
    options,
    segmentPath,
    tablesPath,
    hasSegment: sizeOf(segmentPath) >= Math.min(leastSegmentBytes, segmentBytes),
    tablesBytes: sizeOf(tablesPath),
    neededBytes: 0,
    isUsed: false,
  }
}

function missingBytes({ options, hasSegment, tablesBytes, neededBytes }: Files): number {
  return (hasSegment ? 0 : options.segmentBytes) + Math.max(0, neededBytes - tablesBytes)
}

/**
 * Creates the segment's file first, because nothing can be deleted without it; then as large a `reserve-tables` as the
 * disk has space for. Throws ENOSPC where that is less than needed.
 */
async function make(files: Files): Promise<void> {
  const { options, tablesPath, neededBytes } = files
  const { dir, warn } = options
  await makeSegment(files)
  for (const share of tablesShares) {
    const bytes = share * neededBytes
    if (files.tablesBytes >= bytes || !hasSpace(dir, bytes - files.tablesBytes)) continue
    await preallocate(tablesPath, bytes)
    files.tablesBytes = bytes
  }
  syncPath(dir)
  requireSpace(tablesPath, neededBytes - files.tablesBytes)
  if (!files.isUsed) return
  files.isUsed = false
  warn('there is room on the disk again: the reserve is whole, and everything is written')
}

async function makeSegment(files: Files): Promise<void> {
  if (files.hasSegment) return
  await preallocate(files.segmentPath, files.options.segmentBytes)
  files.hasSegment = true
}

function takeSegment(files: Files): ReserveSegment | null {
  if (!files.hasSegment) return null
  noteUse(files)
  files.hasSegment = false
  return { path: files.segmentPath, bytes: sizeOf(files.segmentPath) }
}

function putBack(files: Files, path: string): boolean {
  if (files.hasSegment) return false
  try {
    renameSync(path, files.segmentPath)
    files.hasSegment = true
  } catch {
    // The file is gone, for example with its folder.
  }
  return files.hasSegment
}

function releaseTables(files: Files): boolean {
  noteUse(files)
  const isThere = existsSync(files.tablesPath)
  files.tablesBytes = 0
  rmSync(files.tablesPath, { force: true })
  return isThere
}

function noteUse(files: Files): void {
  if (files.isUsed) return
  files.isUsed = true
  files.options.warn('the disk is full: only what gives room back is written, from the reserve')
}

function noteRoomInTables(files: Files, bytes: number): void {
  const { segmentBytes } = files.options
  // A flush writes its pages to SQLite's write-ahead log, and then to the file, unless that has free pages for them.
  files.neededBytes = bytes >= segmentBytes ? segmentBytes : 2 * segmentBytes
  if (files.tablesBytes <= files.neededBytes) return
  try {
    truncateSync(files.tablesPath, files.neededBytes)
    files.tablesBytes = files.neededBytes
  } catch {
    // The file is gone, for example with its folder.
    files.tablesBytes = 0
  }
}

/** Removes files that only hold space, so that a store can be opened on a full disk; false where there are none. */
export function releaseRoom(dir: string): boolean {
  const names = readdirSync(dir).filter((name) => name.startsWith('spare-') || name === 'reserve-tables')
  for (const name of names) rmSync(join(dir, name), { force: true })
  return names.length > 0
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
