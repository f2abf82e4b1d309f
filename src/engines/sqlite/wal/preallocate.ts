import { closeSync, rmSync, statSync } from 'node:fs'
import { systemLibrary } from '../system-library.ts'
import { makeFile, openFile, requireSpace, syncFile } from './log-files.ts'

/** Preallocation of disk space with `fallocate`, which macOS does not have. */

function openLibrary() {
  return systemLibrary({ fallocate: { args: ['i32', 'i32', 'i64', 'i64'], returns: 'i32' } })
}

let library: ReturnType<typeof openLibrary> | undefined

/**
 * Creates a file with its blocks allocated, or extends one; most file systems do that without writing the blocks. On
 * failure a new file is removed; an existing one is kept, and may have been extended.
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
  // The file system may not support the call. If the disk is full, writing reports that.
  if (!isAllocated) await makeFile(path, bytes)
}
