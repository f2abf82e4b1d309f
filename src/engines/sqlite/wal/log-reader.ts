import { closeSync, fstatSync, openSync } from 'node:fs'
import { formatRefusal } from '../table/format.ts'
import {
  frameAt,
  frameHeaderBytes,
  frameHeaderCrc,
  headerAt,
  logFormat,
  magic,
  saltBytes,
  segmentHeaderBytes,
} from './log.ts'
import { newChunk, readFully, type SegmentInfo } from './log-files.ts'
import { type Chunk, recordEnd, recordPosition } from './record.ts'

/**
 * Reads one segment: from its file at start, from memory in the flusher. This module only finds whole frames;
 * recovery.ts, which sees all segments, decides whether a broken frame is a torn write or damage.
 */
export interface LoadedSegment extends SegmentInfo, Frames {
  readonly chunk: Chunk
  readonly firstRevision: number
}

/** Adjacent whole frames. */
export interface Run {
  readonly offset: number
  end: number
  frames: number
  readonly firstRevision: number
  lastRevision: number
}

/** Thrown for a log that must not be opened; the message says why in one line. */
export class RefusedLog extends Error {}

export interface WholeHeader {
  readonly is: 'whole'
  readonly format: number
  readonly number: number
  readonly firstRevision: number
}

/** The state of the header of a segment's file. */
export type SegmentHeader =
  | WholeHeader
  /** All zeros: the header of this use of the file never reached the disk, so neither did a frame. */
  | { readonly is: 'unused' }
  | { readonly is: 'damaged' }

/** Reads a segment's file into a chunk. */
export function loadChunk({ path }: SegmentInfo): Chunk {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const chunk = newChunk(size)
    readFully(fd, chunk.bytes, 0, size)
    return chunk
  } finally {
    closeSync(fd)
  }
}

/** Reads a segment's header. Throws RefusedLog for a segment of another store or of an unsupported format. */
export function readHeader({ path }: SegmentInfo, { bytes, view }: Chunk, storeId: string): SegmentHeader {
  if (bytes.length < segmentHeaderBytes) return { is: 'unused' }
  if (bytes.subarray(0, segmentHeaderBytes).every((byte) => byte === 0)) return { is: 'unused' }
  if (bytes.toString('latin1', 0, magic.length) !== magic || !isHeaderWhole({ bytes, view })) {
    return { is: 'damaged' }
  }
  const format = view.getUint32(headerAt.format, true)
  const refusal = format === 2 ? null : formatRefusal(path, format, logFormat)
  if (refusal !== null) throw new RefusedLog(refusal)
  if (bytes.toString('latin1', headerAt.storeId, headerAt.storeId + 16) !== storeId) {
    throw new RefusedLog(`${path} belongs to another store`)
  }
  return {
    is: 'whole',
    format,
    number: view.getFloat64(headerAt.number, true),
    firstRevision: view.getFloat64(headerAt.firstRevision, true),
  }
}

function isHeaderWhole({ bytes, view }: Chunk): boolean {
  const zeros = Buffer.alloc(4)
  const before = Bun.hash.crc32(bytes.subarray(0, headerAt.crc))
  const crc = Bun.hash.crc32(
    bytes.subarray(headerAt.crc + 4, segmentHeaderBytes),
    Bun.hash.crc32(zeros, before),
  )
  return crc === view.getUint32(headerAt.crc, true)
}

/** Reads the frames of a segment whose header is whole. */
export function readSegment(info: SegmentInfo, chunk: Chunk, header: WholeHeader): LoadedSegment {
  const { firstRevision, format } = header
  const frames = format === 2 ? readFramesOfFormat2(chunk) : readFrames(chunk)
  return { ...info, chunk, firstRevision, ...frames }
}

/** Reads a segment from memory, where it is as it was written. Throws an Error if its header is not valid. */
export function readSegmentInMemory(info: SegmentInfo, chunk: Chunk, storeId: string): LoadedSegment {
  const header = readHeader(info, chunk, storeId)
  if (header.is !== 'whole') throw new Error(`${info.path} has no header`)
  return readSegment(info, chunk, header)
}

export interface Frames {
  /** Offsets of the records of all whole frames, in order. */
  readonly records: number[]
  /** Runs of adjacent whole frames; more than one where broken bytes lie between them. */
  readonly runs: readonly Run[]
  /** The largest synced end in a whole frame: up to this offset the segment was once on disk. */
  readonly syncedEnd: number
  /** Length of a torn frame behind the last run, in bytes; 0 for none. */
  readonly tornBytes: number
}

