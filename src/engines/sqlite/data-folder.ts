import { accessSync, chmodSync, constants, type Mode, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { KvistError } from '../../core/errors.ts'
import { RefusedFile } from './table/table.ts'
import { syncFolder } from './wal/log-files.ts'

/** The folder that a store is in: made, checked, and closed to everybody but its owner. */

const folderMode: Mode = 0o700
const fileMode: Mode = 0o600
const othersBits = 0o077
const ownFiles = /^(kvist\.db(-wal|-shm)?|lock|(log|spare|reserve|damaged)-.*)$/

/**
 * Makes the folder where it is missing. Throws RefusedFile with one line when it cannot be used. Files made in it get the
 * mode that the umask of the process leaves (serve.ts).
 */
export function openDataFolder(dir: string): void {
  try {
    makeFolder(dir)
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new RefusedFile(`--data ${dir} ${folderFault(codeOf(error))}`, { cause: error })
  }
}

/** A power loss that takes away the folder would take with it all that was made safe inside, so its parents are synced. */
function makeFolder(dir: string): void {
  const first = mkdirSync(dir, { recursive: true, mode: folderMode })
  if (first === undefined) return
  const above = dirname(resolve(first))
  for (let at = resolve(dir); at !== above; at = dirname(at)) syncFolder(dirname(at))
}

function folderFault(code: string): string {
  if (code === 'ENOTDIR') return 'has a file in its path: name another folder'
  if (code === 'EEXIST') return 'is a file: name a folder'
  if (code === 'EROFS') return 'is on a disk that can only be read'
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be written to by this user'
  return `cannot be used: ${code}`
}

/** Takes away what users beside the owner may do with the folder and the files of a store in it. */
export function closeToOthers(dir: string, warn: (line: string) => void): void {
  try {
    const files = readdirSync(dir).filter((name) => ownFiles.test(name))
    const closed = files.map((name) => closePath(join(dir, name), fileMode))
    if (!closePath(dir, folderMode) && !closed.includes(true)) return
    warn(`${dir} was open to other users: from now on it and its files are for their owner only`)
  } catch (error) {
    warn(`${dir} is open to other users, and that cannot be changed: ${codeOf(error)}`)
  }
}

/** False where others could do nothing; and where the file is gone, as one that the flusher recycles meanwhile. */
function closePath(path: string, mode: Mode): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined || (found.mode & othersBits) === 0) return false
  try {
    chmodSync(path, mode)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

/** Tells whether the files that are open are still those that a next start would find. */
export interface FolderGuard {
  /** Throws `storage_failed` when the folder, or the file of the tables in it, was removed or replaced. */
  check(): void
}

export function guardFolder(dbPath: string): FolderGuard {
  const { dev, ino } = statSync(dbPath)
  return {
    check() {
      const found = statSync(dbPath, { throwIfNoEntry: false })
      if (found?.ino === ino && found.dev === dev) return
      throw new KvistError(
        'storage_failed',
        `the data folder was removed or replaced while kvist was running: stop it, and put the folder back`,
      )
    },
  }
}
