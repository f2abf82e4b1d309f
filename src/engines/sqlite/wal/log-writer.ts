import { KvistError } from '../../../core/errors.ts'
import { type Histogram, observe } from '../../../core/histogram.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import type { LogArchive } from '../archive/archiver.ts'
import type { FolderGuard } from '../data-folder.ts'
import type { Flusher } from '../flush/flusher.ts'
import { type Memtable, memtable } from '../memtable/memtable.ts'
import type { Overlay } from '../overlay.ts'
import type { Reserve, ReserveSegment } from '../reserve.ts'
import {
  acceptFrame,
  createSegment,
  cutFrame,
  type Segment,
  segmentHeaderBytes,
  syncSegment,
  writeFrame,
} from './log.ts'
import { hasSpace, type LogDisk, newChunk } from './log-files.ts'
import type { Chunk } from './record.ts'

/**
 * Writes the log: one active segment, rotated when it is full or old, and the deferred syncs of relaxed commits. Two
 * invariants:
 *
 * - A frame counts only once `appendFrame` has resolved. After a failure its segment takes no further frame, so the
 *   next segment begins with the revision that failed.
 * - Nothing is written to a segment before everything in the earlier segments is on disk.
 */
export interface LogWriter {
  readonly options: LogWriterOptions
  active: ActiveSegment | null
  lastSegment: number
  /** Rotated segments that may have unsynced frames, oldest first; their files are open. */
  readonly unsynced: Segment[]
  /** The last run of `syncRelaxed`. */
  syncing: Promise<void>
}

/** The methods of the flusher that the log uses. */
export type LogFlusher = Pick<
  Flusher,
  | 'add'
  | 'idle'
  | 'waiting'
  | 'busyForMs'
  | 'progress'
  | 'hurry'
  | 'failure'
  | 'reuse'
  | 'hasFile'
  | 'discardFiles'
  | 'isShortOfRoom'
  | 'makeAhead'
>

export interface LogWriterOptions {
  readonly disk: LogDisk
  readonly dir: string
  readonly folder: FolderGuard
  readonly storeId: string
  readonly segmentBytes: number
  readonly overlay: Overlay
  readonly flusher: LogFlusher
  readonly reserve: Reserve
  readonly lastSegment: number
  readonly syncSeconds: Histogram
  readonly archive: LogArchive | null
}

export interface ActiveSegment {
  readonly segment: Segment
  readonly memtable: Memtable
  readonly openedAtMs: number
  /** The segment is in the file of the disk reserve: only commits that give room back are written to it. */
  readonly isReserve: boolean
}

/** The most segments in memory at once, the active one included: about 270 MB with their keys. */
export const maxSegments = 10
/** The same limit while the disk has less than `scarceSegments` segments free: rows take more room than records. */
const maxSegmentsOnScarceDisk = 3
const scarceSegments = 14
const maxSegmentRecords = 250_000
const maxRoomWaitMs = 30_000
/** A segment older than this is rotated even if it is written to continuously. */
const maxSegmentAgeMs = 10_000

export function openLogWriter(options: LogWriterOptions): LogWriter {
  return {
    options,
    active: null,
    lastSegment: options.lastSegment,
    unsynced: [],
    syncing: Promise.resolve(),
  }
}

/**
 * Returns an active segment with room for `bytes`, after a rotation if need be. Waits while the flusher is behind; throws
 * `busy` after 30 s without progress, and `storage_full`.
 */
export async function segmentWithRoom(
  log: LogWriter,
  bytes: number,
  lastRevision: number,
): Promise<ActiveSegment> {
  const { flusher, overlay, folder } = log.options
  if (log.active !== null && !log.active.isReserve) {
    if (!isFull(log.active, bytes)) return log.active
    rotate(log, lastRevision)
  }
  folder.check()
  if (flusher.isShortOfRoom()) throw diskFull()
  await roomForSegment(log.options)
  await ensureReserve(log)
  if (log.unsynced.length > 0 || log.active !== null) await syncRelaxed(log)
  const next = await openSegment(log, bytes, lastRevision)
  // A segment of the reserve stays active until its successor exists.
  rotate(log, lastRevision)
  log.active = next
  overlay.tables.push(next.memtable)
  return next
}