/** Reads the frames of a segment, using only the salt of its header: the rest of it may be damaged. */
export function readFrames(chunk: Chunk): Frames {
  const { bytes, view } = chunk
  const salt = bytes.subarray(headerAt.salt, headerAt.salt + saltBytes)
  const records: number[] = []
  const runs: Run[] = []
  let syncedEnd = 0
  let offset = segmentHeaderBytes
  let end = -1
  while (offset !== -1) {
    const frameEnd = endOfFrame(chunk, offset)
    if (frameEnd === null) {
      // Frames behind the broken one may be whole. They begin with the salt, which no client can guess.
      offset = bytes.indexOf(salt, offset + 1)
      continue
    }
    const firstRevision = view.getFloat64(offset + frameAt.firstRevision, true)
    if (offset !== end) runs.push({ offset, end: offset, frames: 0, firstRevision, lastRevision: 0 })
    const run = runs[runs.length - 1]!
    for (let at = offset + frameHeaderBytes; at < frameEnd; at = recordEnd(chunk, at)) records.push(at)
    run.lastRevision = recordPosition(chunk, records[records.length - 1]!)
    run.frames++
    run.end = frameEnd
    syncedEnd = Math.max(syncedEnd, view.getUint32(offset + frameAt.syncedEnd, true))
    end = frameEnd
    offset = frameEnd
  }
  return { records, runs, syncedEnd, tornBytes: tornBytes(chunk, runs.at(-1)?.end ?? segmentHeaderBytes) }
}

/** The end of the frame at an offset; null where no whole frame with this segment's salt begins. */
function endOfFrame(chunk: Chunk, offset: number): number | null {
  const { bytes, view } = chunk
  const records = offset + frameHeaderBytes
  if (records >= bytes.length || !hasSalt(chunk, offset)) return null
  if (frameHeaderCrc(chunk, offset) !== view.getUint32(offset + frameAt.headerCrc, true)) return null
  const end = records + view.getUint32(offset + frameAt.length, true)
  if (end > bytes.length || end === records) return null
  return Bun.hash.crc32(bytes.subarray(records, end)) === view.getUint32(offset + frameAt.crc, true)
    ? end
    : null
}

function hasSalt({ view }: Chunk, offset: number): boolean {
  return (
    view.getUint32(offset, true) === view.getUint32(headerAt.salt, true) &&
    view.getUint32(offset + 4, true) === view.getUint32(headerAt.salt + 4, true)
  )
}

/** Up to this many of the 64 bits of a frame's salt may be flipped; another salt differs in 32 on average. */
const maxSaltFaults = 8

/** The length of the torn frame at an offset; 0 where the salt is that of an earlier use of the file, or none. */
function tornBytes(chunk: Chunk, offset: number): number {
  const { bytes, view } = chunk
  if (offset + frameHeaderBytes > bytes.length || saltFaults(chunk, offset) > maxSaltFaults) return 0
  const stated = frameHeaderBytes + view.getUint32(offset + frameAt.length, true)
  return Math.min(stated, bytes.length - offset)
}

function saltFaults({ bytes }: Chunk, offset: number): number {
  let faults = 0
  for (let i = 0; i < saltBytes; i++) {
    for (let bits = bytes[offset + i]! ^ bytes[headerAt.salt + i]!; bits !== 0; bits &= bits - 1) faults++
  }
  return faults
}

/** As `readFrames` for format 2, up to the first frame that is not whole: without a salt no later one can be found. */
function readFramesOfFormat2(chunk: Chunk): Frames {
  const { bytes, view } = chunk
  const headerBytes = 8
  const records: number[] = []
  let end = segmentHeaderBytes
  let crc = view.getUint32(headerAt.crc, true)
  let frames = 0
  while (end + headerBytes <= bytes.length) {
    const from = end + headerBytes
    const length = view.getUint32(end, true)
    if (length === 0 || from + length > bytes.length) break
    crc = Bun.hash.crc32(bytes.subarray(from, from + length), crc)
    if (crc !== view.getUint32(end + 4, true)) break
    for (let at = from; at < from + length; at = recordEnd(chunk, at)) records.push(at)
    end = from + length
    frames++
  }
  if (frames === 0) return { records, runs: [], syncedEnd: 0, tornBytes: 0 }
  const firstRevision = recordPosition(chunk, records[0]!)
  const lastRevision = recordPosition(chunk, records[records.length - 1]!)
  const run = { offset: segmentHeaderBytes, end, frames, firstRevision, lastRevision }
  return { records, runs: [run], syncedEnd: 0, tornBytes: 0 }
}
