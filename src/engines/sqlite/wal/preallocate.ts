import { closeSync, rmSync, statSync } from 'node:fs'
import { systemLibrary } from '../system-library.ts'
import { makeFile, openFile, requireSpace, syncFile } from './log-files.ts'

/** Room on the disk, taken before it is needed. */

/** macOS has no such call. */
function openLibrary() {
  return systemLibrary({ fallocate: { args: ['i32', 'i32', 'i64', 'i64'], returns: 'i32' } })
}

let library: ReturnType<typeof openLibrary> | undefined

/**
 * Makes a file that has its blocks on the disk, or makes one longer; on most file systems without writing them. A file
 * that could not be made is not there, one that could not be made longer may be.
 */
export async function preallocate(path: string, bytes: number): Promise<void> {
  const before = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  requireSpace(path, bytes - before)
  const fd = await openFile(path, before === 0 ? 'w' : 'r+')
  let isAllocated = false
  try {
    if (library === undefined) library = openLibrary()
    isAllocated = library !== null && library.fallocate(fd, 0, 0, bytes) === 0
    if (isAllocated) await syncFile(fd)
  } catch (error) {
    if (before === 0) rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
  // The file system may not know the call; where it has no room, writing says so.
  if (!isAllocated) await makeFile(path, bytes)
}
