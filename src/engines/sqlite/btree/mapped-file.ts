import { type Pointer, toArrayBuffer } from 'bun:ffi'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { systemLibrary } from '../system-library.ts'

/**
 * A file as memory, to be read only. It is opened once and closed when all is over: where a process closes a file the
 * operating system forgets all locks that it has on it, SQLite's among them. So Bun.mmap, which closes, is no help.
 */
export interface MappedFile {
  /** The file as it is now, in windows of `windowBytes`. What lies past the end of the file must not be touched. */
  windows(): { readonly windows: readonly Buffer[]; readonly bytes: number }
  /** Lets go of the memory that was read; it is read from the file when it is asked for again. */
  release(): void
  /** No window may be touched from here on. */
  close(): void
}

/** Pages of the file never lie in two of them. */
export const windowBytes = 64 * 1024 * 1024

/** Of Linux and of macOS. */
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

/** Null where the system has no such thing, or none that is known here. */
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
    // What failed is all ones, which is no address.
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
