import { renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KvistError } from '../../../core/errors.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import { collectGarbage } from '../../../runtime/garbage.ts'
import type { Memtable } from '../memtable/memtable.ts'
import { type Overlay, releaseReaders } from '../overlay.ts'
import type { Reserve } from '../reserve.ts'
import { makeFile } from '../wal/log-files.ts'
import type { Chunk } from '../wal/record.ts'
import { remainingJobMs } from '../write-stall.ts'
import type { Job, JobResult } from './flush-worker.ts'

/** A part of the log that is closed for writing and waits until the tables have it. */
export interface RotatedSegment {
  readonly number: number
  readonly path: string
  readonly lastRevision: number
  readonly memtable: Memtable
  /** Called when the tables have it, before its file is used again. */
  onFlushed(): void
}

export interface Flusher {
  /** Queues a rotated segment; its memtable stays in the overlay until the tables have what it says. */
  add(segment: RotatedSegment): void
  /** Nobody writes for now: starts on what waits, however little it is, and gives back what is not needed. */
  idle(): void
  /** Segments that wait or are being applied. */
  waiting(): number
  /** How long the job under way will take yet, by what the last ones took; 0 for none. */
  busyForMs(): number
  /** Resolves when something was applied, or failed to be. */
  progress(): Promise<void>
  /** Resolves when all that was added before is in the tables; rejects when applying fails. */
  drain(): Promise<void>
  /** Why the last try failed; null after one that did not. */
  failure(): KvistError | null
  /** Memory and a file of a segment that is done with, to be used again; or a file that was made ahead. */
  reuse(): Promise<{ chunk: Chunk | null; path: string | null }>
  /** Has a file for the next segment, so that nobody waits for it then. */
  makeAhead(): void
  /** Whether a file for the next segment is there. */
  hasFile(): boolean
  /** Lets go of the files for the next segments; false where there are none. */
  discardFiles(): Promise<boolean>
  /** The disk was full, and not everything that was added since is in the tables: the room there is, is needed for that. */
  isShortOfRoom(): boolean
  /** Has tombstones of before a time forgotten, `limit` at most; says how many (`forgetTombstones`). */
  forget(beforeMs: number, limit: number): Promise<number>
  snapshot(to: string): Promise<void>
  /** Looks through the tables beside all other work; what is wrong with them, or null. */
  check(): Promise<string | null>
  close(): Promise<void>
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
/** Of segments that are done with, this many files are kept for the next ones while there is work, and chunks of memory. */
const kept = segmentsPerJob

export interface FlusherOptions {
  readonly dbPath: string
  readonly overlay: Overlay
  readonly segmentBytes: number
  /** A job waits for so many segments, unless nobody writes. */
  readonly segmentsAwaited: number
  readonly reserve: Reserve
  readonly isMemoryScarce: boolean
}

export function startFlusher(options: FlusherOptions): Flusher {
  const { dbPath, overlay, segmentBytes, segmentsAwaited, reserve, isMemoryScarce } = options
  const cacheBytes = isMemoryScarce ? scarceCacheBytes : usualCacheBytes
  const rotated: RotatedSegment[] = []
  const chunks: Chunk[] = []
  const recycled: string[] = []
  let worker: Worker | undefined
  let running = false
  /** Callers that wait until all rotated segments are flushed: jobs are not put off then. */
  let awaited = 0
  let startedAtMs = 0
  let jobSegments = 0
  let segmentMs = firstSegmentMs
  const discarding = new Set<Promise<void>>()
  let making: Promise<void> | null = null
  let made = 0
  let closed = false
  let checking: Worker | null = null
  let failure: KvistError | null = null
  /** Of a job. On a full disk smaller and smaller ones are tried: their pages take less room for a time. */
  let maxRecords = Number.POSITIVE_INFINITY
  let isShortOfRoom = false
  let waiters: (() => void)[] = []

  /** The thread starts with the first work there is: an idle server does without it. */
  function runJob(on: Worker, job: Job): Promise<JobResult> {
    return new Promise((resolve) => {
      on.onmessage = (event: MessageEvent<JobResult>) => resolve(event.data)
      on.onerror = (event) => {
        // It has ended: the next job needs another.
        if (on === worker) worker = undefined
        resolve({ ok: false, full: false, detail: event.message })
      }
      on.postMessage(job)
    })
  }

  /** What a job writes is moved into the file after it, and only while that is done is the file not what it was. */
  async function runThenMove(on: Worker, job: Job): Promise<JobResult> {
    overlay.pages.jobBegins()
    const result = await runJob(on, job)
    overlay.pages.jobEnded(commitsOf(job, result))
    // What a job that found no room has written is cut away too.
    if (!result.ok && !result.full) return result
    overlay.pages.pause()
    const moved = await runJob(on, { do: 'checkpoint', dbPath })
    overlay.pages.resume()
    return moved.ok || !result.ok ? result : moved
  }

  async function kick(atLeast: number): Promise<void> {
    if (running || closed || rotated.length < atLeast) return
    running = true
    const batch = rotated.slice(0, segmentsPerJob)
    worker ??= newWorker(isMemoryScarce)
    const sources = batch.map(({ number, path, lastRevision, memtable }) => {
      return { number, path, lastRevision, memory: memtable.chunk.bytes.buffer }
    })
    startedAtMs = monotonicMs()
    jobSegments = batch.length
    const result = await runThenMove(worker, { do: 'flush', dbPath, sources, maxRecords, cacheBytes })
    const isRetried = !result.ok && result.full && (await makeRoom(batch))
    running = false
    jobSegments = 0
    if (result.ok) {
      failure = null
      if (batch.length === segmentsPerJob) segmentMs = (monotonicMs() - startedAtMs) / batch.length
      reserve.noteRoomInTables(result.freeBytes)
      finish(batch.filter(({ lastRevision }) => lastRevision <= result.revision))
      growJobs()
      kick(awaited > 0 || isShortOfRoom ? 1 : segmentsAwaited)
    } else if (isRetried) kick(1)
    else {
      failure = failureOf(result, 'the tables cannot be written')
      setTimeout(() => kick(1), retryMs).unref()
    }
    wakeAll()
  }

  /** Makes the next job smaller, and gives it the room that the reserve holds; false where neither can be done. */
  async function makeRoom(batch: readonly RotatedSegment[]): Promise<boolean> {
    isShortOfRoom = true
    const isMade = await freeRoom()
    if (maxRecords === 1) return isMade
    const records = batch.reduce((sum, { memtable }) => sum + memtable.offsets.length, 0)
    maxRecords = Math.max(1, Math.ceil(Math.min(maxRecords, records) / 4))
    return true
  }

  async function freeRoom(): Promise<boolean> {
    const isReleased = reserve.releaseTables()
    return (await discardFiles()) || isReleased
  }

  function growJobs(): void {
    if (rotated.length === 0) isShortOfRoom = false
    maxRecords = isShortOfRoom ? maxRecords * 2 : Number.POSITIVE_INFINITY
  }

  /** Whoever waits for one that is being made does not wait in vain: it is made, and then discarded. */
  async function discardFiles(): Promise<boolean> {
    await making
    const files = recycled.splice(0)
    for (const path of files) discard(path)
    await Promise.all(discarding)
    return files.length > 0
  }

  function wakeAll(): void {
    const woken = waiters
    waiters = []
    for (const wake of woken) wake()
  }

  async function forget(beforeMs: number, limit: number): Promise<number> {
    while (running) await progress()
    if (closed) throw new KvistError('closing', 'the server is stopping')
    running = true
    worker ??= newWorker(isMemoryScarce)
    const result = await runThenMove(worker, { do: 'forget', dbPath, beforeMs, limit })
    if (!result.ok && result.full) await freeRoom()
    running = false
    kick(awaited > 0 ? 1 : segmentsAwaited)
    wakeAll()
    if (!result.ok) throw failureOf(result, 'the tables cannot be written')
    return result.count
  }

  /** From here on the tables respond for these segments. A read transaction from before must not be used for that. */
  function finish(batch: readonly RotatedSegment[]): void {
    releaseReaders(overlay)
    for (const { memtable, path, onFlushed } of batch) {
      rotated.shift()
      onFlushed()
      overlay.tables.splice(overlay.tables.indexOf(memtable), 1)
      for (const name of memtable.collections.keys()) overlay.inTables.add(name)
      const isStandard = memtable.chunk.bytes.length === segmentBytes
      if (isStandard && chunks.length < kept) chunks.push(memtable.chunk)
      // While the flusher lacks room, that of a file is more use than the file.
      if (isStandard && (!isShortOfRoom || rotated.length === 0) && reserve.putBack(path)) continue
      const file = isStandard && recycled.length < kept && !isShortOfRoom ? retire(path) : null
      if (file === null) discard(path)
      else recycled.push(file)
    }
  }

  /**
   * Off the event loop: on a disk that discards freed blocks, removing 16 MiB took up to a second. A file that
   * stays is found at the next start.
   */
  function discard(path: string): void {
    const done = rm(path, { force: true })
      .catch(() => {})
      .finally(() => discarding.delete(done))
    discarding.add(done)
  }

  function makeAhead(): void {
    if (making !== null || recycled.length > 0 || closed || isShortOfRoom) return
    const path = join(dirname(dbPath), `spare-ahead-${++made}`)
    making = makeFile(path, segmentBytes)
      .then(() => {
        recycled.push(path)
      })
      // A caller that needs a file makes one then, and gets the error.
      .catch(() => {})
      .finally(() => {
        making = null
      })
  }

  function progress(): Promise<void> {
    return new Promise((resolve) => waiters.push(resolve))
  }

  return {
    add(segment) {
      rotated.push(segment)
      // JavaScriptCore lets garbage grow with all that is alive, the mapped file among it: a hundred megabytes more.
      collectGarbage()
      kick(segmentsAwaited)
    },
    idle() {
      kick(1)
      if (rotated.length > 0) return
      chunks.length = 0
      for (const path of recycled.splice(1)) discard(path)
    },
    waiting: () => rotated.length,
    busyForMs() {
      if (jobSegments === 0) return 0
      return remainingJobMs(jobSegments * segmentMs, monotonicMs() - startedAtMs)
    },
    progress,
    async drain() {
      const last = rotated.at(-1)
      awaited++
      try {
        kick(1)
        while (last !== undefined && rotated.includes(last)) {
          await progress()
          if (failure !== null && !running) throw failure
        }
      } finally {
        awaited--
      }
    },
    failure: () => failure,
    hasFile: () => recycled.length > 0,
    discardFiles,
    isShortOfRoom: () => isShortOfRoom,
    makeAhead,
    async reuse() {
      if (recycled.length === 0) await making
      return { chunk: chunks.pop() ?? null, path: recycled.pop() ?? null }
    },
    forget,
    async snapshot(to) {
      const own = newWorker(isMemoryScarce)
      const result = await runJob(own, { do: 'snapshot', dbPath, to })
      own.terminate()
      if (!result.ok) throw failureOf(result, 'the snapshot cannot be written')
    },
    async check() {
      const own = newWorker(isMemoryScarce)
      checking = own
      const result = await runJob(own, { do: 'check', dbPath })
      checking = null
      own.terminate()
      return result.ok ? null : result.detail
    },
    async close() {
      closed = true
      checking?.terminate()
      while (running) await progress()
      await making
      if (worker !== undefined) {
        const done = worker
        worker = undefined
        await runJob(done, { do: 'close' })
        done.terminate()
      }
      // A clean stop leaves no memory behind and keeps one file for the next start.
      for (const path of recycled.splice(1)) discard(path)
      // The next to open the store may give one of these names to a file of its own.
      await Promise.all(discarding)
    },
  }
}

/** Transactions of the tables that a job has committed; null when that is not known. */
function commitsOf(job: Job, result: JobResult): number | null {
  if (!result.ok) return null
  return job.do === 'forget' && result.count === 0 ? 0 : 1
}

function failureOf({ full, detail }: JobResult & { ok: false }, what: string): KvistError {
  if (full) return new KvistError('storage_full', 'the disk is full')
  return new KvistError('storage_failed', what, {}, detail)
}

/** A small heap is tidied up more often. */
function newWorker(isMemoryScarce: boolean): Worker {
  return new Worker(new URL('./flush-worker.ts', import.meta.url).href, { smol: isMemoryScarce })
}

/** Takes a segment out of the log by its name; null where its file is gone, with its folder say. */
function retire(path: string): string | null {
  const file = join(dirname(path), `spare-${path.slice(-8)}`)
  try {
    renameSync(path, file)
    return file
  } catch {
    return null
  }
}
