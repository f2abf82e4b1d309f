import type { ArchiveNumbers } from '../../../core/archive.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import type { RevisionRange } from '../table/table.ts'
import {
  type ArchiveEnd,
  endOfArchive,
  type OpenPartFile,
  openArchiveFolder,
  removeTemporary,
  writeHead,
} from './archive-files.ts'
import type { AppendJob, ArchiveJob, ArchiveResult } from './archive-worker.ts'
import { type GroupNotes, groupNotes } from './group-notes.ts'
import { ArchiveError } from './part.ts'
import { type WaitingSegment, WaitingSegments } from './waiting-segments.ts'

/**
 * Copies the log into the archive, in a thread of its own. What is archived is on disk here, so the archive never has a
 * change that the store could lose.
 *
 * Segments are archived in their order. One that is flushed before it is archived stays in the data folder, under another
 * name, until it is (waiting-segments.ts). A failure is reported once and retried with every tick; only when too many
 * segments wait are the oldest dropped, which leaves a gap in the archive.
 */
export interface ArchiverOptions {
  /** The archive's folder. */
  readonly dir: string
  readonly dataDir: string
  readonly storeId: string
  /** The last revision of the store. */
  readonly lastRevision: number
  readonly lostRevisions: readonly RevisionRange[]
  /** The segments of an earlier run that may not be archived, in their order. */
  readonly sources: readonly WaitingSegment[]
  readonly warn: (line: string) => void
  readonly now: () => number
  readonly maxWaitingBytes?: number
  readonly maxWaitingSegments?: number
}

/** A file of the archive is closed, and its parts joined to one, when it has this many bytes of records, or parts. */
const fileBytes = 16 * 1024 * 1024
const fileParts = 1024
/** How many bytes and segments may wait in the data folder for an archive that cannot be written. */
const maxWaitingBytes = 1024 * 1024 * 1024
const maxWaitingSegments = 10_000
/** A job that takes longer counts as failing. */
const stuckMs = 60_000
const settleMs = 1000
/** How long a stop waits for the archive. */
const closeMs = 5000
/** An idle store notes in the archive once a minute that nothing was committed. */
const headEveryMs = 60_000

/** Opens the archive of a store. Throws ArchiveError, or an error of the system, when it cannot be used. */
export function openArchiver(options: ArchiverOptions): Archiver {
  openArchiveFolder(options.dir, options.storeId)
  removeTemporary(options.dir)
  const end = endOfArchive(options.dir, options.storeId)
  if (end !== null && end.lastRevision > options.lastRevision) {
    throw new ArchiveError(
      `${options.dir} has changes up to revision ${end.lastRevision}, and the store ends with ${options.lastRevision}: it is an older copy of the archived one; name another folder, or restore the store from the archive`,
    )
  }
  return new Archiver(options, end)
}

/** The methods that the log and the flusher use. */
export type LogArchive = Pick<
  Archiver,
  'begin' | 'note' | 'rotated' | 'removed' | 'archiveUpTo' | 'release' | 'settled' | 'giveUpRoom'
>

export class Archiver {
  readonly dir: string
  private readonly options: ArchiverOptions
  private readonly waiting: WaitingSegments
  private readonly notes: GroupNotes
  private worker: Worker | null = null
  /** The last archived revision, and the time of its moment. */
  private archived: number
  private lastTimeMs: number
  /** Up to this revision the store is on disk. */
  private durable: number
  private isBreak: boolean
  private file: OpenPartFile | null = null
  private partsInFile = 0
  private bytesInFile = 0
  /** The file of the last run, whose parts are joined first. */
  private unjoined: string | null
  private running: Promise<void> | null = null
  private isClosed = false
  private fault: string | null = null
  private failures = 0
  private droppedRevisions = 0
  private behindSinceMs: number | null = null
  private jobStartedMs: number | null = null
  private headAtMs = Number.NEGATIVE_INFINITY
  private headRevision = -1
  private gapListener: (() => void) | null = null
  private hasUnreportedGap = false

  constructor(options: ArchiverOptions, end: ArchiveEnd | null) {
    const { dir, dataDir, lastRevision, lostRevisions, sources } = options
    this.options = options
    this.dir = dir
    this.waiting = new WaitingSegments(dataDir, sources)
    this.archived = end?.lastRevision ?? (this.waiting.first()?.firstRevision ?? lastRevision + 1) - 1
    this.lastTimeMs = end?.lastTimeMs ?? 0
    this.unjoined = end !== null && end.parts > 1 ? end.path : null
    this.durable = lastRevision
    const last = this.archived
    // The archive has revisions that the store lost with damage of its log: what follows does not continue them.
    this.isBreak = end !== null && lostRevisions.some((range) => range.first <= last && last <= range.last)
    this.notes = groupNotes(lastRevision)
    if (this.archived < lastRevision) this.behindSinceMs = monotonicMs()
  }

