import { dirname } from 'node:path'
import { KvistError } from '../../../core/errors.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import { collectGarbage } from '../../../runtime/garbage.ts'
import type { Memtable } from '../memtable/memtable.ts'
import { type Overlay, releaseReaders } from '../overlay.ts'
import type { Reserve } from '../reserve.ts'
import type { Chunk } from '../wal/record.ts'
import { remainingJobMs } from '../write-stall.ts'
import type { Job, JobResult } from './flush-worker.ts'
import { RecycledSegments } from './recycled-segments.ts'
import { commitsOf, type FailedJob, failureOf, newWorker, runJob } from './worker-jobs.ts'

/** A part of the log that is closed for writing and waits until the tables have it. */
export interface RotatedSegment {
  readonly number: number
  readonly path: string
  readonly lastRevision: number
  readonly memtable: Memtable
  /** Called when the tables have it, before its file is used again. */
  onFlushed(): void
}

export interface FlusherOptions {
  readonly dbPath: string
  readonly overlay: Overlay
  readonly segmentBytes: number
  /** A job waits for this many segments, unless writers are idle. */
  readonly segmentsAwaited: number
  readonly reserve: Reserve
  readonly isMemoryScarce: boolean
}

const retryMs = 1000
/** What SQLite holds in memory of the file while a job writes to it. */
const usualCacheBytes = 16_000_000
const scarceCacheBytes = 2_000_000
/**
 * A job waits for so many segments, and takes no more. Random keys touch nearly every page of a table of a million
 * members whether a hundred thousand rows are written or four: in larger jobs each row costs half (1.2 µs of system
 * time instead of 2.6), at the price of memory.
 */
export const segmentsPerJob = 5
/** What a segment may take while none was timed. */
const firstSegmentMs = 500
const unlimited = Number.POSITIVE_INFINITY

/** Brings rotated segments to the tables, in jobs of a thread. One job at a time, be it flushing or another that writes. */
export class Flusher {
  private readonly options: FlusherOptions
  private readonly recycled: RecycledSegments
  /** Segments that the tables do not have yet, the oldest first. */
  private readonly segments: RotatedSegment[] = []

  /** The thread starts with the first job there is: an idle server does without it. */
  private worker: Worker | undefined
  private checking: Worker | null = null
  private isRunning = false
  private isClosed = false
  /** How many wait for all that was added so far. */
  private drains = 0
  private waiters: (() => void)[] = []

  /** The job under way: how many segments it takes, and since when. */
  private jobSegments = 0
  private startedAtMs = 0
  /** What a segment took in the last full job. */
  private segmentMs = firstSegmentMs

  private lastFailure: KvistError | null = null
  /** Of a job. On a full disk smaller and smaller ones are tried: their pages take less room for a time. */
  private maxRecords = unlimited
  private lacksRoom = false

  constructor(options: FlusherOptions) {
    this.options = options
    this.recycled = new RecycledSegments(dirname(options.dbPath), options.segmentBytes, segmentsPerJob)
  }

  /** Queues a rotated segment; its memtable stays in the overlay until the tables have what it says. */
  add(segment: RotatedSegment): void {
    this.segments.push(segment)
    // JavaScriptCore lets garbage grow with all that is alive, the mapped file among it: a hundred megabytes more.
    collectGarbage()
    this.flush(this.options.segmentsAwaited)
  }

  /** Writers are idle: flushes what waits, however little it is, and releases files that are not needed. */
  idle(): void {
    this.flush(1)
    if (this.segments.length === 0) this.recycled.trim()
  }

  /** Segments that wait or are being flushed. */
  waiting(): number {
    return this.segments.length
  }

  /** How long the job under way will take yet, by what the last ones took; 0 for none. */
  busyForMs(): number {
    if (this.jobSegments === 0) return 0
    return remainingJobMs(this.jobSegments * this.segmentMs, monotonicMs() - this.startedAtMs)
  }

