import { join } from 'node:path'
import type { LogDisk } from './log-files.ts'
import type { Chunk } from './record.ts'

/**
 * The log: commits in the order in which they were made, in files of a fixed size, the segments.
 *
 * A segment begins with a header of 64 bytes:
 *
 *      0  8  "kvistlog"
 *      8  4  format, 3
 *     12  4  CRC-32 of the header with this field zero
 *     16  8  number of the segment, a double
 *     24  8  revision of its first record, a double
 *     32 16  identity of the store
 *     48  8  salt: random bytes, new for each use of the file
 *     56  8  zero
 *
 * Frames follow, one for each group of commits that was written together:
 *
 *      0  8  the segment's salt
 *      8  4  bytes of the records
 *     12  4  synced end: up to this offset the segment was on disk before this frame was written
 *     16  8  revision of the first record, a double
 *     24  4  CRC-32 of the records
 *     28  4  CRC-32 of the 28 bytes above, begun with the frame's offset
 *     32     records (record.ts)
 *
 * A frame that is not on disk whole fails its CRCs: that makes a commit atomic. Frames of an earlier use of the file have
 * another salt. The frames of a segment are synced in order, so a broken frame before the synced end of a later one was
 * whole once: that is damage. A broken frame behind every synced end is a torn write, and the log ends there
 * (recovery.ts). Files are filled with zeros before their first use, and recycled: a sync of bytes whose blocks are
 * allocated writes those bytes and no metadata.
 *
 * A segment may end early: after a failed write the next segment begins with the revision that failed, and recovery
 * ignores the frame that the failed write may have left at the end of the earlier segment.
 *
 * Format 2, which is read but not written, has no salt in the segment's header, and frames with a header of 8 bytes: the
 * length, and a CRC-32 of the records that continues the CRC of the preceding frame, or of the segment's header.
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
  /** Offset of the next frame. */
  end: number
  /** Up to this offset the file is synced. */
  syncedEnd: number
  /** Failed syncs, and how many of them were repaired by a rewrite and a sync that succeeded. */
  failedSyncs: number
  repairedSyncs: number
  /** The segment is in the tables: its file may be recycled at any moment and must not be written to. */
  isFlushed: boolean
}

/**
 * Creates a segment for appending, off the event loop, because that may take long on a busy disk. `recycled` is a file of
 * the right size, of an earlier segment or made ahead; null has one made. The header is synced with the first frame.
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
    // The rename reaches the disk before the header: the next start would refuse this header under the file's old name.
    await disk.syncFolder(dir)
    disk.write(fd, chunk.bytes.subarray(0, segmentHeaderBytes), 0)
    return newSegment(disk, number, path, fd, chunk)
  } catch (error) {
    if (fd !== undefined) disk.close(fd)
    // An incomplete file is of no use, and fills the disk.
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

/** Writes the header of a segment with a new salt into its chunk. */
export function encodeHeader(
  { bytes, view }: Chunk,
  number: number,
  firstRevision: number,
  storeId: string,
): void {
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
 * Writes the records in the chunk from `end + frameHeaderBytes` to `recordsEnd` as a frame. The frame counts only after
 * `acceptFrame`.
 */
export function writeFrame(segment: Segment, recordsEnd: number, firstRevision: number): void {
  const { chunk, end, syncedEnd } = segment
  encodeFrame(chunk, end, recordsEnd, syncedEnd, firstRevision)
  segment.disk.write(segment.fd, chunk.bytes.subarray(end, recordsEnd), end)
}

/** Encodes the header of the frame that begins at `end`, whose records are in the chunk. */
export function encodeFrame(
  chunk: Chunk,
  end: number,
  recordsEnd: number,
  syncedEnd: number,
  firstRevision: number,
): void {
  const { bytes, view } = chunk
  const records = end + frameHeaderBytes
  view.setUint32(end, view.getUint32(headerAt.salt, true), true)
  view.setUint32(end + 4, view.getUint32(headerAt.salt + 4, true), true)
  view.setUint32(end + frameAt.length, recordsEnd - records, true)
  view.setUint32(end + frameAt.syncedEnd, syncedEnd, true)
  view.setFloat64(end + frameAt.firstRevision, firstRevision, true)
  view.setUint32(end + frameAt.crc, Bun.hash.crc32(bytes.subarray(records, recordsEnd)), true)
  view.setUint32(end + frameAt.headerCrc, frameHeaderCrc(chunk, end), true)
}

/** The CRC of a frame's header; it includes the offset, so that a header is valid only where it was written. */
export function frameHeaderCrc({ bytes }: Chunk, offset: number): number {
  return Bun.hash.crc32(bytes.subarray(offset, offset + frameAt.headerCrc), offset)
}

export function acceptFrame(segment: Segment, recordsEnd: number): void {
  segment.end = recordsEnd
}

/** Undoes a frame whose write or sync failed, by zeroing its header; ignores a failure of that. */
export function cutFrame(segment: Segment): void {
  try {
    segment.disk.write(segment.fd, new Uint8Array(frameHeaderBytes), segment.end)
  } catch {
    // The next segment begins with the revision of this frame, so recovery ignores the frame in any case.
  }
}

/**
 * Syncs the segment up to an offset, off the event loop. After a failed sync the system may have marked lost pages as
 * clean, so everything since the last successful one is written again first.
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
    // A sync that failed meanwhile may have dropped pages that this one reported as synced.
    if (segment.failedSyncs !== failedSyncs) continue
    segment.repairedSyncs = failedSyncs
    if (end > segment.syncedEnd) segment.syncedEnd = end
    return
  }
}