/** As `segmentWithRoom`, in the file of the disk reserve. */
export async function reserveSegmentWithRoom(
  log: LogWriter,
  bytes: number,
  lastRevision: number,
): Promise<ActiveSegment> {
  if (log.active !== null && !isFull(log.active, bytes)) return log.active
  rotate(log, lastRevision)
  if (log.unsynced.length > 0) await syncRelaxed(log)
  log.options.folder.check()
  log.active = await openReserveSegment(log, bytes, lastRevision)
  log.options.overlay.tables.push(log.active.memtable)
  return log.active
}

/** Recreates missing files of the disk reserve. Throws while the disk is full, or the flusher needs its free space. */
export async function ensureReserve({ options: { flusher, reserve } }: LogWriter): Promise<void> {
  if (flusher.isShortOfRoom()) throw diskFull()
  await reserve.ensure(() => flusher.discardFiles())
}

export function diskFull(cause?: unknown): KvistError {
  return new KvistError('storage_full', 'the disk is full', {}, cause)
}

function isFull({ segment, memtable, openedAtMs }: ActiveSegment, bytes: number): boolean {
  if (segment.end + bytes > segment.chunk.bytes.length) return true
  if (memtable.offsets.length === 0) return false
  return memtable.offsets.length >= maxSegmentRecords || monotonicMs() - openedAtMs > maxSegmentAgeMs
}

/** Whether another segment may be opened before the flusher has finished one. */
export function hasRoom({ dir, flusher, segmentBytes }: LogWriterOptions): boolean {
  const waiting = flusher.waiting()
  if (waiting < maxSegmentsOnScarceDisk) return true
  return waiting < maxSegments && hasSpace(dir, scarceSegments * segmentBytes)
}

async function roomForSegment(options: LogWriterOptions): Promise<void> {
  const { flusher } = options
  const giveUpAtMs = monotonicMs() + maxRoomWaitMs
  while (!hasRoom(options)) {
    flusher.idle()
    const failure = flusher.failure()
    if (failure !== null) throw failure
    if (monotonicMs() > giveUpAtMs) throw busy(flusher.waiting())
    await Promise.race([flusher.progress(), Bun.sleep(1000)])
  }
}

function busy(segmentsWaiting: number): KvistError {
  const waitedSeconds = maxRoomWaitMs / 1000
  return new KvistError(
    'busy',
    `writes come faster than the flusher moves them from the log to the tables: ${segmentsWaiting} segments of the log wait for it, and none was done in ${waitedSeconds} s`,
    { segments_waiting: segmentsWaiting, limit_segments: maxSegments, waited_seconds: waitedSeconds },
  )
}

async function openSegment(log: LogWriter, bytes: number, lastRevision: number): Promise<ActiveSegment> {
  const { segmentBytes, flusher } = log.options
  const size = Math.max(segmentBytes, segmentHeaderBytes + bytes)
  const isStandard = size === segmentBytes
  const recycled = isStandard ? await flusher.reuse() : { chunk: null, path: null }
  const active = await beginSegment(log, recycled.chunk ?? newChunk(size), recycled.path, lastRevision)
  if (isStandard) flusher.makeAhead()
  return active
}

async function openReserveSegment(
  log: LogWriter,
  bytes: number,
  lastRevision: number,
): Promise<ActiveSegment> {
  const { path, bytes: size } = await takeReserveSegment(log.options)
  if (segmentHeaderBytes + bytes > size) {
    log.options.reserve.putBack(path)
    throw diskFull()
  }
  return { ...(await beginSegment(log, newChunk(size), path, lastRevision)), isReserve: true }
}

