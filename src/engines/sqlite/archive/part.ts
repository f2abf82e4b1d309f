import { encodeFrame, encodeHeader, frameHeaderBytes, segmentHeaderBytes } from '../wal/log.ts'
import { newChunk } from '../wal/log-files.ts'
import { type Chunk, chunkOf, recordTexts } from '../wal/record.ts'
import { keyFilter } from './key-filter.ts'

/**
 * A part of the archive: adjacent records of the log, from one revision to another. A file of the archive holds one part
 * or several, each of which is:
 *
 *      0  8  "kvistarc"
 *      8  4  format, 1
 *     12  4  CRC-32 of the header with this field zero
 *     16 16  identity of the store
 *     32  8  revision of the first record, a double
 *     40  8  revision of the last record, a double
 *     48  8  time of the first moment, milliseconds, a double
 *     56  8  time of the last moment, milliseconds, a double
 *     64  4  1 where the records do not continue what the archive had before, although their revisions do; else 0
 *     68  4  bytes of the key filter
 *     72  4  bytes of the payload
 *     76  4  bytes of the payload once it is decompressed
 *     80  4  number of moments
 *     84  4  number of batches
 *     88  4  CRC-32 of the key filter
 *     92  4  zero
 *     96 32  SHA-256 of the payload
 *    128     key filter (key-filter.ts), payload
 *
 * The payload is compressed with zstd: the moments, the batches, and the records as the log has them (wal/record.ts). A
 * **moment** is two doubles, a revision and the time in milliseconds at which it and all before it were committed. A
 * **batch** is two doubles, the first and the last revision of a commit that is done whole or not at all: the store never
 * was between them. Moments and batches ascend.
 */
export interface Part extends PartHead {
  /** Pairs of a revision and a time. */
  readonly moments: Float64Array
  /** Pairs of a first and a last revision. */
  readonly batches: Float64Array
  readonly records: Buffer
}

/** What the header of a part says of it. */
export interface PartHead {
  readonly firstRevision: number
  readonly lastRevision: number
  readonly firstTimeMs: number
  readonly lastTimeMs: number
  /** The records do not continue what the archive had before: those revisions were lost and given out again. */
  readonly isBreak: boolean
}

/** A part in a file. */
export interface PartInfo extends PartHead {
  readonly path: string
  readonly offset: number
  readonly filterBytes: number
  readonly payloadBytes: number
  readonly rawBytes: number
  readonly moments: number
  readonly batches: number
}

export const partHeaderBytes = 128
const magic = 'kvistarc'
const format = 1
const at = {
  format: 8,
  crc: 12,
  storeId: 16,
  firstRevision: 32,
  lastRevision: 40,
  firstTimeMs: 48,
  lastTimeMs: 56,
  isBreak: 64,
  filterBytes: 68,
  payloadBytes: 72,
  rawBytes: 76,
  moments: 80,
  batches: 84,
  filterCrc: 88,
  digest: 96,
} as const

/** Thrown for an archive, or a file of one, that cannot be used; the message says why in one line. */
export class ArchiveError extends Error {}

/** Encodes a part, with its key filter and compressed. */
export function encodePart(part: Part, storeId: string): Buffer {
  const moments = Buffer.from(part.moments.buffer, part.moments.byteOffset, part.moments.byteLength)
  const batches = Buffer.from(part.batches.buffer, part.batches.byteOffset, part.batches.byteLength)
  const raw = Buffer.concat([moments, batches, part.records])
  const payload = Bun.zstdCompressSync(raw)
  const filter = keyFilter(keysOf(part.records))
  const { bytes, view } = chunkOf(Buffer.alloc(partHeaderBytes))
  bytes.write(magic, 0, 'latin1')
  view.setUint32(at.format, format, true)
  bytes.write(storeId, at.storeId, 16, 'latin1')
  view.setFloat64(at.firstRevision, part.firstRevision, true)
  view.setFloat64(at.lastRevision, part.lastRevision, true)
  view.setFloat64(at.firstTimeMs, part.firstTimeMs, true)
  view.setFloat64(at.lastTimeMs, part.lastTimeMs, true)
  view.setUint32(at.isBreak, part.isBreak ? 1 : 0, true)
  view.setUint32(at.filterBytes, filter.length, true)
  view.setUint32(at.payloadBytes, payload.length, true)
  view.setUint32(at.rawBytes, raw.length, true)
  view.setUint32(at.moments, part.moments.length / 2, true)
  view.setUint32(at.batches, part.batches.length / 2, true)
  view.setUint32(at.filterCrc, Bun.hash.crc32(filter), true)
  bytes.set(digestOf(payload), at.digest)
  view.setUint32(at.crc, Bun.hash.crc32(bytes), true)
  return Buffer.concat([bytes, filter, payload])
}

function digestOf(payload: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher('sha256').update(payload).digest()
}

/** The collection and key of each record, as adjacent bytes. */
function* keysOf(records: Buffer): Generator<Uint8Array> {
  const chunk = chunkOf(records)
  const texts = { start: 0, namesEnd: 0, valueStart: 0, end: 0 }
  for (let record = 0; record < records.length; record = texts.end) {
    recordTexts(chunk, record, texts)
    yield records.subarray(texts.start, texts.namesEnd)
  }
}

/**
 * Reads the header of a part; null where the bytes are not a whole header. Throws ArchiveError for a part of another
 * store or of a newer format.
 */
