import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { openDataFolder } from '../engines/sqlite/data-folder.ts'
import { lockFolder } from '../engines/sqlite/lock.ts'
import { newHistory } from '../engines/sqlite/table/new-history.ts'
import { openForWriting, readMeta } from '../engines/sqlite/table/table.ts'
import { syncPath } from '../engines/sqlite/wal/log-files.ts'
import { type Manifest, RefusedBackup } from './format.ts'
import { type OnRead, unpackTables, verifyBackup } from './read-backup.ts'

/** Puts the store of a backup into a folder that is missing or empty, from which a server then serves it. */

export interface RestoreOptions {
  readonly onVerify?: OnRead
  /** Called when the backup is known to be whole. */
  readonly onVerified?: () => Promise<void>
  readonly onUnpack?: OnRead
  /** What is done with the folder before the tables get their name, such as replaying a log into its tables. */
  readonly complete?: (folder: string, manifest: Manifest) => void | Promise<void>
}

/** Thrown for a folder that a store is not restored to; the message says why in one line. */
class RefusedFolder extends Error {}

/**
 * Verifies a backup, then restores it. The tables get their name only when they are complete and on disk: a restore that is
 * killed leaves at most a folder `.restoring` in the target, which the next one replaces. The store gets a new store id,
 * so that files of the old store are not taken for its own; the node id stays. Throws RefusedBackup and RefusedFolder.
 */
export async function restoreBackup(
  path: string,
  folder: string,
  { onVerify, onVerified, onUnpack, complete = () => {} }: RestoreOptions = {},
): Promise<Manifest> {
  requireEmpty(folder)
  await verifyBackup(path, onVerify)
  await onVerified?.()
  const isNew = !existsSync(folder)
  openDataFolder(folder)
  const lock = lockFolder(folder)
  const part = join(folder, partName)
  let isDone = false
  try {
    requireEmpty(folder)
    rmSync(part, { recursive: true, force: true })
    mkdirSync(part, { mode: 0o700 })
    const dbPath = join(part, 'kvist.db')
    const manifest = await unpackTables(path, dbPath, onUnpack)
    requireStoreOf(manifest, path, dbPath)
    await complete(part, manifest)
    newHistory(dbPath)
    renameSync(dbPath, join(folder, 'kvist.db'))
    syncPath(folder)
    isDone = true
    return manifest
  } finally {
    rmSync(part, { recursive: true, force: true })
    lock.release()
    if (!isDone && isNew) rmSync(folder, { recursive: true, force: true })
  }
}

const partName = '.restoring'
/** What may be in a folder that counts as empty: an interrupted restore, and the folder that a new ext4 disk has. */
const allowedNames: ReadonlySet<string> = new Set([partName, 'lock', 'lost+found'])

function requireEmpty(folder: string): void {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ENOENT') return
    if (code === 'ENOTDIR')
      throw new RefusedFolder(`${folder} is no folder: a store is restored to a new one`)
    throw error
  }
  if (!names.every((name) => allowedNames.has(name)))
    throw new RefusedFolder(`${folder} is not empty: a store is restored to a new folder`)
}

/** The tables must be those that the manifest describes: digests alone do not say so. */
function requireStoreOf(manifest: Manifest, path: string, dbPath: string): void {
  using db = openForWriting(dbPath)
  const { storeId, nodeId, flushedRevision } = readMeta(db)
  const { store_id, node_id, revision } = manifest
  if (storeId !== store_id || nodeId !== node_id || flushedRevision !== revision)
    throw new RefusedBackup(`${path}: its tables are not those of its manifest`)
}
