import { accessSync, chmodSync, constants, type Mode, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { KvistError } from '../../core/errors.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import { RefusedFile } from './table/table.ts'
import { syncPath } from './wal/log-files.ts'

/** The folder of a store: creates and checks it, and restricts it to its owner. */

const folderMode: Mode = 0o700
const fileMode: Mode = 0o600
const othersBits = 0o077
const ownFiles = /^(kvist\.db(-wal|-shm)?|lock|(log|spare|reserve|damaged|unarchived)-.*)$/

/** Whether a file of this name in a data folder is one of kvist's. */
export function isOwnFile(name: string): boolean {
  return ownFiles.test(name)
}

/**
 * Creates the folder if it is missing. Throws RefusedFile with a message of one line when it cannot be used. Files in it
 * get the mode that the umask of the process leaves (serve.ts).
 */
export function openDataFolder(dir: string): void {
  try {
    makeFolder(dir)
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new RefusedFile(`--data ${dir} ${folderFault(codeOf(error))}`, { cause: error })
  }
}

/** Creates the folder and syncs its parents: otherwise a power loss could lose the folder with everything synced in it. */
function makeFolder(dir: string): void {
  const first = mkdirSync(dir, { recursive: true, mode: folderMode })
  if (first === undefined) return
  const above = dirname(resolve(first))
  for (let at = resolve(dir); at !== above; at = dirname(at)) syncPath(dirname(at))
}

function folderFault(code: string): string {
  if (code === 'ENOTDIR') return 'has a file in its path: name another folder'
  if (code === 'EEXIST') return 'is a file: name a folder'
  if (code === 'EROFS') return 'is on a disk that can only be read'
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be written to by this user'
  return `cannot be used: ${code}`
}

/** Removes the permissions of other users on the folder and the store's files in it; reports that, or why it failed. */
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

/** Sets the mode; false where others had no permissions, or the file is gone, say renamed by the flusher meanwhile. */
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

/** Checks that the open files are still those that the next start would open. */
export interface FolderGuard {
  /**
   * Throws `storage_failed` when the folder, or the file of the tables in it, was removed or replaced. It looks at most
   * every `recheckMs`: a look with each group of commits takes 1.5 percent of the time of small puts.
   */
  check(): void
}

/** What is acknowledged for this long after a folder was moved is in the moved folder. */
const recheckMs = 10

export function guardFolder(dbPath: string): FolderGuard {
  const { dev, ino } = statSync(dbPath)
  let checkedAtMs = Number.NEGATIVE_INFINITY
  return {
    check() {
      const nowMs = monotonicMs()
      if (nowMs - checkedAtMs < recheckMs) return
      const found = statSync(dbPath, { throwIfNoEntry: false })
      if (found?.ino === ino && found.dev === dev) {
        checkedAtMs = nowMs
        return
      }
      throw new KvistError(
        'storage_failed',
        `the data folder was removed or replaced while kvist was running: stop it, and put the folder back`,
      )
    },
  }
}
