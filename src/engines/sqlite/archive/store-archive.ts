import type { ArchiveNumbers } from '../../../core/archive.ts'
import type { Committer } from '../committer.ts'
import type { Meta } from '../table/table.ts'
import type { LoadedSegment } from '../wal/log-reader.ts'
import { type Archiver, openArchiver } from './archiver.ts'
import { hasKept, type WaitingSegment } from './waiting-segments.ts'

/** The archive as a part of the engine. */
export interface ArchiveOptions {
  readonly dir: string
  /** How often what was committed is archived, in milliseconds. */
  readonly everyMs: number
  /** The time of the store. */
  readonly now: () => number
  readonly maxWaitingBytes?: number
  readonly maxWaitingSegments?: number
}

/** The archive of an open store. */
export interface StoreArchive {
  readonly dir: string
  readonly storeId: string
  /** Archives all commits up to now. Resolves with the time up to which the archive is complete; null where that failed. */
  sync(): Promise<number | null>
  numbers(): ArchiveNumbers
  /** See `Archiver.onGap`. */
  onGap(listener: () => void): void
}

interface StoreOptions {
  readonly dir: string
  readonly archive?: ArchiveOptions | null
  readonly warn?: (line: string) => void
}

interface LogTail {
  readonly segments: readonly LoadedSegment[]
  readonly lastRevision: number
}

/** Opens the archive with the segments of the log that it may lack; null without one. */
export function archiverOf(options: StoreOptions, meta: Meta, log: LogTail): Archiver | null {
  const { dir, archive = null, warn = () => {} } = options
  if (archive === null) {
    if (hasKept(dir))
      warn(`${dir} has segments that wait for an archive: start with --archive, or remove unarchived-…`)
    return null
  }
  return openArchiver({
    ...archive,
    dataDir: dir,
    storeId: meta.storeId,
    lastRevision: log.lastRevision,
    lostRevisions: meta.lostRevisions,
    sources: sourcesOf(log),
    warn,
  })
}

/** The segments of the log, also those whose records are in the tables. */
function sourcesOf({ segments, lastRevision }: LogTail): WaitingSegment[] {
  return segments.flatMap(({ path, firstRevision, runs }, i) => {
    const run = runs.at(-1)
    if (run === undefined) return []
    const next = segments[i + 1]?.firstRevision ?? lastRevision + 1
    const last = Math.min(run.lastRevision, next - 1)
    if (last < firstRevision) return []
    return [{ path, firstRevision, lastRevision: last, bytes: run.end, isKept: false }]
  })
}

export interface RunningArchive extends StoreArchive {
  close(): Promise<void>
}

/** Archives what is committed, again and again. */
export function startArchive(
  archiver: Archiver,
  committer: Committer,
  { everyMs, now }: ArchiveOptions,
  storeId: string,
): RunningArchive {
  async function sync(): Promise<number | null> {
    const nowMs = now()
    const revision = await committer.sync().catch(() => null)
    if (revision === null) return null
    await archiver.archiveAll(revision)
    return archiver.numbers().archivedRevision >= revision ? nowMs : null
  }
  const timer = setInterval(sync, everyMs)
  timer.unref()
  void archiver.archiveUpTo(0)
  return {
    dir: archiver.dir,
    storeId,
    sync,
    numbers: () => archiver.numbers(),
    onGap: (listener) => archiver.onGap(listener),
    close() {
      clearInterval(timer)
      return archiver.close(committer.lastRevision())
    },
  }
}
