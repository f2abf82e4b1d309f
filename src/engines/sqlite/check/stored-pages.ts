import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { pageBytes } from '../btree/page-format.ts'

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

const walHeaderBytes = 32
const frameHeaderBytes = 24
const walMagic = 0x377f0682
/** Of the header of the file: the number of pages. */
const pageCountAt = 28

/** Opens the files for reading. Throws the system's error. */
export function openPages(path: string): StoredPages {
  const file = openSync(path, 'r')
  const wal = existsSync(`${path}-wal`) ? openSync(`${path}-wal`, 'r') : null
  try {
    const fileBytes = fstatSync(file).size
    const frames: WalFrames = wal === null ? noFrames() : readWal(wal)
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

/** Whether all bytes could be read. */
function readAt(file: number, into: Buffer, from: number, length: number): boolean {
  for (let done = 0; done < length; ) {
    const read = readSync(file, into, done, length - done, from + done)
    if (read === 0) return false
    done += read
  }
  return true
}

interface WalFrames {
  /** By page the offset of its newest committed content. */
  readonly offsets: Map<number, number>
  /** Pages of the file after the last commit; 0 for none. */
  pageCount: number
}

function noFrames(): WalFrames {
  return { offsets: new Map(), pageCount: 0 }
}

/** Reads the write-ahead log up to its last commit. What follows was not committed, or never reached the disk. */
function readWal(wal: number): WalFrames {
  const frames = noFrames()
  const head = Buffer.alloc(walHeaderBytes)
  if (!readAt(wal, head, 0, walHeaderBytes)) return frames
  const magic = head.readUInt32BE(0)
  if ((magic & ~1) >>> 0 !== walMagic || head.readUInt32BE(8) !== pageBytes) return frames
  const sum = new WalSum((magic & 1) === 1)
  sum.add(head, 0, 24)
  if (!sum.equals(head, 24)) return frames
  const frame = Buffer.alloc(frameHeaderBytes + pageBytes)
  let uncommitted = new Map<number, number>()
  for (let offset = walHeaderBytes; readAt(wal, frame, offset, frame.length); offset += frame.length) {
    if (frame.compare(head, 16, 24, 8, 16) !== 0) break
    sum.add(frame, 0, 8)
    sum.add(frame, frameHeaderBytes, frame.length)
    if (!sum.equals(frame, 16)) break
    uncommitted.set(frame.readUInt32BE(0), offset + frameHeaderBytes)
    const pagesAfterCommit = frame.readUInt32BE(4)
    if (pagesAfterCommit === 0) continue
    for (const [page, at] of uncommitted) frames.offsets.set(page, at)
    uncommitted = new Map()
    frames.pageCount = pagesAfterCommit
  }
  return frames
}

/** The running checksum of the write-ahead log. */
class WalSum {
  private first = 0
  private second = 0
  private readonly isBigEndian: boolean

  constructor(isBigEndian: boolean) {
    this.isBigEndian = isBigEndian
  }

  add(bytes: Buffer, from: number, to: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = from; at < to; at += 8) {
      this.first = (this.first + view.getUint32(at, !this.isBigEndian) + this.second) >>> 0
      this.second = (this.second + view.getUint32(at + 4, !this.isBigEndian) + this.first) >>> 0
    }
  }

  equals(bytes: Buffer, at: number): boolean {
    return this.first === bytes.readUInt32BE(at) && this.second === bytes.readUInt32BE(at + 4)
  }
}
