import { readSync } from 'node:fs'
import { pageBytes } from '../btree/page-format.ts'

/** Reads SQLite's write-ahead log, `kvist.db-wal`, without SQLite (https://www.sqlite.org/fileformat2.html#walformat). */

const walHeaderBytes = 32
const frameHeaderBytes = 24
const walMagic = 0x377f0682

/** Reads bytes of a file; false where it ends before. */
export function readAt(file: number, into: Buffer, from: number, length: number): boolean {
  for (let done = 0; done < length; ) {
    const read = readSync(file, into, done, length - done, from + done)
    if (read === 0) return false
    done += read
  }
  return true
}

export interface CommittedPages {
  /** By page the offset of its newest committed content. */
  readonly offsets: Map<number, number>
  /** Pages of the file after the last commit; 0 for none. */
  pageCount: number
}

export function noPages(): CommittedPages {
  return { offsets: new Map(), pageCount: 0 }
}

/** Reads the log up to its last commit. What follows was not committed, or never reached the disk. */
export function committedPages(wal: number): CommittedPages {
  const frames = noPages()
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
