import { dlopen } from 'bun:ffi'
import { closeSync, rmSync, statSync } from 'node:fs'
import { makeFile, openFile, requireSpace, syncFile } from './log-files.ts'

/** Room on the disk, taken before it is needed. */

/** Of glibc and of musl. macOS has no such call. */
const libraries = ['libc.so.6', `libc.musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`]

function openLibrary(name: string) {
  return dlopen(name, { fallocate: { args: ['i32', 'i32', 'i64', 'i64'], returns: 'i32' } }).symbols
}

let library: ReturnType<typeof openLibrary> | null | undefined

function findLibrary(): ReturnType<typeof openLibrary> | null {
  for (const name of libraries) {
    try {
      return openLibrary(name)
    } catch {
      // Another system's.
    }
  }
  return null
}

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
    library ??= findLibrary()
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
