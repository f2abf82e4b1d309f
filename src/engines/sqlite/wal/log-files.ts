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
 * The files that the log is made of, and the operating system's calls on them. A call that the system asks to repeat
 * (EINTR, EAGAIN) is repeated a bounded number of times.
 */
export interface SegmentInfo {
  readonly number: number
  readonly path: string
}

/** The segments in a folder, by number. */
export function listSegments(dir: string): SegmentInfo[] {
  return readdirSync(dir)
    .flatMap((name) => {
      const match = /^log-(\d+)$/.exec(name)
      return match ? [{ number: Number(match[1]), path: join(dir, name) }] : []
    })
    .sort((a, b) => a.number - b.number)
}

/**
 * A chunk for a segment of this size; memory is taken only as it fills. The flusher's thread reads it in place.
 */
export function newChunk(bytes: number): Chunk {
  return chunkOf(Buffer.from(new SharedArrayBuffer(bytes)))
}

/** An error as the system's own, for a call that would end with it. */
function noSpace(path: string, bytes: number): Error {
  return Object.assign(new Error(`ENOSPC: no space left on device, ${bytes} bytes for '${path}'`), {
    code: 'ENOSPC',
  })
}

/**
 * Throws ENOSPC when a file of this size does not fit on the disk. Trying it by writing would take, for a moment, the
 * space from others who need it.
 */
export function requireSpace(path: string, bytes: number): void {
  if (!hasSpace(dirname(path), bytes)) throw noSpace(path, bytes)
}

/** Whether the disk that a folder is on has so many bytes free; for root alone some of them may be. */
export function hasSpace(dir: string, bytes: number): boolean {
  const { bfree, bsize } = statfsSync(dir)
  return bfree * bsize >= bytes
}

/**
 * Makes a file of zeros with its blocks on disk, so that writing frames never has to allocate, and their first sync has
 * nothing else to write.
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

/** Syncs a file with its size and blocks, off the event loop. */
export function syncFile(fd: number): Promise<void> {
  return repeatedLater(
    () =>
      new Promise<void>((resolve, reject) => {
        fsync(fd, (error) => (error ? reject(error) : resolve()))
      }),
  )
}

/** Syncs the data of a file, off the event loop. */
function syncData(fd: number): Promise<void> {
  return repeatedLater(
    () =>
      new Promise<void>((resolve, reject) => {
        fdatasync(fd, (error) => (error ? reject(error) : resolve()))
      }),
  )
}

/** A new name in a folder is safe only when the folder is synced as well. */
export function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** As `syncFolder`, off the event loop. */
async function syncFolderLater(dir: string): Promise<void> {
  const fd = await openFile(dir, 'r')
  try {
    await syncFile(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes all of the bytes at a position. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += repeated(() => writeSync(fd, bytes, done, bytes.length - done, position + done))
  }
}

/** Reads from `from` up to `to`, or to the end of the file, and returns how much there was. */
export function readFully(fd: number, bytes: Buffer, from: number, to: number): number {
  let at = from
  while (at < to) {
    const read = repeated(() => readSync(fd, bytes, at, to - at, at))
    if (read === 0) break
    at += read
  }
  return at - from
}

/** What the end of the log that is written asks of the system; a simulation answers in its place. */
export interface LogDisk {
  makeFile(path: string, size: number): Promise<void>
  /** Opens a file that is there, to be written to. */
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

/** Whether the operating system asks to try the same call again. */
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