/** Takes the reserve's segment file. While it is in use, waits until it is flushed; throws `storage_full` after 30 s. */
async function takeReserveSegment({ reserve, flusher }: LogWriterOptions): Promise<ReserveSegment> {
  const giveUpAtMs = monotonicMs() + maxRoomWaitMs
  for (;;) {
    const file = reserve.takeSegment()
    if (file !== null) return file
    // A new file must not take room that the flusher needs, so it is made only when no segment waits.
    if (flusher.waiting() === 0) await reserve.makeSegment()
    else if (flusher.failure() !== null || monotonicMs() > giveUpAtMs) throw diskFull()
    else {
      flusher.idle()
      await Promise.race([flusher.progress(), Bun.sleep(1000)])
    }
  }
}

async function beginSegment(
  log: LogWriter,
  chunk: Chunk,
  file: string | null,
  lastRevision: number,
): Promise<ActiveSegment> {
  const { disk, dir, storeId } = log.options
  const segment = await createSegment(disk, dir, log.lastSegment + 1, lastRevision + 1, storeId, chunk, file)
  log.lastSegment++
  log.options.archive?.begin(segment.path, lastRevision + 1)
  return { segment, memtable: memtable(chunk), openedAtMs: monotonicMs(), isReserve: false }
}

/**
 * Writes the staged records of the active segment as one frame, and syncs it if `isDurable`. On failure undoes the frame,
 * rotates the segment and rethrows.
 */
export async function appendFrame(
  log: LogWriter,
  { segment }: ActiveSegment,
  recordsEnd: number,
  isDurable: boolean,
  lastRevision: number,
): Promise<void> {
  try {
    writeFrame(segment, recordsEnd, lastRevision + 1)
    if (isDurable) await timedSync(log, segment, recordsEnd)
    log.options.folder.check()
    acceptFrame(segment, recordsEnd)
  } catch (error) {
    cutFrame(segment)
    rotate(log, lastRevision)
    throw error
  }
}

async function timedSync(log: LogWriter, segment: Segment, end: number): Promise<void> {
  const startedMs = monotonicMs()
  await syncSegment(segment, end)
  observe(log.options.syncSeconds, (monotonicMs() - startedMs) / 1000)
}

/** Closes the active segment for writing and queues it for the flusher; one without records is removed. */
export function rotate(log: LogWriter, lastRevision: number): void {
  if (log.active === null) return
  const { disk, overlay, flusher, reserve, archive } = log.options
  const { segment, memtable, isReserve } = log.active
  log.active = null
  const { number, path } = segment
  if (memtable.offsets.length === 0) {
    overlay.tables.splice(overlay.tables.indexOf(memtable), 1)
    disk.close(segment.fd)
    archive?.removed(path)
    if (!isReserve || !reserve.putBack(path)) disk.remove(path)
    return
  }
  log.unsynced.push(segment)
  archive?.rotated(path, lastRevision, segment.end)
  syncRelaxed(log).then(
    () => archive?.archiveUpTo(lastRevision),
    () => {},
  )
  const onFlushed = () => {
    segment.isFlushed = true
  }
  flusher.add({ number, path, lastRevision, memtable, onFlushed })
}

/**
 * Syncs the frames of relaxed commits, oldest segment first, and closes each rotated segment once it is synced. Rejects
 * when a sync fails; the next call retries it.
 */
export function syncRelaxed(log: LogWriter): Promise<void> {
  log.syncing = log.syncing.catch(() => {}).then(() => syncInOrder(log))
  return log.syncing
}

async function syncInOrder(log: LogWriter): Promise<void> {
  while (log.unsynced.length > 0) {
    const segment = log.unsynced[0]!
    if (isBehind(segment)) await timedSync(log, segment, segment.end)
    log.unsynced.shift()
    log.options.disk.close(segment.fd)
  }
  const active = log.active?.segment
  if (active !== undefined && isBehind(active)) await timedSync(log, active, active.end)
}

function isBehind({ syncedEnd, end, isFlushed }: Segment): boolean {
  return syncedEnd < end && !isFlushed
}

/** Rotates, tries once more to sync all segments, and closes their files. */
export async function closeLog(log: LogWriter, lastRevision: number): Promise<void> {
  rotate(log, lastRevision)
  await syncRelaxed(log).catch(() => {})
  for (const segment of log.unsynced.splice(0)) log.options.disk.close(segment.fd)
}
