import { join } from 'node:path'
import type { LogDisk } from './log-files.ts'
import type { Chunk } from './record.ts'

/**
 * The log: commits in the order they were made, in files of a fixed size, the segments.
 *
 * A segment begins with a header of 64 bytes:
 *
 *      0  8  "kvistlog"
 *      8  4  format, 3
 *     12  4  CRC-32 of the header with this field zero
 *     16  8  number of the segment, a double
 *     24  8  revision of its first record, a double
 *     32 16  identity of the store
 *     48  8  salt: random bytes, new with each use of the file
 *     56  8  zero
 *
 * Frames follow, one for each group of commits that went to disk together:
 *
 *      0  8  the segment's salt
 *      8  4  bytes of the records
 *     12  4  synced end: up to this offset the segment was on disk before this frame was written
 *     16  8  revision of the first record, a double
 *     24  4  CRC-32 of the records
 *     28  4  CRC-32 of the 28 bytes above, begun with the frame's offset
 *     32     records (record.ts)
 *
 * A frame is on disk whole or its CRCs do not match: that is what makes a commit atomic. What an earlier use of the file
 * left behind has another salt. Frames of a segment are synced in order, so a broken frame before the synced end of a
 * later one was whole once: that is damage. One behind every synced end is a torn write, and the log ends there
 * (log-reader.ts). Files are filled with zeros before they are used, and recycled: a sync of bytes that have their place
 * on disk writes those bytes and nothing else.
 *
 * A segment may end early: when a write failed, the next segment begins with the revision that failed, and what the
 * failed write left at the end of the one before is passed over.
 *
 * Format 2, which is read but not written, has no salt in the segment's header, and frames with a header of 8 bytes: the
 * length, and a CRC-32 of the records that goes on from the CRC of the frame before, or of the segment's header.
 */
export const logFormat = 3
export const segmentHeaderBytes = 64
export const frameHeaderBytes = 32
export const saltBytes = 8
export const magic = 'kvistlog'

/** Offsets in the segment's header. */
export const headerAt = { format: 8, crc: 12, number: 16, firstRevision: 24, storeId: 32, salt: 48 } as const
/** Offsets in the header of a frame. */
export const frameAt = { length: 8, syncedEnd: 12, firstRevision: 16, crc: 24, headerCrc: 28 } as const

/** A segment that is open for appending. */
export interface Segment {
  readonly disk: LogDisk
  readonly number: number
  readonly path: string
  readonly fd: number
  readonly chunk: Chunk
  /** Where the next frame goes. */
  end: number
  /** Up to here the file is on disk. */
  syncedEnd: number
  /** Syncs that failed, and how many of them were made up for by writing again. */
  failedSyncs: number
  repairedSyncs: number
  /** The tables have it: its file may be recycled at any moment and must not be written to. */
  isFlushed: boolean
}

/**
 * Opens a segment for appending, off the event loop: that may take long on a busy disk. `recycled` is a file of the
 * right size, of an earlier segment or made ahead. The header is on disk once the first frame is.
 */
export async function createSegment(
  disk: LogDisk,
  dir: string,
  number: number,
  firstRevision: number,
  storeId: string,
  chunk: Chunk,
  recycled: string | null,
): Promise<Segment> {
  const path = join(dir, `log-${String(number).padStart(8, '0')}`)
  let fd: number | undefined
  try {
    if (recycled === null) await disk.makeFile(path, chunk.bytes.length)
    else await disk.rename(recycled, path)
    fd = await disk.open(path)
    encodeHeader(chunk, number, firstRevision, storeId)
    // In this order: under the name of its use before, a file with this header would be refused at the next start.
    await disk.syncFolder(dir)
    disk.write(fd, chunk.bytes.subarray(0, segmentHeaderBytes), 0)
    return newSegment(disk, number, path, fd, chunk)
  } catch (error) {
    if (fd !== undefined) disk.close(fd)
    // An incomplete file is of no use, and one that could not be made longer still fills the disk.
    disk.remove(path)
    throw error
  }
}

