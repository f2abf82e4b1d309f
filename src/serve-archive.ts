import { type ArchiveReader, archiveReader } from './backup/archive-reader.ts'
import { listBackups } from './backup/folder.ts'
import type { Timers } from './core/timers.ts'
import { pruneParts } from './engines/sqlite/archive/archive-files.ts'
import type { StoreArchive } from './engines/sqlite/archive/store-archive.ts'

/** The archive of a server: what clients read of it, and how old parts of the log leave it. */
export interface ServerArchive {
  readonly reads: ArchiveReader
  stop(): void
}

/** How often parts that no base backup needs are looked for. */
const pruneEveryMs = 60_000

interface ArchiveParts {
  readonly timers: Timers
  readonly onError: (error: unknown) => void
  /** The archive lacks changes, and needs a base backup for what comes after them. */
  readonly onGap: () => void
}

/** Returns the archive of a store; null for a store without one. */
export function serverArchive(
  archive: StoreArchive | null,
  { timers, onError, onGap }: ArchiveParts,
): ServerArchive | null {
  if (archive === null) return null
  const { dir, sync } = archive
  archive.onGap(onGap)
  const reads = archiveReader(dir, sync)
  let stopTimer = timers.after(pruneEveryMs, prune)

  function prune(): void {
    try {
      const [oldest] = listBackups(dir)
      if (oldest !== undefined) pruneParts(dir, oldest.revision)
    } catch (error) {
      // A folder that is gone is reported by the archiver, which needs it more.
      if (!(error instanceof Error && 'code' in error)) onError(error)
    }
    stopTimer = timers.after(pruneEveryMs, prune)
  }

  return {
    reads,
    stop() {
      stopTimer()
      reads.close()
    },
  }
}
