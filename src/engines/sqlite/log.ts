import {
  closeSync,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  open,
  openSync,
  readdirSync,
  readSync,
  rename,
  rmSync,
  write,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { formatRefusal } from './format.ts'
import { type Chunk, chunkOf, recordEnd, recordPlace } from './record.ts'

/**
 * The log: commits in the order they were made, in files of a fixed size, the segments.
 *
 * A segment begins with a header of 64 bytes:
 *
 *      0  8  "kvistlog"
 *      8  4  format, 2
 *     12  4  CRC-32 of the header with this field zero
 *     16  8  number of the segment, a double
 *     24  8  place of its first record, a double
 *     32 16  identity of the store
 *
 * Frames follow, one for each group of commits that went to disk together:
 *
 *      0  4  bytes of the records
 *      4  4  CRC-32 of the records, begun from the CRC of the frame before (of the header, for the first)
 *      8     records (record.ts)
 *
 * A frame is on disk whole or its CRC does not match: that is what makes a commit atomic. Since each CRC goes on from
 * the one before, what an earlier life of the file left behind the last frame never passes for a frame. Files are
 * filled with zeros before they are used and used again after: a sync of bytes that have their place on disk writes
 * those bytes and nothing else.
 *
 * A segment may end early: when a write failed, the next segment begins with the revision that failed, and what the
 * failed write left at the end of the one before is passed over.
 */
export const logFormat = 2
export const segmentHeaderBytes = 64
export const frameHeaderBytes = 8
const magic = 'kvistlog'

export interface Segment {
  readonly number: number
  readonly path: string
  readonly fd: number
  readonly chunk: Chunk
  /** Where the next frame goes. */
  end: number
  /** The CRC that the next frame's goes on from. */
  crc: number
}

export interface SegmentInfo {
  readonly number: number
  readonly path: string
}

/** The segments in a folder, by number. */
export function listSegments(dir: string): SegmentInfo[] {
  return readdirSync(dir)
    .flatMap((name) => {
      const match = /^log-(\d+)$/.exec(name)
      return match ? [{ number: Number(match[1]), path: join(dir, name) }] : []
    })
    .sort((a, b) => a.number - b.number)
}

/**
 * A chunk for a segment of this size; the memory is touched, and so taken, only as it fills. The thread that applies it
 * reads it where it is.
 */
export function newChunk(bytes: number): Chunk {
  return chunkOf(Buffer.from(new SharedArrayBuffer(bytes)))
}

/**
 * Opens a segment for appending, off the event loop: a disk that is busy may take long over it. `reuse` is a file that
 * is as long already: one made ahead (`makeFile`), or of an earlier segment that is not needed any more. The header is
 * on disk once the first frame is.
 */
export async function createSegment(
  dir: string,
  number: number,
  firstRevision: number,
  storeId: string,
  chunk: Chunk,
  reuse: string | null,
): Promise<Segment> {
  const path = join(dir, `log-${String(number).padStart(8, '0')}`)
  let fd: number | undefined
  try {
    if (reuse === null) await makeFile(path, chunk.bytes.length)
    else await renaming(reuse, path)
    fd = await opening(path, 'r+')
    const crc = writeHeader(chunk, number, firstRevision, storeId)
    writeAll(fd, chunk.bytes.subarray(0, segmentHeaderBytes), 0)
    await syncFolderLater(dir)
    return { number, path, fd, chunk, end: segmentHeaderBytes, crc }
  } catch (error) {
    if (fd !== undefined) closeSync(fd)
    // A file that is not whole helps nobody; one that could not be made longer still fills the disk.
    rmSync(path, { force: true })
    throw error
  }
}

function writeHeader(chunk: Chunk, number: number, firstRevision: number, storeId: string): number {
  const { bytes, view } = chunk
  bytes.fill(0, 0, segmentHeaderBytes)
  bytes.write(magic, 0, 'latin1')
  view.setUint32(8, logFormat, true)
  view.setFloat64(16, number, true)
  view.setFloat64(24, firstRevision, true)
  bytes.write(storeId, 32, 16, 'latin1')
  const crc = Bun.hash.crc32(bytes.subarray(0, segmentHeaderBytes))
  view.setUint32(12, crc, true)
  return crc
}

/**
 * Makes a file of zeros with its blocks on disk, so that writing frames never has to find room, and their first sync
 * has nothing else to bring there.
 */
export async function makeFile(path: string, size: number): Promise<void> {
  const fd = await opening(path, 'w')
  try {
    const zeros = Buffer.alloc(Math.min(size, 1024 * 1024))
    for (let at = 0; at < size; ) at += await writing(fd, zeros, Math.min(zeros.length, size - at), at)
    await syncing(fd)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0
  while (done < bytes.length) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done)
  }
}

