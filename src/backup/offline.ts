import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openSqlite, type SqliteEngine } from '../engines/sqlite/engine.ts'
import { RefusedFile } from '../engines/sqlite/table/table.ts'
import { type Backup, takeBackup } from './take-backup.ts'

/** Opens the store in a folder that no server has open, takes a backup, and closes it again. Throws RefusedFile. */
export async function withOfflineBackup<Result>(
  folder: string,
  source: { readonly now: () => number; readonly version: string; readonly warn: (line: string) => void },
  work: (backup: Backup) => Promise<Result>,
): Promise<Result> {
  if (!existsSync(join(folder, 'kvist.db'))) throw new RefusedFile(`there is no store in ${folder}`)
  const engine = await openFolder(folder, source.warn)
  try {
    const backup = await takeBackup({ pin: engine.pin, ...source })
    try {
      return await work(backup)
    } finally {
      backup.stop()
    }
  } finally {
    await engine.close()
  }
}

/** Opens a store for a program that is no server. */
export function openFolder(dir: string, warn: (line: string) => void = () => {}): Promise<SqliteEngine> {
  return openSqlite({ dir, durability: 'full', onCommit() {}, warn })
}