function newSegment(disk: LogDisk, number: number, path: string, fd: number, chunk: Chunk): Segment {
  const end = segmentHeaderBytes
  return {
    disk,
    number,
    path,
    fd,
    chunk,
    end,
    syncedEnd: 0,
    failedSyncs: 0,
    repairedSyncs: 0,
    isFlushed: false,
  }
}

function encodeHeader({ bytes, view }: Chunk, number: number, firstRevision: number, storeId: string): void {
  bytes.fill(0, 0, segmentHeaderBytes)
  bytes.write(magic, 0, 'latin1')
  view.setUint32(headerAt.format, logFormat, true)
  view.setFloat64(headerAt.number, number, true)
  view.setFloat64(headerAt.firstRevision, firstRevision, true)
  bytes.write(storeId, headerAt.storeId, 16, 'latin1')
  bytes.set(crypto.getRandomValues(new Uint8Array(saltBytes)), headerAt.salt)
  view.setUint32(headerAt.crc, Bun.hash.crc32(bytes.subarray(0, segmentHeaderBytes)), true)
}

/**
 * Makes a frame of the records in the chunk from `end + frameHeaderBytes` to `recordsEnd`, and writes it.
 * The frame counts only when `acceptFrame` is called.
 */
export function writeFrame(segment: Segment, recordsEnd: number, firstRevision: number): void {
  const { chunk, end } = segment
  const { bytes, view } = chunk
  const records = end + frameHeaderBytes
  view.setUint32(end, view.getUint32(headerAt.salt, true), true)
  view.setUint32(end + 4, view.getUint32(headerAt.salt + 4, true), true)
  view.setUint32(end + frameAt.length, recordsEnd - records, true)
  view.setUint32(end + frameAt.syncedEnd, segment.syncedEnd, true)
  view.setFloat64(end + frameAt.firstRevision, firstRevision, true)
  view.setUint32(end + frameAt.crc, Bun.hash.crc32(bytes.subarray(records, recordsEnd)), true)
  view.setUint32(end + frameAt.headerCrc, frameHeaderCrc(chunk, end), true)
  segment.disk.write(segment.fd, bytes.subarray(end, recordsEnd), end)
}

/** A header is whole at the offset that it was written for alone. */
export function frameHeaderCrc({ bytes }: Chunk, offset: number): number {
  return Bun.hash.crc32(bytes.subarray(offset, offset + frameAt.headerCrc), offset)
}

export function acceptFrame(segment: Segment, recordsEnd: number): void {
  segment.end = recordsEnd
}

/** Undoes a frame that did not reach the disk, as far as the disk allows. */
export function cutFrame(segment: Segment): void {
  try {
    segment.disk.write(segment.fd, new Uint8Array(frameHeaderBytes), segment.end)
  } catch {
    // The next segment begins with the same revision, which undoes the frame as well.
  }
}

/**
 * Brings what was written up to an offset to disk, off the event loop. After a sync that failed the system may take lost
 * pages for clean, so everything since the last good one is written again.
 */
export async function syncSegment(segment: Segment, end: number): Promise<void> {
  const { disk, fd, chunk } = segment
  while (!segment.isFlushed) {
    const { failedSyncs, syncedEnd } = segment
    try {
      if (segment.repairedSyncs < failedSyncs) disk.write(fd, chunk.bytes.subarray(syncedEnd, end), syncedEnd)
      await disk.syncData(fd)
    } catch (error) {
      segment.failedSyncs++
      throw error
    }
    // Another sync that failed meanwhile may have taken this one's pages with it.
    if (segment.failedSyncs !== failedSyncs) continue
    segment.repairedSyncs = failedSyncs
    if (end > segment.syncedEnd) segment.syncedEnd = end
    return
  }
}
