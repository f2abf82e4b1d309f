import { type Pointer, toArrayBuffer } from 'bun:ffi'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { systemLibrary } from '../system-library.ts'

/**
 * A read-only memory map of a file. The file stays open until `close`, the last use of it: when a process closes a file
 * the system drops all of its POSIX locks on that file, SQLite's too. `Bun.mmap` closes the file, so it cannot be used.
 */
export interface MappedFile {
  /** Maps the file at its present size, in windows of `windowBytes`. Do not read past `bytes`: that ends the process. */
  windows(): { readonly windows: readonly Buffer[]; readonly bytes: number }
  /** Releases the mapped memory; the next access reads it from the file again. */
  release(): void
  /** Unmaps the windows, which must not be read any more, and closes the file. */
  close(): void
}

/** Size of a window: a multiple of the page size, so that no page spans two windows. */
export const windowBytes = 64 * 1024 * 1024

/** PROT_READ, MAP_SHARED and MADV_DONTNEED; the same on Linux and macOS. */
const readOnly = 1
const shared = 1
const dontNeed = 4
function openLibrary() {
  return systemLibrary({
    mmap: { args: ['ptr', 'u64', 'i32', 'i32', 'i32', 'i64'], returns: 'ptr' },
    munmap: { args: ['ptr', 'u64'], returns: 'i32' },
    madvise: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
  })
}

let library: ReturnType<typeof openLibrary> | undefined

/** Maps a file; null where the system's C library is not found. Throws when the file cannot be opened. */
export function mapFile(path: string): MappedFile | null {
  if (library === undefined) library = openLibrary()
  if (library === null) return null
  const { mmap, munmap, madvise } = library
  const file = openSync(path, 'r')
  const pointers: Pointer[] = []
  const windows: Buffer[] = []
  let isClosed = false

  function addWindow(): boolean {
    const pointer = mmap(null, windowBytes, readOnly, shared, file, windows.length * windowBytes)
    // MAP_FAILED is all ones, which is no safe integer.
    if (typeof pointer !== 'number' || !Number.isSafeInteger(pointer)) return false
    pointers.push(pointer)
    windows.push(Buffer.from(toArrayBuffer(pointer, 0, windowBytes)))
    return true
  }

  return {
    windows() {
      const { size } = fstatSync(file)
      while (windows.length * windowBytes < size && addWindow());
      return { windows, bytes: Math.min(size, windows.length * windowBytes) }
    },
    release() {
      for (const pointer of pointers) madvise(pointer, windowBytes, dontNeed)
    },
    close() {
      if (isClosed) return
      isClosed = true
      windows.length = 0
      for (const pointer of pointers.splice(0)) munmap(pointer, windowBytes)
      closeSync(file)
    },
  }
}