  /** A segment of the log was begun. */
  begin(path: string, firstRevision: number): void {
    this.waiting.add({ path, firstRevision, lastRevision: null, bytes: 0, isKept: false })
  }

  /** A group of commits was written up to this revision; `batches` as in part.ts. */
  note(lastRevision: number, nowMs: number, batches: readonly number[]): void {
    this.notes.add(lastRevision, nowMs, batches)
    this.behindSinceMs ??= monotonicMs()
  }

  /** A segment takes no more records; `bytes` is where its last frame ends. */
  rotated(path: string, lastRevision: number, bytes: number): void {
    const source = this.waiting.of(path)
    if (source === undefined) return
    source.lastRevision = lastRevision
    source.bytes = bytes
  }

  /** A segment without records was removed. */
  removed(path: string): void {
    this.waiting.remove(path)
  }

  /** All up to a revision is on disk: archives it. Resolves at the end of the attempt, successful or not. */
  archiveUpTo(revision: number): Promise<void> {
    if (revision > this.durable) this.durable = revision
    this.running ??= this.run().finally(() => {
      this.running = null
    })
    return this.running
  }

  /**
   * Whether the file of a flushed segment may be used again. If not, its file was given another name, and stays until it
   * is archived.
   */
  release(path: string): boolean {
    const source = this.waiting.of(path)
    if (source === undefined) return true
    if (source.lastRevision !== null && source.lastRevision <= this.archived) {
      this.waiting.remove(path)
      return true
    }
    if (!this.waiting.keep(source)) return true
    // Flushed revisions are on disk in the tables.
    void this.archiveUpTo(source.lastRevision ?? this.durable)
    this.dropBeyondLimits()
    return false
  }

  /** Drops what waits for an archive that cannot be written, because the disk of the store is full; false for nothing. */
  giveUpRoom(): boolean {
    return this.isFailing() && this.drop(0, 0)
  }

  /** Calls `listener` whenever the archive lacks revisions: what comes after them needs a base backup. */
  onGap(listener: () => void): void {
    this.gapListener = listener
    if (this.hasUnreportedGap) this.reportGap()
  }

  private reportGap(): void {
    this.hasUnreportedGap = this.gapListener === null
    this.gapListener?.()
  }

  numbers(): ArchiveNumbers {
    const { behindSinceMs } = this
    return {
      archivedRevision: this.archived,
      lagSeconds: behindSinceMs === null ? 0 : (monotonicMs() - behindSinceMs) / 1000,
      waitingSegments: this.waiting.keptSegments(),
      waitingBytes: this.waiting.keptBytes(),
      failures: this.failures,
      droppedRevisions: this.droppedRevisions,
      isFailing: this.isFailing(),
    }
  }

  /** Whether the last attempt failed, or one does not end, as with a network disk that is gone. */
  isFailing(): boolean {
    const { jobStartedMs } = this
    return this.fault !== null || (jobStartedMs !== null && monotonicMs() - jobStartedMs > stuckMs)
  }

  /** Resolves when the attempt under way has ended; at once where the archive fails, and after a second at the latest. */
  async settled(): Promise<void> {
    if (this.running !== null && !this.isFailing()) await endedWithin(settleMs, this.running)
  }

  /** Archives the rest, and ends the thread. What the archive does not take in five seconds waits for the next start. */
  async close(lastRevision: number): Promise<void> {
    await endedWithin(closeMs, this.archiveAll(lastRevision))
    this.isClosed = true
    this.worker?.terminate()
  }

  /** As `archiveUpTo`, after an attempt under way: that may have passed the point at which it would see the revision. */
  async archiveAll(lastRevision: number): Promise<void> {
    await this.running
    await this.archiveUpTo(lastRevision)
  }

  private async run(): Promise<void> {
    if (this.unjoined !== null) {
      const path = this.unjoined
      this.unjoined = null
      await this.job({ do: 'join', path, storeId: this.options.storeId })
    }
    for (let source = this.waiting.first(); source !== undefined; source = this.waiting.first()) {
      if (this.isClosed) return
      const last = Math.min(source.lastRevision ?? Number.POSITIVE_INFINITY, this.durable)
      if (last > this.archived && !(await this.append(source, last))) return
      if (source.lastRevision === null || source.lastRevision > this.archived) break
      this.waiting.archived(source)
    }
    this.noteHead()
  }

