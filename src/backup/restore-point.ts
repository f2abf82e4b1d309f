import { join } from 'node:path'
import type { Point } from '../core/archive.ts'
import { replay } from '../engines/sqlite/archive/replay.ts'
import { type ArchivePath, routeTo } from '../engines/sqlite/archive/timeline.ts'
import { timelineOf } from './archive-reads.ts'
import { restoreBackup } from './restore.ts'

/** Called with how many parts of the log are replayed so far, and how many there are. */
export type OnReplay = (parts: number, all: number) => void

/**
 * Restores the store of an archive into a folder as it was at a point in time, or with null as
 * new as there is; or leaves nothing there. Throws OutOfArchive
 * for a point that the archive does not have, and ArchiveError, RefusedBackup or RefusedFolder.
 */
export async function restorePoint(
  archive: string,
  point: Point | null,
  folder: string,
  onReplay?: OnReplay,
): Promise<Pick<ArchivePath, 'revision' | 'timeMs'>> {
  const timeline = timelineOf(archive)
  const route = routeTo(timeline, point)
  await restoreBackup(route.base.path, folder, {
    complete: (tables) => replay(join(tables, 'kvist.db'), timeline.storeId, route, onReplay),
  })
  return { revision: route.revision, timeMs: route.timeMs }
}
