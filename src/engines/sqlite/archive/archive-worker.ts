import { stampToMs } from '../../../core/clock.ts'
import { loadChunk, readHeader, readSegment } from '../wal/log-reader.ts'
import { type Chunk, recordClock, recordEnd, recordPosition } from '../wal/record.ts'
import {
  appendPart,
  createPartFile,
  type OpenPartFile,
  readPartBytes,
  readPartHeaders,
  replaceParts,
} from './archive-files.ts'
import { decodePart, encodePart, joinParts, type Part, type PartHead } from './part.ts'

/**
 * The thread that writes the archive: it reads segments of the log, compresses them and writes them, so that writers never
 * wait for it. It runs one job at a time.
 */
declare const self: Worker

export type ArchiveJob = AppendJob | { readonly do: 'join'; readonly path: string; readonly storeId: string }

export interface AppendJob {
  readonly do: 'append'
  readonly dir: string
  readonly storeId: string
  /** The segment of the log. */
  readonly path: string
  /** The revisions to append: those after `after`, up to `lastRevision`. */
  readonly after: number
  readonly lastRevision: number
  /** Moments and batches (part.ts) of the revisions after `notedAfter`; those of earlier ones are made from the records. */
  readonly notedAfter: number
  readonly moments: Float64Array
  readonly batches: Float64Array
  /** The time of the last moment in the archive. */
  readonly lastTimeMs: number
  readonly isBreak: boolean
  /** The file to append to; null for a new one. */
  readonly file: OpenPartFile | null
}

export type ArchiveResult =
  | { readonly ok: true; readonly head: PartHead; readonly file: OpenPartFile; readonly rawBytes: number }
  | { readonly ok: false; readonly code: string; readonly detail: string }

function run(job: ArchiveJob): ArchiveResult {
  try {
    return job.do === 'append' ? append(job) : joinFile(job.path, job.storeId)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    return { ok: false, code, detail: error instanceof Error ? error.message : String(error) }
  }
}

function append(job: AppendJob): ArchiveResult {
  const part = partOf(job)
  const bytes = encodePart(part, job.storeId)
  const { firstRevision, lastRevision, firstTimeMs, lastTimeMs, isBreak, records } = part
  const file = job.file === null ? createPartFile(job.dir, firstRevision, bytes) : appendPart(job.file, bytes)
  const head = { firstRevision, lastRevision, firstTimeMs, lastTimeMs, isBreak }
  return { ok: true, head, file, rawBytes: records.length }
}

/** Writes the parts of a file as a single one, which compresses better and has one key filter. */
function joinFile(path: string, storeId: string): ArchiveResult {
  const parts = readPartHeaders(path, storeId).parts.map((info) => decodePart(info, readPartBytes(info)))
  const isWhole = parts.every((part, i) => i === 0 || part.firstRevision === parts[i - 1]!.lastRevision + 1)
  if (!isWhole) throw new Error(`${path} lacks revisions`)
  const joined = joinParts(parts)
  const bytes = encodePart(joined, storeId)
  replaceParts(path, bytes)
  return { ok: true, head: joined, file: { path, bytes: bytes.length }, rawBytes: joined.records.length }
}

/** Reads the records of a job from its segment. Throws where one is missing. */
function partOf(job: AppendJob): Part {
  const { path, storeId, after, lastRevision } = job
  const info = { number: 0, path }
  const chunk = loadChunk(info)
  const header = readHeader(info, chunk, storeId)
  if (header.is !== 'whole') throw new Error(`${path} has no header`)
  const { records: offsets } = readSegment(info, chunk, header)
  const due = offsets.filter((at) => {
    const position = recordPosition(chunk, at)
    return position > after && position <= lastRevision
  })
  const first = due[0]
  const firstRevision = first === undefined ? after + 1 : recordPosition(chunk, first)
  if (first === undefined || due.length !== lastRevision - firstRevision + 1) {
    throw new Error(`${path} lacks revisions between ${firstRevision} and ${lastRevision}`)
  }
  const { moments, batches } = notesOf(job, chunk, due)
  return {
    firstRevision,
    lastRevision,
    firstTimeMs: moments[1]!,
    lastTimeMs: moments.at(-1)!,
    isBreak: job.isBreak,
    moments: Float64Array.from(moments),
    batches: Float64Array.from(batches),
    records: bytesOf(chunk, due),
  }
}

/** Copies the records, the adjacent ones of each frame at once. */
function bytesOf(chunk: Chunk, offsets: readonly number[]): Buffer {
  const runs: Uint8Array[] = []
  let start = offsets[0]!
  let end = start
  for (const at of offsets) {
    if (at !== end) {
      runs.push(chunk.bytes.subarray(start, end))
      start = at
    }
    end = recordEnd(chunk, at)
  }
  runs.push(chunk.bytes.subarray(start, end))
  return Buffer.concat(runs)
}

/**
 * The moments and batches of the records. Those that the server did not note, because it was killed before they were
 * archived, are made from the stamps of the records, and each frame counts as a batch: it may hold one.
 */
function notesOf(
  { notedAfter, moments: notedMoments, batches: notedBatches, lastTimeMs }: AppendJob,
  chunk: Chunk,
  offsets: readonly number[],
): { readonly moments: number[]; readonly batches: number[] } {
  const moments: number[] = []
  const batches: number[] = []
  let timeMs = lastTimeMs
  for (let i = 0; i < offsets.length && recordPosition(chunk, offsets[i]!) <= notedAfter; ) {
    const first = recordPosition(chunk, offsets[i]!)
    let last = first
    let end = offsets[i]!
    for (; i < offsets.length && offsets[i] === end; i++) {
      last = recordPosition(chunk, offsets[i]!)
      timeMs = Math.max(timeMs, stampToMs(recordClock(chunk, offsets[i]!)))
      end = recordEnd(chunk, offsets[i]!)
    }
    moments.push(last, timeMs)
    if (last > first) batches.push(first, last)
  }
  // Notes of what was dropped before this segment could be archived are of no use.
  const firstRevision = recordPosition(chunk, offsets[0]!)
  for (let i = 0; i < notedMoments.length; i += 2) {
    if (notedMoments[i]! < firstRevision) continue
    timeMs = Math.max(timeMs, notedMoments[i + 1]!)
    moments.push(notedMoments[i]!, timeMs)
  }
  for (let i = 0; i < notedBatches.length; i += 2) {
    if (notedBatches[i]! >= firstRevision) batches.push(notedBatches[i]!, notedBatches[i + 1]!)
  }
  return { moments, batches }
}

self.onmessage = (event: MessageEvent<ArchiveJob>) => {
  self.postMessage(run(event.data))
}
