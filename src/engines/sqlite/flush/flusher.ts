import { dirname } from 'node:path'
import { KvistError } from '../../../core/errors.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import { garbageMeter } from '../../../runtime/garbage.ts'
import type { LogArchive } from '../archive/archiver.ts'
import { noteFlushed } from '../in-tables.ts'
import { isAscending, type Memtable } from '../memtable/memtable.ts'
import { type Overlay, releaseReaders } from '../overlay.ts'
import { type PinnedTables, pinBusy, TablePins } from '../pin/pin-tables.ts'
import type { Reserve } from '../reserve.ts'
import type { Chunk } from '../wal/record.ts'
import { remainingJobMs } from '../write-stall.ts'
import { garbageBytes } from './flush.ts'
import type { Job, JobResult } from './flush-worker.ts'
import { RecycledSegments } from './recycled-segments.ts'
import { endRests, noRests, type Rests } from './rests.ts'
import { TablesThread } from './tables-thread.ts'
import { commitsOf, type FailedJob, failureOf, newWorker, runJob } from './worker-jobs.ts'

/** A segment that is closed for writing and waits to be flushed. */
export interface RotatedSegment {
  readonly number: number
  readonly path: string
  readonly lastRevision: number
  readonly memtable: Memtable
  /** Called when the segment is in the tables, before its file is recycled. */
  onFlushed(): void
}

export interface FlusherOptions {
  readonly dbPath: string
  readonly overlay: Overlay
  readonly segmentBytes: number
  /** A flush starts when this many segments wait, or writers are idle. */
  readonly segmentsAwaited: number
  /** Writers wait while this many do. */
  readonly maxSegments: number
  readonly reserve: Reserve
  readonly isMemoryScarce: boolean
  /** Decides when the file of a flushed segment may be used again; null for at once. */
  readonly archive: LogArchive | null
}

const retryMs = 1000
/** SQLite's page cache during a flush, in bytes. */
const usualCacheBytes = 16_000_000
const scarceCacheBytes = 2_000_000
/**
 * The most segments that one job flushes, and the number that it waits for. Random keys touch nearly every page of a
 * table of a million members whether 100,000 rows are written or 400,000, so in larger jobs each row costs half (1.2 µs
 * of system time instead of 2.6), at the price of memory. A segment of ascending keys is flushed at once and alone: its
 * rows fill one page after the other, so a larger job would only begin late and have writers wait longer for its room.
 */
export const segmentsPerJob = 5
/** Assumed duration per segment before the first full job was timed. */
const firstSegmentMs = 500
/** The disk space, in segments, that saved pages of a backup and the log of SQLite leave to writers. */
const segmentsKeptFree = 16
const unlimited = Number.POSITIVE_INFINITY
/** Of the segments that writers may fill during a job, those that no rests are made for. */
const segmentsNotRestedFor = 2
/** The share of the time in which writers fill the others that a job may take. */
const shareOfRoom = 0.75
/** A job that lasts longer keeps memory for no gain. */
const mostRest = 1.5

/** Flushes rotated segments to the tables, in jobs of a worker thread: one job that writes at a time. */
export class Flusher {
  private readonly options: FlusherOptions
  private readonly recycled: RecycledSegments
  private readonly pins: TablePins
  private readonly tables: TablesThread
  /** Segments that are not in the tables yet, oldest first. */
  private readonly segments: RotatedSegment[] = []

  private checking: Worker | null = null
  private isRunning = false
  private isClosed = false
  /** The number of `drain` calls under way. */
  private drains = 0
  private waiters: (() => void)[] = []

  /** The flush under way: its number of segments, 0 for none, and its start. */
  private jobSegments = 0
  private startedAtMs = 0
  /** Work per segment in the last full job. */
  private segmentMs = firstSegmentMs
  /** The rests of the last flush, and when they were ended early. */
  private rests = noRests
  private hurriedAtMs: number | null = null
  /** When the last segment was added, and how long writers took to fill it. */
  private addedAtMs = 0
  private fillMs = 0

  private lastFailure: KvistError | null = null
  /** The most records of a job. On a full disk it is reduced: smaller jobs need less space at once. */
  private maxRecords = unlimited
  private lacksRoom = false
  private readonly garbage = garbageMeter(garbageBytes)

