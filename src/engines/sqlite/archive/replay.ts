import { flushSegments } from '../flush/flush.ts'
import { openForWriting, readMeta } from '../table/table.ts'
import { readPartBytes } from './archive-files.ts'
import { ArchiveError, decodePart, segmentOfPart } from './part.ts'
import type { ArchivePath } from './timeline.ts'

/**
 * Brings the tables of a base backup to the revision of a route, with the code that flushes the log. The file must be
 * closed. Throws ArchiveError for a damaged part, or a base that is not that of the route.
 */
export function replay(
  dbPath: string,
  storeId: string,
  { base, parts, revision }: ArchivePath,
  onReplay: (parts: number, all: number) => void = () => {},
): void {
  using db = openForWriting(dbPath)
  const meta = readMeta(db)
  if (meta.storeId !== storeId) throw new ArchiveError(`${base.path} is of another store than its archive`)
  if (meta.flushedRevision !== base.revision) {
    throw new ArchiveError(`${base.path} holds revision ${meta.flushedRevision}, and states ${base.revision}`)
  }
  for (const [i, info] of parts.entries()) {
    const part = decodePart(info, readPartBytes(info))
    const chunk = segmentOfPart(part, storeId)
    const lastRevision = Math.min(part.lastRevision, revision)
    flushSegments(db, [{ number: 1, path: info.path, memory: chunk.bytes.buffer, lastRevision }])
    db.run('PRAGMA wal_checkpoint(TRUNCATE)')
    onReplay(i + 1, parts.length)
  }
}
