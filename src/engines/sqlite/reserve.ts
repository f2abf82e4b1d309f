import { existsSync, readdirSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicMs } from '../../runtime/clock.ts'
import { hasSpace, requireSpace, syncFolder } from './wal/log-files.ts'
import { preallocate } from './wal/preallocate.ts'

/**
 * The disk reserve: two files that hold room on the disk, so that what gives room back goes on when the disk is full.
 *
 *   reserve-log     the file of a segment, in which deletes, expiries and shortened lives are logged when there is no other
 *   reserve-tables  removed when the flusher has no room, so that it can bring the tables up to the log
 *
 * As long as one of them is missing, puts are refused: they would take the room that deletes need to be flushed. That
 * holds over a restart too, for it is the files that say it.
 */
export interface Reserve {
  /**
   * Makes what is missing, with the room that `freeRoom` finds if there is none; that returns false where it finds none
   * either. Throws as the system does, and for a second after that without trying.
   */
  ensure(freeRoom: () => Promise<boolean>): Promise<void>
  /** How much room `ensure` needs. */
  missingBytes(): number
  /** The file for a segment; null while it is in use. */
  takeSegment(): ReserveSegment | null
  /** Makes the file for a segment alone. Throws as the system does. */
  makeSegment(): Promise<void>
  /** Makes a file of the log, which nothing needs any more, the reserve's; false when that has one. */
  putBack(path: string): boolean
  /** Removes the tables' part; false when it is gone already. */
  releaseTables(): boolean
  /** How much room the file of the tables has in itself: with enough of it the tables' part is smaller. */
  noteRoomInTables(bytes: number): void
}

export interface ReserveSegment {
  readonly path: string
  readonly bytes: number
}

export interface ReserveOptions {
  readonly dir: string
  readonly segmentBytes: number
  /** In bytes, see `noteRoomInTables`. */
  readonly roomInTables: number
  /** Receives a line when the reserve begins to be used, and when it is whole again. */
  readonly warn: (line: string) => void
}

/** A file for segments of another size is used as well, if it is not too small for a few deletes. */
const leastSegmentBytes = 4096
const retryMs = 1000
/** What is tried of the tables' part, one after the other. */
const tablesShares = [1, 0.75, 0.5, 0.25]

/** The files as they are and as they should be. */
interface Files {
  readonly options: ReserveOptions
  readonly segmentPath: string
  readonly tablesPath: string
  hasSegment: boolean
  tablesBytes: number
  neededBytes: number
  /** Something of it was taken since it was last whole. */
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

/** The log's part first: without it nothing can be deleted. Of the tables' as much as there is room for. */
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
  syncFolder(dir)
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
    // It is gone, with its folder say.
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
  // A job writes its pages to SQLite's write-ahead log, and from there to the file, which may have room for them.
  files.neededBytes = bytes >= segmentBytes ? segmentBytes : 2 * segmentBytes
  if (files.tablesBytes <= files.neededBytes) return
  try {
    truncateSync(files.tablesPath, files.neededBytes)
    files.tablesBytes = files.neededBytes
  } catch {
    // It is gone, with its folder say.
    files.tablesBytes = 0
  }
}

/** Lets go of what only holds room, so that a store can be opened on a full disk; false where there is nothing. */
export function releaseRoom(dir: string): boolean {
  const names = readdirSync(dir).filter((name) => name.startsWith('spare-') || name === 'reserve-tables')
  for (const name of names) rmSync(join(dir, name), { force: true })
  return names.length > 0
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