  /** Resolves when something was flushed, or failed to be. */
  progress(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve))
  }

  /** Resolves when all that was added before is in the tables; rejects when flushing fails. */
  async drain(): Promise<void> {
    const last = this.segments.at(-1)
    this.drains++
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

  /** Why the last try failed; null after one that did not. */
  failure(): KvistError | null {
    return this.lastFailure
  }

  /** Memory and a file of a segment that is done with, to be used again; or a file that was made ahead. */
  reuse(): Promise<{ chunk: Chunk | null; path: string | null }> {
    return this.recycled.take()
  }

  /** Prepares a file for the next segment, so that writers do not wait for it. */
  makeAhead(): void {
    if (!this.isClosed && !this.lacksRoom) this.recycled.makeAhead()
  }

  /** Whether a file for the next segment is there. */
  hasFile(): boolean {
    return this.recycled.hasFile()
  }

  /** Removes the files for the next segments; false where there are none. */
  discardFiles(): Promise<boolean> {
    return this.recycled.discardFiles()
  }

  /** The disk was full, and not everything that was added since is in the tables: the room there is, is needed for that. */
  isShortOfRoom(): boolean {
    return this.lacksRoom
  }

  /** Has tombstones of before a time forgotten, `limit` at most; says how many (`forgetTombstones`). */
  async forget(beforeMs: number, limit: number): Promise<number> {
    while (this.isRunning) await this.progress()
    if (this.isClosed) throw new KvistError('closing', 'the server is stopping')
    this.isRunning = true
    const result = await this.runThenMove({ do: 'forget', dbPath: this.options.dbPath, beforeMs, limit })
    if (!result.ok && result.full) await this.freeRoom()
    this.isRunning = false
    this.flush(this.drains > 0 ? 1 : this.options.segmentsAwaited)
    this.wakeAll()
    if (!result.ok) throw failureOf(result, 'the tables cannot be written')
    return result.count
  }

  async snapshot(to: string): Promise<void> {
    const own = newWorker(this.options.isMemoryScarce)
    const result = await runJob(own, { do: 'snapshot', dbPath: this.options.dbPath, to })
    own.terminate()
    if (!result.ok) throw failureOf(result, 'the snapshot cannot be written')
  }

  /** Looks through the tables beside all other work; what is wrong with them, or null. */
  async check(): Promise<string | null> {
    const own = newWorker(this.options.isMemoryScarce)
    this.checking = own
    const result = await runJob(own, { do: 'check', dbPath: this.options.dbPath })
    this.checking = null
    own.terminate()
    return result.ok ? null : result.detail
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.checking?.terminate()
    while (this.isRunning) await this.progress()
    if (this.worker !== undefined) {
      const done = this.worker
      this.worker = undefined
      await runJob(done, { do: 'close' })
      done.terminate()
    }
    await this.recycled.close()
  }

  private async flush(atLeast: number): Promise<void> {
    if (this.isRunning || this.isClosed || this.segments.length < atLeast) return
    this.isRunning = true
    const batch = this.segments.slice(0, segmentsPerJob)
    const sources = batch.map(({ number, path, lastRevision, memtable }) => {
      return { number, path, lastRevision, memory: memtable.chunk.bytes.buffer }
    })
    this.startedAtMs = monotonicMs()
    this.jobSegments = batch.length
    const { maxRecords } = this
    const { dbPath, isMemoryScarce } = this.options
    const cacheBytes = isMemoryScarce ? scarceCacheBytes : usualCacheBytes
    const result = await this.runThenMove({ do: 'flush', dbPath, sources, maxRecords, cacheBytes })
    const isRetried = !result.ok && result.full && (await this.makeRoom(batch))
    this.isRunning = false
    this.jobSegments = 0
    if (result.ok) this.flushed(batch, result.revision, result.freeBytes)
    else if (isRetried) this.flush(1)
    else this.retryLater(result)
    this.wakeAll()
  }

  /** What a job writes is moved into the file after it, and only while that is done is the file not what it was. */
  private async runThenMove(job: Job): Promise<JobResult> {
    const { pages } = this.options.overlay
    const worker = this.worker ?? newWorker(this.options.isMemoryScarce)
    this.worker = worker
    const run = (one: Job) =>
      runJob(worker, one, () => {
        // The next job needs another.
        if (worker === this.worker) this.worker = undefined
      })
    pages.jobBegins()
    const result = await run(job)
    pages.jobEnded(commitsOf(job, result))
    // What a job that found no room has written is cut away too.
    if (!result.ok && !result.full) return result
    pages.pause()
    const moved = await run({ do: 'checkpoint', dbPath: this.options.dbPath })
    pages.resume()
    return moved.ok || !result.ok ? result : moved
  }

  private flushed(batch: readonly RotatedSegment[], revision: number, freeBytes: number): void {
    this.lastFailure = null
    if (batch.length === segmentsPerJob) this.segmentMs = (monotonicMs() - this.startedAtMs) / batch.length
    this.options.reserve.noteRoomInTables(freeBytes)
    this.finish(batch.filter(({ lastRevision }) => lastRevision <= revision))
    if (this.segments.length === 0) this.lacksRoom = false
    this.maxRecords = this.lacksRoom ? this.maxRecords * 2 : unlimited
    this.flush(this.drains > 0 || this.lacksRoom ? 1 : this.options.segmentsAwaited)
  }

  private retryLater(result: FailedJob): void {
    this.lastFailure = failureOf(result, 'the tables cannot be written')
    setTimeout(() => this.flush(1), retryMs).unref()
  }

  /** Makes the next job smaller, and gives it the room that the reserve holds; false where neither can be done. */
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
    return (await this.discardFiles()) || isReleased
  }

  /** From here on the tables respond for these segments. A read transaction from before must not be used for that. */
  private finish(batch: readonly RotatedSegment[]): void {
    const { segments, recycled } = this
    const { overlay } = this.options
    releaseReaders(overlay)
    for (const { memtable, path, onFlushed } of batch) {
      segments.shift()
      onFlushed()
      overlay.tables.splice(overlay.tables.indexOf(memtable), 1)
      for (const name of memtable.collections.keys()) overlay.inTables.add(name)
      recycled.keepChunk(memtable.chunk)
      if (!recycled.fits(memtable.chunk) || !this.keepFile(path)) recycled.discard(path)
    }
  }

  /** While the flusher lacks room, that of a file is more use than the file. */
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