  constructor(options: FlusherOptions) {
    this.options = options
    this.recycled = new RecycledSegments(dirname(options.dbPath), options.segmentBytes, segmentsPerJob)
    const reservedBytes = segmentsKeptFree * options.segmentBytes
    this.pins = new TablePins(options.dbPath, reservedBytes)
    this.tables = new TablesThread({
      ...options,
      pages: options.overlay.pages,
      pins: this.pins,
      reservedBytes,
    })
  }

  /** Queues a rotated segment; its memtable stays in the overlay until it is flushed. */
  add(segment: RotatedSegment): void {
    this.segments.push(segment)
    const nowMs = monotonicMs()
    this.fillMs = nowMs - this.addedAtMs
    this.addedAtMs = nowMs
    // JavaScriptCore lets garbage grow in proportion to live memory, which includes the mapped file: 100 MB more.
    this.garbage.add(segment.memtable.chunk.bytes.length)
    this.flush(this.awaited())
  }

  /** Flushes any waiting segment, because writers are idle; with none waiting releases memory and room on the disk. */
  idle(): void {
    this.hurry()
    this.flush(1)
    if (this.segments.length > 0) return
    this.recycled.trim()
    if (this.tables.isLogKept && !this.isRunning && !this.isClosed)
      this.runAlone(() => this.tables.checkpoint(false))
  }

  /** The number of segments that wait or are being flushed. */
  waiting(): number {
    return this.segments.length
  }

  /** Estimated remaining work of the flush under way; 0 for none. */
  busyForMs(): number {
    if (this.jobSegments === 0) return 0
    const nowMs = monotonicMs()
    const withRestsMs = (this.hurriedAtMs ?? nowMs) - this.startedAtMs
    const withoutMs = nowMs - this.startedAtMs - withRestsMs
    return remainingJobMs(
      this.jobSegments * this.segmentMs,
      withRestsMs / (1 + this.rests.factor) + withoutMs,
    )
  }

  /** Has the flush under way go on without rests: somebody waits for it, or nobody minds. */
  hurry(): void {
    if (this.jobSegments === 0 || this.rests === noRests || this.hurriedAtMs !== null) return
    this.hurriedAtMs = monotonicMs()
    endRests(this.rests)
  }

  /** A job rests so that it takes most of the time that writers need to fill the room that is left. */
  private restsOf(batch: readonly RotatedSegment[]): Rests {
    const free = this.options.maxSegments - batch.length - segmentsNotRestedFor
    const workMs = batch.length * this.segmentMs
    const factor = Math.min((free * this.fillMs * shareOfRoom) / workMs - 1, mostRest)
    const isAwaited = this.drains > 0 || this.lacksRoom || isAscending(batch[0]!.memtable)
    return factor <= 0 || isAwaited ? noRests : { factor, hurry: new Int32Array(new SharedArrayBuffer(4)) }
  }