async function syncFolderLater(dir: string): Promise<void> {
  const fd = await opening(dir, 'r')
  try {
    await syncing(fd)
  } finally {
    closeSync(fd)
  }
}

function opening(path: string, flags: string): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, flags, (error, fd) => (error ? reject(error) : resolve(fd)))
  })
}

function renaming(from: string, to: string): Promise<void> {
  return new Promise((resolve, reject) => {
    rename(from, to, (error) => (error ? reject(error) : resolve()))
  })
}

function writing(fd: number, bytes: Uint8Array, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, 0, length, position, (error, written) => (error ? reject(error) : resolve(written)))
  })
}

function syncing(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (error) => (error ? reject(error) : resolve()))
  })
}

/** A new name in a folder is safe only when the folder is synced as well. */
export function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Seals the records that stand in the chunk from `end + frameHeaderBytes` up to `recordsEnd` into a frame and writes
 * it. The segment's end moves only with `acceptFrame`, when the frame is known to be safe.
 */
export function writeFrame(segment: Segment, recordsEnd: number): number {
  const { chunk, end } = segment
  const records = end + frameHeaderBytes
  const crc = Bun.hash.crc32(chunk.bytes.subarray(records, recordsEnd), segment.crc)
  chunk.view.setUint32(end, recordsEnd - records, true)
  chunk.view.setUint32(end + 4, crc, true)
  writeAll(segment.fd, chunk.bytes.subarray(end, recordsEnd), end)
  return crc
}

export function acceptFrame(segment: Segment, recordsEnd: number, crc: number): void {
  segment.end = recordsEnd
  segment.crc = crc
}

/** Makes nothing of a frame that could not be brought to disk, as far as the disk lets it. */
export function cutFrame(segment: Segment): void {
  try {
    writeAll(segment.fd, new Uint8Array(frameHeaderBytes), segment.end)
  } catch {
    // The next segment begins with the same revision: that too makes nothing of the frame.
  }
}

/** Puts what was written on disk, off the event loop. */
export function syncSegment(segment: Segment): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(segment.fd, (error) => (error ? reject(error) : resolve()))
  })
}

export interface LoadedSegment {
  readonly number: number
  readonly path: string
  readonly chunk: Chunk
  readonly firstRevision: number
  /** Offsets of the records, in order. */
  readonly records: number[]
  readonly end: number
  readonly crc: number
}

export class DamagedLog extends Error {}

/**
 * Reads a segment as far as its frames are whole. Null for a file that was never begun: its header did not reach the
 * disk, so neither did a frame. Throws DamagedLog for a file of another store, of a newer format, or not of the log.
 */
export function loadSegment(info: SegmentInfo, storeId: string): LoadedSegment | null {
  const fd = openSync(info.path, 'r')
  try {
    const size = fstatSync(fd).size
    if (size < segmentHeaderBytes) return null
    const chunk = newChunk(size)
    if (readFully(fd, chunk.bytes, 0, segmentHeaderBytes) < segmentHeaderBytes) return null
    if (readHeader(info, chunk, storeId) === null) return null
    readFully(fd, chunk.bytes, segmentHeaderBytes, size)
    return readSegment(info, chunk, storeId)
  } finally {
    closeSync(fd)
  }
}