export function parsePartHeader(
  header: Buffer,
  path: string,
  offset: number,
  storeId: string | null,
): PartInfo | null {
  if (header.length < partHeaderBytes || header.toString('latin1', 0, magic.length) !== magic) return null
  const { view } = chunkOf(header)
  const crc = view.getUint32(at.crc, true)
  const unsigned = Buffer.from(header.subarray(0, partHeaderBytes))
  unsigned.fill(0, at.crc, at.crc + 4)
  if (Bun.hash.crc32(unsigned) !== crc) return null
  const found = view.getUint32(at.format, true)
  if (found !== format) {
    throw new ArchiveError(`${path} has format ${found} of the archive, and this kvist reads ${format}`)
  }
  if (storeId !== null && header.toString('latin1', at.storeId, at.storeId + 16) !== storeId) {
    throw new ArchiveError(`${path} belongs to another store`)
  }
  return {
    path,
    offset,
    firstRevision: view.getFloat64(at.firstRevision, true),
    lastRevision: view.getFloat64(at.lastRevision, true),
    firstTimeMs: view.getFloat64(at.firstTimeMs, true),
    lastTimeMs: view.getFloat64(at.lastTimeMs, true),
    isBreak: view.getUint32(at.isBreak, true) === 1,
    filterBytes: view.getUint32(at.filterBytes, true),
    payloadBytes: view.getUint32(at.payloadBytes, true),
    rawBytes: view.getUint32(at.rawBytes, true),
    moments: view.getUint32(at.moments, true),
    batches: view.getUint32(at.batches, true),
  }
}

/** The key filter of a part; null where it is damaged. */
export function filterOf(info: PartInfo, bytes: Buffer): Buffer | null {
  const filter = bytes.subarray(partHeaderBytes, partHeaderBytes + info.filterBytes)
  return Bun.hash.crc32(filter) === chunkOf(bytes).view.getUint32(at.filterCrc, true) ? filter : null
}

/** Decodes a whole part. Throws ArchiveError where its bytes are not those that were written. */
export function decodePart(info: PartInfo, bytes: Buffer): Part {
  const payload = bytes.subarray(partHeaderBytes + info.filterBytes)
  const digest = bytes.subarray(at.digest, at.digest + 32)
  if (!digest.equals(digestOf(payload))) throw damagedPart(info)
  const raw = Buffer.from(Bun.zstdDecompressSync(payload))
  if (raw.length !== info.rawBytes) throw damagedPart(info)
  const batchesAt = info.moments * 16
  const recordsAt = batchesAt + info.batches * 16
  return {
    ...info,
    moments: doublesOf(raw, 0, info.moments * 2),
    batches: doublesOf(raw, batchesAt, info.batches * 2),
    records: raw.subarray(recordsAt),
  }
}

function damagedPart({ path, offset, firstRevision, lastRevision }: PartInfo): ArchiveError {
  return new ArchiveError(
    `${path} is damaged at byte ${offset}: revisions ${firstRevision} to ${lastRevision} of the archive cannot be read`,
  )
}

function doublesOf(bytes: Buffer, from: number, count: number): Float64Array {
  // A copy, because doubles in an array must be aligned.
  return new Float64Array(Uint8Array.prototype.slice.call(bytes, from, from + count * 8).buffer)
}

export function partBytes({ filterBytes, payloadBytes }: PartInfo): number {
  return partHeaderBytes + filterBytes + payloadBytes
}

/** Joins adjacent parts into one. */
export function joinParts(parts: readonly Part[]): Part {
  const first = parts[0]!
  const last = parts.at(-1)!
  return {
    firstRevision: first.firstRevision,
    lastRevision: last.lastRevision,
    firstTimeMs: first.firstTimeMs,
    lastTimeMs: last.lastTimeMs,
    isBreak: first.isBreak,
    moments: joinDoubles(parts.map(({ moments }) => moments)),
    batches: joinDoubles(parts.map(({ batches }) => batches)),
    records: Buffer.concat(parts.map(({ records }) => records)),
  }
}

function joinDoubles(lists: readonly Float64Array[]): Float64Array {
  const joined = new Float64Array(lists.reduce((sum, { length }) => sum + length, 0))
  let end = 0
  for (const list of lists) {
    joined.set(list, end)
    end += list.length
  }
  return joined
}

/** Returns the records of a part as a segment of the log with a single frame, which the flusher can read. */
export function segmentOfPart({ records, firstRevision }: Part, storeId: string): Chunk {
  const from = segmentHeaderBytes + frameHeaderBytes
  const chunk = newChunk(from + records.length)
  encodeHeader(chunk, 1, firstRevision, storeId)
  chunk.bytes.set(records, from)
  encodeFrame(chunk, segmentHeaderBytes, chunk.bytes.length, 0, firstRevision)
  return chunk
}

/** The revision of the last moment at or before a time; null where the first is later. */
export function revisionAt({ moments }: Part, timeMs: number): number | null {
  let found: number | null = null
  for (let i = 0; i < moments.length; i += 2) {
    if (moments[i + 1]! > timeMs) break
    found = moments[i]!
  }
  return found
}

/** The time at which a revision of the part was committed. */
export function timeOfRevision({ moments, lastTimeMs }: Part, revision: number): number {
  for (let i = 0; i < moments.length; i += 2) if (moments[i]! >= revision) return moments[i + 1]!
  return lastTimeMs
}

/** The batch within which the store would be cut after a revision; null where it is the end of one. */
export function batchAround(
  { batches }: Part,
  revision: number,
): readonly [first: number, last: number] | null {
  for (let i = 0; i < batches.length; i += 2) {
    if (batches[i]! <= revision && revision < batches[i + 1]!) return [batches[i]!, batches[i + 1]!]
  }
  return null
}