  /** Resolves at the end of the next job, successful or not. */
  progress(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve))
  }

  /** Resolves when all segments added before are in the tables; rejects when flushing fails. */
  async drain(): Promise<void> {
    const last = this.segments.at(-1)
    this.drains++
    this.hurry()
    try {
      this.flush(1)
      while (last !== undefined && this.segments.includes(last)) {
        await this.progress()
        if (this.lastFailure !== null && !this.isRunning) throw this.lastFailure
      }
    } finally {
      this.drains--
    }
  }

  /** The failure of the last flush; null after one that succeeded. */
  failure(): KvistError | null {
    return this.lastFailure
  }

  /** Hands recycled memory and a recycled or prepared file to the caller; each may be null. */
  reuse(): Promise<{ chunk: Chunk | null; path: string | null }> {
    return this.recycled.take()
  }

  /** Prepares a file for the next segment, so that writers do not wait for it. */
  makeAhead(): void {
    if (!this.isClosed && !this.lacksRoom) this.recycled.makeAhead()
  }

  /** Whether a file for the next segment exists. */
  hasFile(): boolean {
    return this.recycled.hasFile()
  }

  /** Removes the files for the next segments; false where there were none. */
  discardFiles(): Promise<boolean> {
    return this.recycled.discardFiles()
  }

  /** Whether a job found the disk full and segments still wait: they need the free space there is. */
  isShortOfRoom(): boolean {
    return this.lacksRoom
  }

  /** Deletes up to `limit` tombstones older than `beforeMs`, and returns how many (`forgetTombstones`). */
  async forget(beforeMs: number, limit: number): Promise<number> {
    const result = await this.runAlone(async () => {
      const found = await this.runThenMove({ do: 'forget', dbPath: this.options.dbPath, beforeMs, limit })
      if (!found.ok && found.full) await this.freeRoom()
      return found
    })
    if (!result.ok) throw failureOf(result, 'the tables cannot be written')
    return result.count
  }

  async snapshot(to: string): Promise<void> {
    const own = newWorker(this.options.isMemoryScarce)
    const result = await runJob(own, { do: 'snapshot', dbPath: this.options.dbPath, to })
    own.terminate()
    if (!result.ok) throw failureOf(result, 'the snapshot cannot be written')
  }

  /** Checks the tables in a thread of its own. Returns a description of the damage, or null. */
  async check(): Promise<string | null> {
    const own = newWorker(this.options.isMemoryScarce)
    this.checking = own
    const result = await runJob(own, { do: 'check', dbPath: this.options.dbPath })
    this.checking = null
    own.terminate()
    return result.ok ? null : result.detail
  }

  /**
   * Pins the tables as they are now, with all segments that were flushed; later jobs go on meanwhile. Throws `busy` while
   * they are pinned already.
   */
  async pin(): Promise<PinnedTables> {
    const result = await this.runAlone(() => this.runFacts())
    if (!result.ok) throw failureOf(result, `the backup cannot begin: ${result.detail}`)
    return result.pinned
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.hurry()
    this.pins.abort()
    this.checking?.terminate()
    while (this.isRunning) await this.progress()
    await this.tables.close()
    await this.recycled.close()
  }

  /** Closes the files that are kept open beside SQLite, whose connections must be closed before. */
  closeFiles(): void {
    this.pins.close()
    this.tables.closeFile()
  }

  /** Does work while no job runs, then has segments flushed that wait. */
  private async runAlone<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.isRunning) {
      this.hurry()
      await this.progress()
    }
    if (this.isClosed) throw new KvistError('closing', 'the server is stopping')
    this.isRunning = true
    try {
      return await work()
    } finally {
      this.isRunning = false
      this.flush(this.drains > 0 ? 1 : this.awaited())
      this.wakeAll()
    }
  }

  private async runFacts(): Promise<{ readonly ok: true; readonly pinned: PinnedTables } | FailedJob> {
    if (this.pins.pinned() !== null) throw pinBusy()
    const result = await this.tables.readFacts()
    return result.ok ? { ok: true, pinned: this.pins.begin(result.facts!) } : result
  }

  /** The number of segments that a job waits for. */
  private awaited(): number {
    const [first] = this.segments
    return first !== undefined && isAscending(first.memtable) ? 1 : this.options.segmentsAwaited
  }

  /** The segments of the next job. */
  private nextBatch(): readonly RotatedSegment[] {
    const [first] = this.segments
    const most = first !== undefined && isAscending(first.memtable) ? 1 : segmentsPerJob
    return this.segments.slice(0, most)
  }

  private async flush(atLeast: number): Promise<void> {
    if (this.isRunning || this.isClosed || this.segments.length < atLeast) return
    this.isRunning = true
    const batch = this.nextBatch()
    const sources = batch.map(({ number, path, lastRevision, memtable }) => {
      return { number, path, lastRevision, memory: memtable.chunk.bytes.buffer }
    })
    this.startedAtMs = monotonicMs()
    this.jobSegments = batch.length
    const { maxRecords } = this
    const { dbPath, isMemoryScarce } = this.options
    const cacheBytes = isMemoryScarce ? scarceCacheBytes : usualCacheBytes
    const rests = this.restsOf(batch)
    this.rests = rests
    this.hurriedAtMs = null
    const result = await this.runThenMove({ do: 'flush', dbPath, sources, maxRecords, cacheBytes, rests })
    // A small segment is archived while it is flushed, and its file can be used again. Others are not waited for.
    if (this.segments.length === batch.length) await this.options.archive?.settled()
    const isRetried = !result.ok && result.full && (await this.makeRoom(batch))
    this.isRunning = false
    this.jobSegments = 0
    if (result.ok) this.flushed(batch, result)
    else if (isRetried) this.flush(1)
    else this.retryLater(result)
    this.wakeAll()
  }

  /** Runs a job, then checkpoints its pages into the file; page reads are paused only while those are moved. */
  private async runThenMove(job: Job): Promise<JobResult> {
    const { pages } = this.options.overlay
    pages.jobBegins()
    const result = await this.tables.run(job)
    pages.jobEnded(commitsOf(job, result))
    // A checkpoint also truncates what a job wrote to the write-ahead log before it found the disk full.
    if (!result.ok && !result.full) return result
    const hasCommits = (commitsOf(job, result) ?? 0) > 0
    const isRested = result.ok && job.do === 'flush' && job.rests !== noRests
    const moved = await this.tables.checkpoint(hasCommits, isRested ? job.rests : null)
    if (!moved.ok || !result.ok) return result.ok ? moved : result
    return { ...result, restedMs: result.restedMs + moved.restedMs }
  }

  private flushed(
    batch: readonly RotatedSegment[],
    { revision, freeBytes, restedMs }: JobResult & { readonly ok: true },
  ): void {
    this.lastFailure = null
    if (batch.length === segmentsPerJob || isAscending(batch[0]!.memtable))
      this.segmentMs = (monotonicMs() - this.startedAtMs - restedMs) / batch.length
    this.options.reserve.noteRoomInTables(freeBytes)
    this.finish(batch.filter(({ lastRevision }) => lastRevision <= revision))
    if (this.segments.length === 0) this.lacksRoom = false
    this.maxRecords = this.lacksRoom ? this.maxRecords * 2 : unlimited
    this.flush(this.drains > 0 || this.lacksRoom ? 1 : this.awaited())
  }

  private retryLater(result: FailedJob): void {
    this.lastFailure = failureOf(result, 'the tables cannot be written')
    setTimeout(() => this.flush(1), retryMs).unref()
  }

  /** Frees the reserve's space and makes the next job smaller; false where neither is possible. */
  private async makeRoom(batch: readonly RotatedSegment[]): Promise<boolean> {
    this.lacksRoom = true
    const isMade = await this.freeRoom()
    if (this.maxRecords === 1) return isMade
    const records = batch.reduce((sum, { memtable }) => sum + memtable.offsets.length, 0)
    this.maxRecords = Math.max(1, Math.ceil(Math.min(this.maxRecords, records) / 4))
    return true
  }

  private async freeRoom(): Promise<boolean> {
    const isReleased = this.options.reserve.releaseTables()
    const isDropped = this.options.archive?.giveUpRoom() ?? false
    return (await this.discardFiles()) || isReleased || isDropped
  }

  /**
   * Removes flushed segments from the overlay; from here on reads find their records in the tables. The readers are
   * released first, because an older read transaction does not see them.
   */
  private finish(batch: readonly RotatedSegment[]): void {
    const { segments, recycled } = this
    const { overlay, archive } = this.options
    releaseReaders(overlay)
    for (const { memtable, path, onFlushed } of batch) {
      segments.shift()
      onFlushed()
      overlay.tables.splice(overlay.tables.indexOf(memtable), 1)
      noteFlushed(overlay, memtable)
      recycled.keepChunk(memtable.chunk)
      if (archive !== null && !archive.release(path)) continue
      if (!recycled.fits(memtable.chunk) || !this.keepFile(path)) recycled.discard(path)
    }
  }

  /** Keeps a segment's file for the reserve or for reuse; false where its space is needed more, or enough are kept. */
  private keepFile(path: string): boolean {
    if ((!this.lacksRoom || this.segments.length === 0) && this.options.reserve.putBack(path)) return true
    return !this.lacksRoom && this.recycled.keepFile(path)
  }

  private wakeAll(): void {
    const woken = this.waiters
    this.waiters = []
    for (const wake of woken) wake()
  }
}
