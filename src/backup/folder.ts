import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { syncPath } from '../engines/sqlite/wal/log-files.ts'
import type { Manifest } from './format.ts'
import { verifyBackup } from './read-backup.ts'

/** The backups in a folder, by their names. Other files in it are left alone. */

export interface StoredBackup {
  readonly path: string
  readonly takenAtMs: number
  readonly revision: number
  readonly bytes: number
}

/** Returns the name of a backup's file, such as `backup-2026-11-28T16-45-00.000Z-0000000000001234.kvist`. */
export function backupName({ taken_at, revision }: Pick<Manifest, 'taken_at' | 'revision'>): string {
  return `backup-${taken_at.replaceAll(':', '-')}-${String(revision).padStart(16, '0')}.kvist`
}

const namePattern = /^backup-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3}Z)-(\d{16})\.kvist$/
/** Backups that were never completed; only those of scheduled ones are removed. */
const partPattern = /^\.backup-.*\.kvist\.part$/

/** Lists the backups in a folder, oldest first. */
export function listBackups(folder: string): StoredBackup[] {
  return readdirSync(folder)
    .flatMap((name): StoredBackup[] => {
      const match = namePattern.exec(name)
      if (match === null) return []
      const [, day, hour, minute, second, revision] = match
      const path = join(folder, name)
      const bytes = statSync(path, { throwIfNoEntry: false })?.size
      if (bytes === undefined) return []
      const takenAtMs = Date.parse(`${day}T${hour}:${minute}:${second}`)
      return [{ path, takenAtMs, revision: Number(revision), bytes }]
    })
    .sort((a, b) => a.takenAtMs - b.takenAtMs || a.revision - b.revision)
}

/**
 * Deletes the oldest backups of a folder but `keep` of them. The newest is verified before: unless it is whole, nothing is
 * deleted, so that the last good one always stays. Returns the paths that were deleted.
 */
export async function pruneBackups(folder: string, keep: number): Promise<string[]> {
  const all = listBackups(folder)
  const old = all.slice(0, Math.max(0, all.length - keep)).map(({ path }) => path)
  if (old.length === 0) return []
  await verifyBackup(all.at(-1)!.path)
  for (const path of old) rmSync(path, { force: true })
  syncPath(folder)
  return old
}

/** Removes what a backup left that was killed. No backup may be under way to this folder. */
export function removeParts(folder: string): void {
  for (const name of readdirSync(folder))
    if (partPattern.test(name)) rmSync(join(folder, name), { force: true })
}
