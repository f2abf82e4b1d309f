import { closeSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { requireSpace } from '../wal/log-files.ts'

/**
 * The pages of the tables' file as they were at one moment, while checkpoints go on writing the file.
 *
 * The file changes in checkpoints alone, and those are made by the flusher's thread. Before each one, `savePages` copies
 * the pages that it will overwrite, and that have not been read yet, to a second file, and marks them. `readPages` reads
 * the file first and then the marks: a page without a mark was not being overwritten until then, and of a page with a
 * mark the saved copy is read. So neither side waits for the other, and a checkpoint is never put off.
 */
export interface PinnedPages {
  /** Path of the tables' file; its -wal is next to it. */
  readonly dbPath: string
  /** The tables' file. No one closes it before the engine: that would release SQLite's locks on the file. */
  readonly fd: number
  /** SQLite's wal-index (-shm), kept open for the same reason. */
  readonly indexFd: number
  /** The saved pages, each at its own offset. The file has no name any more: it is gone with the process. */
  readonly savedFd: number
  readonly pageBytes: number
  readonly pages: number
  /** Disk space that must stay free: saving pages must not take what writers need. */
  readonly reservedBytes: number
  /** Two numbers of 32 bits (`readAt`, `faultAt`), then a bit for each page that is saved. */
  readonly state: SharedArrayBuffer
}

const readAt = 0
const faultAt = 1
const marksAt = 2

/** Why pages can not be read any more, by number; 0 is for none. */
export const pinFaults = ['none', 'full', 'foreign', 'closing', 'failed'] as const
export type PinFault = (typeof pinFaults)[number]

export function newPinState(pages: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (marksAt + Math.ceil(pages / 32)))
}

export function notePinFault({ state }: PinnedPages, fault: PinFault): void {
  Atomics.compareExchange(new Int32Array(state), faultAt, 0, pinFaults.indexOf(fault))
}

export function pinFaultOf({ state }: PinnedPages): PinFault {
  return pinFaults[Atomics.load(new Int32Array(state), faultAt)]!
}

function isMarked(marks: Int32Array, page: number): boolean {
  return (Atomics.load(marks, marksAt + (page >>> 5)) & (1 << (page & 31))) !== 0
}

/**
 * Reads pages from number `from` (the first is 0) into a buffer of whole pages. Call `donePages` when they are not needed
 * again. Check `pinFaultOf` before relying on them.
 */
export function readPages(pinned: PinnedPages, from: number, into: Uint8Array): void {
  const { fd, savedFd, pageBytes, state } = pinned
  readFully(fd, into, from * pageBytes)
  const marks = new Int32Array(state)
  for (let at = 0; at < into.length; at += pageBytes) {
    const page = from + at / pageBytes
    if (isMarked(marks, page)) readFully(savedFd, into.subarray(at, at + pageBytes), page * pageBytes)
  }
}

/** Notes that the pages before `end` are not read again, so that they need not be saved. */
export function donePages({ state }: PinnedPages, end: number): void {
  Atomics.store(new Int32Array(state), readAt, end)
}

function readFully(fd: number, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const read = readSync(fd, into, at, into.length - at, position + at)
    if (read === 0) throw new Error('the file of the tables is shorter than it was')
    at += read
  }
}

/**
 * Saves the pages that the next checkpoint overwrites; called in the flusher's thread. `hasCommits` says that its job
 * certainly wrote something. A failure is noted for the reader, and the checkpoint is made all the same.
 */
export function savePages(pinned: PinnedPages, hasCommits: boolean): void {
  if (pinFaultOf(pinned) !== 'none') return
  try {
    const numbers = walPages(pinned)
    if (wasCheckpointed(pinned) || (hasCommits && numbers.length === 0)) notePinFault(pinned, 'foreign')
    else save(pinned, numbers)
    if (wasCheckpointed(pinned)) notePinFault(pinned, 'foreign')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    notePinFault(pinned, code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' ? 'full' : 'failed')
  }
}

/** Offset of the number of frames that a checkpoint has moved, in the wal-index (sqlite.org/walformat.html). */
const backfillOffset = 96

/** Whether a checkpoint of another program has begun to write what the flusher's last job committed. */
function wasCheckpointed({ indexFd }: PinnedPages): boolean {
  const moved = new Uint32Array(1)
  readFully(indexFd, new Uint8Array(moved.buffer), backfillOffset)
  return moved[0] !== 0
}

const walHeaderBytes = 32
const walFrameHeaderBytes = 24
const saltAt = 16

/** Returns the numbers of the pages in SQLite's write-ahead log that are pinned, ascending; the first page is 0. */
function walPages({ dbPath, pageBytes, pages }: PinnedPages): Uint32Array {
  const path = `${dbPath}-wal`
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (bytes < walHeaderBytes) return new Uint32Array(0)
  // SQLite has no locks on this file, so it can be closed.
  const fd = openSync(path, 'r')
  try {
    const header = Buffer.alloc(walHeaderBytes)
    readFully(fd, header, 0)
    const found = new Set<number>()
    const frame = Buffer.alloc(walFrameHeaderBytes)
    for (
      let at = walHeaderBytes;
      at + walFrameHeaderBytes + pageBytes <= bytes;
      at += walFrameHeaderBytes + pageBytes
    ) {
      readFully(fd, frame, at)
      // Frames of an earlier use of the file follow those of this one.
      if (frame.compare(header, saltAt, saltAt + 8, 8, 16) !== 0) break
      const page = frame.readUInt32BE(0) - 1
      if (page < pages) found.add(page)
    }
    return Uint32Array.from(found).sort()
  } finally {
    closeSync(fd)
  }
}

/** Pages that are copied at once. */
const maxRunPages = 128

function save(pinned: PinnedPages, numbers: Uint32Array): void {
  const { fd, savedFd, dbPath, pageBytes, reservedBytes, state } = pinned
  const marks = new Int32Array(state)
  const needed = numbers.filter((page) => page >= Atomics.load(marks, readAt) && !isMarked(marks, page))
  if (needed.length === 0) return
  requireSpace(dbPath, needed.length * pageBytes + reservedBytes)
  const buffer = new Uint8Array(maxRunPages * pageBytes)
  for (let i = 0; i < needed.length; ) {
    let end = i + 1
    while (end < needed.length && end - i < maxRunPages && needed[end] === needed[i]! + (end - i)) end++
    const run = buffer.subarray(0, (end - i) * pageBytes)
    const position = needed[i]! * pageBytes
    readFully(fd, run, position)
    for (let at = 0; at < run.length; ) at += writeSync(savedFd, run, at, run.length - at, position + at)
    for (; i < end; i++) Atomics.or(marks, marksAt + (needed[i]! >>> 5), 1 << (needed[i]! & 31))
  }
}