/** As `loadSegment`, of one that is in memory. */
export function readSegment(info: SegmentInfo, chunk: Chunk, storeId: string): LoadedSegment | null {
  const firstRevision = readHeader(info, chunk, storeId)
  return firstRevision === null ? null : { ...info, chunk, firstRevision, ...readFrames(chunk) }
}

function readHeader(info: SegmentInfo, { bytes, view }: Chunk, storeId: string): number | null {
  if (bytes.subarray(0, segmentHeaderBytes).every((byte) => byte === 0)) return null
  if (bytes.toString('latin1', 0, magic.length) !== magic) throw damagedHeader(info)
  const format = view.getUint32(8, true)
  const unread = formatRefusal(info.path, format, logFormat)
  if (unread !== null) throw new DamagedLog(unread)
  const crc = view.getUint32(12, true)
  view.setUint32(12, 0, true)
  const whole = Bun.hash.crc32(bytes.subarray(0, segmentHeaderBytes)) === crc
  view.setUint32(12, crc, true)
  if (!whole) throw damagedHeader(info)
  // A file that is to be used again, but was not yet.
  if (view.getFloat64(16, true) !== info.number) return null
  if (bytes.toString('latin1', 32, 48) !== storeId)
    throw new DamagedLog(`${info.path} belongs to another store`)
  return view.getFloat64(24, true)
}

function damagedHeader({ path }: SegmentInfo): DamagedLog {
  return new DamagedLog(`${path} is damaged: it does not begin as a part of the log does`)
}

function readFrames(chunk: Chunk): { records: number[]; end: number; crc: number } {
  const { bytes, view } = chunk
  const size = bytes.length
  const records: number[] = []
  let end = segmentHeaderBytes
  let crc = view.getUint32(12, true)
  while (end + frameHeaderBytes <= size) {
    const from = end + frameHeaderBytes
    const length = view.getUint32(end, true)
    if (length === 0 || from + length > size) break
    const frameCrc = Bun.hash.crc32(bytes.subarray(from, from + length), crc)
    if (frameCrc !== view.getUint32(end + 4, true)) break
    for (let at = from; at < from + length; at = recordEnd(chunk, at)) records.push(at)
    end = from + length
    crc = frameCrc
  }
  return { records, end, crc }
}

function readFully(fd: number, bytes: Buffer, from: number, to: number): number {
  let at = from
  while (at < to) {
    const read = readSync(fd, bytes, at, to - at, at)
    if (read === 0) break
    at += read
  }
  return at - from
}

/**
 * Reads the segments in order and keeps of each the records that count: newer than the table, and older than where
 * the following segment begins. Throws DamagedLog where acknowledged revisions are missing between two segments.
 */
export function loadLog(
  segments: readonly SegmentInfo[],
  storeId: string,
  appliedRevision: number,
): LoadedSegment[] {
  const loaded = segments.map((info) => loadSegment(info, storeId)).filter((segment) => segment !== null)
  const kept: LoadedSegment[] = []
  let last = appliedRevision
  loaded.forEach((segment, i) => {
    if (segment.firstRevision > last + 1) {
      throw new DamagedLog(
        `the log is damaged: revisions ${last + 1} to ${segment.firstRevision - 1} are missing`,
      )
    }
    const limit = loaded[i + 1]?.firstRevision ?? Number.POSITIVE_INFINITY
    const records = segment.records.filter((at) => {
      const place = recordPlace(segment.chunk, at)
      return place > appliedRevision && place < limit
    })
    if (records.length > 0) last = recordPlace(segment.chunk, records[records.length - 1]!)
    kept.push({ ...segment, records })
  })
  return kept
}
