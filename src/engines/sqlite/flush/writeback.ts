import { fstatSync } from 'node:fs'
import { systemLibrary } from '../system-library.ts'

/**
 * Has the system write a file to the disk while it is written to, a little at a time. Otherwise all of it goes to the disk
 * with the next sync, and whoever syncs another file meanwhile waits for that: writers for the sync of kvist's log.
 *
 * It makes nothing durable, since neither the disk's cache nor the file's metadata are synced: a sync of the file still
 * has to follow. Linux alone has the system call (sync_file_range(2)); elsewhere that sync writes everything.
 */

function openLibrary() {
  return systemLibrary({ sync_file_range: { args: ['i32', 'i64', 'i64', 'u32'], returns: 'i32' } })
}

let library: ReturnType<typeof openLibrary> | undefined

/** SYNC_FILE_RANGE_WRITE, and with it SYNC_FILE_RANGE_WAIT_BEFORE and _AFTER. */
const startFlags = 2
const waitFlags = 7

/** 0 bytes are all up to the end. */
function writeRange(fd: number, from: number, bytes: number, flags: number): void {
  if (library === undefined) library = openLibrary()
  library?.sync_file_range(fd, from, bytes, flags)
}

const bytesAtOnce = 512 * 1024

/** Starts writing what is changed of a file, and does not wait for its end. */
export function startWriteback(fd: number): void {
  writeRange(fd, 0, 0, startFlags)
}

/** Writes what is changed of a file to the disk, and calls `pause` after each part. */
export function writeBack(fd: number, pause: () => void): void {
  const { size } = fstatSync(fd)
  for (let at = 0; at < size; at += bytesAtOnce) {
    writeRange(fd, at, bytesAtOnce, waitFlags)
    pause()
  }
}