  private async append(source: WaitingSegment, lastRevision: number): Promise<boolean> {
    const { path } = source
    const result = await this.job(this.appendJob(path, lastRevision))
    if (result.ok) {
      await this.appended(result, lastRevision)
      return true
    }
    // The segment was flushed meanwhile, and its file renamed.
    if (source.path !== path) return this.append(source, lastRevision)
    // The dropped segment is not missed.
    if (this.waiting.first() !== source) return true
    this.failed(result.detail)
    return false
  }

  private appendJob(path: string, lastRevision: number): AppendJob {
    const { dir, storeId } = this.options
    return {
      do: 'append',
      dir,
      storeId,
      path,
      after: this.archived,
      lastRevision,
      ...this.notes.upTo(lastRevision),
      lastTimeMs: this.lastTimeMs,
      isBreak: this.isBreak,
      file: this.file,
    }
  }

  private async appended(
    { head, file, rawBytes }: ArchiveResult & { readonly ok: true },
    lastRevision: number,
  ): Promise<void> {
    const isGap = head.isBreak || head.firstRevision > this.archived + 1
    this.archived = lastRevision
    this.lastTimeMs = head.lastTimeMs
    this.isBreak = false
    this.notes.forget(lastRevision)
    this.behindSinceMs = this.notes.lastRevision() > lastRevision ? monotonicMs() : null
    this.file = file
    this.partsInFile++
    this.bytesInFile += rawBytes
    if (this.fault !== null) this.options.warn(`the archive ${this.dir} is written again`)
    this.fault = null
    if (isGap) this.reportGap()
    if (this.bytesInFile >= fileBytes || this.partsInFile >= fileParts) await this.closeFile(file.path)
  }

  private async closeFile(path: string): Promise<void> {
    const isOnePart = this.partsInFile === 1
    this.file = null
    this.partsInFile = 0
    this.bytesInFile = 0
    // Without room for it the parts stay as they are, which only takes more bytes.
    if (!isOnePart) await this.job({ do: 'join', path, storeId: this.options.storeId })
  }

  private failed(detail: string): void {
    this.failures++
    // An incomplete part may be at the end of the file: the next attempt begins another one.
    this.file = null
    this.partsInFile = 0
    this.bytesInFile = 0
    if (this.fault === null && !this.isClosed) {
      this.options.warn(
        `the archive ${this.dir} cannot be written: ${detail}; the log waits in the data folder, and is dropped beyond ${this.maxBytes() / 2 ** 20} MiB`,
      )
    }
    this.fault = detail
    this.dropBeyondLimits()
  }

  private maxBytes(): number {
    return this.options.maxWaitingBytes ?? maxWaitingBytes
  }

  private dropBeyondLimits(): void {
    this.drop(this.maxBytes(), this.options.maxWaitingSegments ?? maxWaitingSegments)
  }

  private drop(maxBytes: number, maxSegments: number): boolean {
    const range = this.waiting.dropBeyond(maxBytes, maxSegments, this.running !== null)
    if (range === null) return false
    this.droppedRevisions += range.last - range.first + 1
    this.options.warn(
      `revisions ${range.first} to ${range.last} are dropped, and missing from the archive ${this.dir}: its folder could not be written for too long`,
    )
    return true
  }

  /** Notes in the archive that nothing was committed since its last part. */
  private noteHead(): void {
    if (this.notes.lastRevision() > this.archived || this.archived < this.durable) return
    if (this.headRevision === this.archived && monotonicMs() - this.headAtMs < headEveryMs) return
    try {
      writeHead(this.dir, { revision: this.archived, timeMs: this.options.now() })
      this.headRevision = this.archived
      this.headAtMs = monotonicMs()
    } catch {
      // The next part, or the next minute, will show whether the folder can be written.
    }
  }

  private job(job: ArchiveJob): Promise<ArchiveResult> {
    this.worker ??= new Worker(new URL('./archive-worker.ts', import.meta.url).href)
    const worker = this.worker
    this.jobStartedMs = monotonicMs()
    return new Promise<ArchiveResult>((resolve) => {
      worker.onmessage = (event: MessageEvent<ArchiveResult>) => resolve(event.data)
      worker.onerror = (event) => {
        // The thread has ended: the next job starts another.
        if (worker === this.worker) this.worker = null
        resolve({ ok: false, code: '', detail: event.message })
      }
      worker.postMessage(job)
    }).finally(() => {
      this.jobStartedMs = null
    })
  }
}

/** Resolves when the work has ended, or after a time. */
async function endedWithin(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const isLate = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, isLate])
  // A timer that is left would keep the process alive.
  clearTimeout(timer)
}
