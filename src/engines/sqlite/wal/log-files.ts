import {
  closeSync,
  fdatasync,
  fsync,
  fsyncSync,
  open,
  openSync,
  readdirSync,
  readSync,
  rename,
  rmSync,
  statfsSync,
  write,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { type Chunk, chunkOf } from './record.ts'

/**
 * The files of the log, and the system calls on them. A call that fails with EINTR or EAGAIN is retried, up to
 * `maxRepeats` times.
 */
export interface SegmentInfo {
  readonly number: number
  readonly path: string
}

/** Lists the segments in a folder, in the order of their numbers. */
export function listSegments(dir: string): SegmentInfo[] {
  return readdirSync(dir)
    .flatMap((name) => {
      const match = /^log-(\d+)$/.exec(name)
      return match ? [{ number: Number(match[1]), path: join(dir, name) }] : []
    })
    .sort((a, b) => a.number - b.number)
}

/**
 * Returns a zeroed chunk for a segment of this size. The system commits its memory only as it is written, and the
 * flusher's thread reads it in place.
 */
export function newChunk(bytes: number): Chunk {
  return chunkOf(Buffer.from(new SharedArrayBuffer(bytes)))
}

/** Returns an ENOSPC error shaped like the system's own. */
function noSpace(path: string, bytes: number): Error {
  return Object.assign(new Error(`ENOSPC: no space left on device, ${bytes} bytes for '${path}'`), {
    code: 'ENOSPC',
  })
}

/**
 * Throws ENOSPC when a file of this size does not fit on the disk. Trying to write it instead would, for a moment, take
 * the space from other writers.
 */
export function requireSpace(path: string, bytes: number): void {
  if (!hasSpace(dirname(path), bytes)) throw noSpace(path, bytes)
}

/** Whether the disk of a folder has `bytes` free. Blocks that are reserved for root count as free. */
export function hasSpace(dir: string, bytes: number): boolean {
  const { bfree, bsize } = statfsSync(dir)
  return bfree * bsize >= bytes
}

/**
 * Creates a file of zeros and syncs it, so that writing frames never allocates blocks, and the first sync writes nothing
 * but frames. Removes the file on failure.
 */
export async function makeFile(path: string, size: number): Promise<void> {
  requireSpace(path, size)
  const fd = await openFile(path, 'w')
  try {
    const zeros = Buffer.alloc(Math.min(size, 1024 * 1024))
    for (let at = 0; at < size; ) at += await writeLater(fd, zeros, Math.min(zeros.length, size - at), at)
    await syncFile(fd)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

export function openFile(path: string, flags: string): Promise<number> {
  return repeatedLater(
    () =>
      new Promise<number>((resolve, reject) => {
        open(path, flags, (error, fd) => (error ? reject(error) : resolve(fd)))
      }),
  )
}

function renameFile(from: string, to: string): Promise<void> {
  return repeatedLater(
    () =>
      new Promise<void>((resolve, reject) => {
        rename(from, to, (error) => (error ? reject(error) : resolve()))
      }),
  )
}

function writeLater(fd: number, bytes: Uint8Array, length: number, position: number): Promise<number> {
  return repeatedLater(
    () =>
      new Promise<number>((resolve, reject) => {
        write(fd, bytes, 0, length, position, (error, written) => (error ? reject(error) : resolve(written)))
      }),
  )
}

/** Syncs a file with its metadata (fsync), off the event loop. */
export function syncFile(fd: number): Promise<void> {
  return repeatedLater(
    () =>
      new Promise<void>((resolve, reject) => {
        fsync(fd, (error) => (error ? reject(error) : resolve()))
      }),
  )
}

/** Syncs the data of a file (fdatasync), off the event loop. */
function syncData(fd: number): Promise<void> {
  return repeatedLater(
    () =>
      new Promise<void>((resolve, reject) => {
        fdatasync(fd, (error) => (error ? reject(error) : resolve()))
      }),
  )
}

/** Syncs a file, or a folder: a file that was created or renamed survives a power loss only once its folder is synced. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** As `syncPath`, off the event loop. */
async function syncFolderLater(dir: string): Promise<void> {
  const fd = await openFile(dir, 'r')
  try {
    await syncFile(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes all bytes at a position, in several calls if need be. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += repeated(() => writeSync(fd, bytes, done, bytes.length - done, position + done))
  }
}

/** Reads the file's bytes `from` to `to`, or to its end, to the same offsets of `bytes`; returns the count read. */
export function readFully(fd: number, bytes: Buffer, from: number, to: number): number {
  let at = from
  while (at < to) {
    const read = repeated(() => readSync(fd, bytes, at, to - at, at))
    if (read === 0) break
    at += read
  }
  return at - from
}

/** The system calls that writing the log makes; a test replaces them by a simulated disk. */
export interface LogDisk {
  makeFile(path: string, size: number): Promise<void>
  /** Opens an existing file for writing. */
  open(path: string): Promise<number>
  rename(from: string, to: string): Promise<void>
  write(fd: number, bytes: Uint8Array, position: number): void
  syncData(fd: number): Promise<void>
  syncFolder(dir: string): Promise<void>
  close(fd: number): void
  remove(path: string): void
}

export const systemDisk: LogDisk = {
  makeFile,
  open: (path) => openFile(path, 'r+'),
  rename: renameFile,
  write: writeFully,
  syncData,
  syncFolder: syncFolderLater,
  close: (fd) => closeSync(fd),
  remove: (path) => rmSync(path, { force: true }),
}

const maxRepeats = 10
const repeatPauseMs = 10

/** Whether the error is transient, so that the same call is to be retried. */
function isPassing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EINTR' || error.code === 'EAGAIN')
}

function repeated<Result>(call: () => Result): Result {
  for (let tries = 1; ; tries++) {
    try {
      return call()
    } catch (error) {
      if (tries === maxRepeats || !isPassing(error)) throw error
    }
  }
}

async function repeatedLater<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (error) {
      if (tries === maxRepeats || !isPassing(error)) throw error
      await Bun.sleep(repeatPauseMs)
    }
  }
}
